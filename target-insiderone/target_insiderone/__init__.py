"""Singer target for Insider One."""

__version__ = "0.1.0"
