"""A harness for targets: killed and disturbed at every named moment, run again, and held against a calm run."""
