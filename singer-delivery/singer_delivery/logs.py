"""The engine's one logger; a target's console script gives it the plugin's name."""

from __future__ import annotations

import logging

log = logging.getLogger("singer_delivery")
