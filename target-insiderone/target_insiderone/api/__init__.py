"""Insider One's API: requests, answers and remedies."""
