"""What every Singer target needs, and no vendor knows: delivery that loses nothing and doubles nothing."""

__version__ = "0.1.0"
