"""Standard input, output and error, each of them open: what was closed must not be taken by a file of ours."""

from __future__ import annotations

import os
import sys


def open_closed_streams() -> None:
    """Put something in the place of the streams that are closed.

    The next file that is opened would take the number of one, and with it what is meant for somebody else. What is
    written to standard error goes nowhere then; reading input and writing output fail.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
