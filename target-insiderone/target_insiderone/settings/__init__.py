"""The settings of target-insiderone."""
