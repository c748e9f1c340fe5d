"""``python -m klaviyo_insiderone_sandbox`` is the ``sandbox`` command."""

import sys

from klaviyo_insiderone_sandbox.cli import main

sys.exit(main())
