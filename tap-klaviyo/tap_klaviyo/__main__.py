"""Lets ``python -m tap_klaviyo`` run the tap."""

from tap_klaviyo.tap import main

main()
