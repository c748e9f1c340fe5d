"""From values of a record to values of a destination."""
