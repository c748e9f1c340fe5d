"""The target's own command, with one named moment of it wired to a kill; its arguments are the command's."""

from __future__ import annotations

from singer_delivery.testing.struck import run_struck
from target_insiderone import cli

run_struck(cli.main)
