"""Vendor-independent engine for Singer targets: every record is delivered exactly once and accounted for."""

__version__ = "0.1.0"
