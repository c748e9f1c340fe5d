"""Singer tap for Klaviyo."""

__version__ = "0.1.0"
