"""Settings: read, checked, and suggested."""
