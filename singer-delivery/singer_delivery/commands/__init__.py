"""Commands other than loading."""
