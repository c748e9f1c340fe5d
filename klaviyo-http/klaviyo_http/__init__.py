"""Klaviyo's API over HTTP, for the tap and for whoever writes into Klaviyo."""

__version__ = "0.1.0"
