"""Tunes the process: one busy thread, many waiting ones, and large pages in memory."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from contextlib import suppress

SWITCH_SECONDS = 0.0001
GC_THRESHOLDS = (100_000, 50, 100)
M_ARENA_MAX, ARENAS = -8, 2  # malloc.h
DEEPEST, STACK_BYTES = 12_000, 16 << 20  # levels; each needs at most 400 bytes of the stack
PIPE_BYTES = 1 << 20  # the default limit of Linux


def prepare_process() -> None:
    """Tune the interpreter, the allocator and the pipe for a run.

    - A thread that sends a request gets the interpreter at once; by default it may wait 5 ms while records are written.
    - The garbage collector runs rarely: the pages that wait to be emitted hold no cycles.
    - glibc keeps few heaps. By default there are eight per processor, and each keeps the memory of its largest bodies.
    - Properties nested deeper than Python's default recursion limit can be decoded.
    - The output pipe holds 1 MB, a page of events; at the usual 64 kB, writer and reader wait for each other.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    sys.setrecursionlimit(DEEPEST)
    threading.stack_size(STACK_BYTES)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415  (Windows has none)

        with suppress(OSError):  # standard output is not a pipe
            fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
            mallopt(M_ARENA_MAX, ARENAS)
