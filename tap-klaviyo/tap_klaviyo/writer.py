"""Writes whole lines to standard output, even if the process is asked to stop."""

from __future__ import annotations

import select
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message, RecordMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

BUFFER_BYTES = 1 << 16
_encoder = msgspec.json.Encoder(decimal_format="number")
_SPACES = bytes.maketrans(b"\r\n", b"  ")  # inside a JSON string they are escaped, so they only stand between tokens


class Stopped(SystemExit):
    """SIGTERM or SIGINT arrived; the exit code is 128 + the signal's number (143, 130)."""


class LineWriter(GenericSingerWriter[bytes, Message]):
    """Writes Singer messages; records are buffered, and any other message flushes the buffer."""

    def __init__(self) -> None:
        self._lines = bytearray()
        self._busy = False
        self._held = False
        self._signal: int | None = None

    def serialize_message(self, message: Message) -> bytes:
        """Encode one message, on one line."""
        return encode_line(message.to_dict())

    def write_message(self, message: Message) -> None:
        """Write one line; a signal that arrives meanwhile waits for `check`."""
        self._busy = True
        self._lines += self.serialize_message(message)
        self._lines += b"\n"
        if len(self._lines) >= BUFFER_BYTES or not isinstance(message, RecordMessage):
            self._write_out()
        self._busy = False

    def write_lines(self, lines: bytes) -> None:
        """Write whole lines, as `encode_lines` makes them."""
        self._busy = True
        self._write_out()
        self._write(lines)
        self._busy = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let a signal wait for `check`: what is written must also be noted in the bookmark."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def check(self) -> None:
        """Stop the run if a signal had to wait; the line that was being written is known to be out by now.

        Raises:
            Stopped: One did.
        """
        if self._signal is not None:
            self._stop(self._signal)

    def flush(self) -> None:
        """Write the buffer."""
        self._busy = True
        self._write_out()
        self._busy = False

    def _write_out(self) -> None:
        """Write the buffer; after a failed write, the rest is dropped."""
        lines, self._lines = self._lines, bytearray()
        self._write(lines)

    @staticmethod
    def _write(lines: bytes | bytearray) -> None:
        """Write piece by piece.

        Not through the buffer of `sys.stdout`: if a signal interrupts a write, CPython 3.11 loses the rest.
        """
        output = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        rest = memoryview(lines)
        while rest:
            try:
                written = output.write(rest)
            except OSError as error:  # closed, or a full disk: the run ends
                raise BrokenPipeError(error.errno, error.strerror) from None
            if written is None:  # the pipe is full, and set not to block
                select.select([], [output], [])
            else:
                rest = rest[written:]

    def handle_signal(self, signum: int, _frame: FrameType | None) -> None:
        """Stop the run: now, or at the next `check` if a line is being written. A second signal ends the process."""
        signal.signal(signum, signal.SIG_DFL)
        if self._busy or self._held:
            self._signal = signum
        else:
            self._stop(signum)

    def _stop(self, signum: int) -> NoReturn:
        self._signal = None
        raise Stopped(128 + signum)


class CountingWriter(LineWriter):
    """Counts records instead of writing them: a connection test shows no personal data."""

    def __init__(self) -> None:
        super().__init__()
        self.records: Counter[str] = Counter()
        """Stream -> its records."""

    def write_message(self, message: Message) -> None:
        """Count a record."""
        if isinstance(message, RecordMessage):
            self.records[message.stream] += 1


def encode_line(message: dict[str, Any]) -> bytes:
    """Encode a message on one line; opaque values may bring line breaks between their tokens."""
    line = _encoder.encode(message)
    return line.translate(_SPACES) if b"\n" in line or b"\r" in line else line


def encode_lines(messages: Sequence[dict[str, Any]]) -> bytes:
    """Encode messages, each on one line that ends in a line feed."""
    lines = _encoder.encode_lines(messages)
    if lines.count(b"\n") == len(messages) and b"\r" not in lines:
        return lines
    return b"".join(encode_line(message) + b"\n" for message in messages)


def json_line(value: Any) -> str:
    """Encode a value for a log line."""
    return msgspec.json.encode(value).decode()
