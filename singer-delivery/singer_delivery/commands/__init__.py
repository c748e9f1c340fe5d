"""The commands beside loading."""
