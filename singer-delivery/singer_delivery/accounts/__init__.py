"""Outcomes of records: counts, rejects, checkpoints, summaries."""
