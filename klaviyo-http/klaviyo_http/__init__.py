"""A client for Klaviyo's API, for reading and writing."""

__version__ = "0.1.0"
