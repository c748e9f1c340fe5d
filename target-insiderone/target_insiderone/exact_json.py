"""JSON whose numbers survive exactly: integers of any size, decimals digit by digit."""

from __future__ import annotations

from decimal import Decimal

import msgspec

decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""JSON to Python: integers of any size stay integers, decimals become Decimal."""

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Python to JSON: Decimals as numbers with their exact text, keys in the order of insertion."""
