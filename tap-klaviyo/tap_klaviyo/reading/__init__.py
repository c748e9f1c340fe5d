"""Reading a collection: what to ask for, in which order to emit it, and how far it has been read."""
