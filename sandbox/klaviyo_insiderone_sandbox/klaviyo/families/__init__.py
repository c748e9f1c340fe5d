"""Klaviyo's families of resources: one file each, with the declaration of its endpoints, its text and its reads."""
