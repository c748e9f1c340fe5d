"""Made-up data of the Klaviyo account."""
