"""The streams, one module a family."""
