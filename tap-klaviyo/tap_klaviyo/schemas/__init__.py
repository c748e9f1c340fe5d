"""JSON schemas of the streams, one file a stream; held to Klaviyo's OpenAPI document by a test."""
