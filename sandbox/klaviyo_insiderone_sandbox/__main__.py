"""Runs the ``sandbox`` command as ``python -m klaviyo_insiderone_sandbox``."""

import sys

from klaviyo_insiderone_sandbox.cli import main

sys.exit(main())
