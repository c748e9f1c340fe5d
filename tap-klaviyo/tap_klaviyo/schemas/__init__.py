"""JSON schemas of the streams, one file per stream; a test compares them with Klaviyo's OpenAPI document."""
