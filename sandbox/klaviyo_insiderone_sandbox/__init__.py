"""Local stand-ins for the Klaviyo and Insider One APIs, with a control plane and a page to look at."""

__version__ = "0.1.0"
