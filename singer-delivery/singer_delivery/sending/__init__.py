"""From staged items to answers."""
