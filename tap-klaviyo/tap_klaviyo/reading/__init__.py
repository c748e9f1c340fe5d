"""Reads collections: requests, order of records, and bookmarks."""
