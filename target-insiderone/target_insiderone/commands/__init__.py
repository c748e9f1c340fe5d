"""What the target does beside loading: check, preview, replay, forget."""
