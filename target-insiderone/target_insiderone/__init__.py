"""Singer target for Insider One."""
