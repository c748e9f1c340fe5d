"""Several commands of Meltano in one process: ``python meltano_commands.py '[["state", "list"], …]'``.

Meltano takes a second or two to start, and its commands that only show something a fraction of that. What each wrote
to standard output comes back as a JSON list of texts; the first that fails ends the process with its exit code.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO

from meltano.cli import cli


def output_of(arguments: list[str]) -> str:
    """Run one command, as the shell would."""
    output = StringIO()
    with redirect_stdout(output):
        try:
            cli.main(arguments, standalone_mode=False)
        except SystemExit as end:
            if end.code:
                raise
    return output.getvalue()


if __name__ == "__main__":
    outputs = [output_of(arguments) for arguments in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(outputs))
