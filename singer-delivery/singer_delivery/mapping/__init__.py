"""Mapping of record values to destination values; pure functions."""
