"""Insider One's API: requests, answers, and what to do about refusals."""
