"""TODO klaviyo_http."""
