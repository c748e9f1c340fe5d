"""Reads Singer messages from bytes; numbers stay exact, and a broken line costs only itself."""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections import Counter
from io import UnsupportedOperation
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from singer_sdk.singerlib.exceptions import InvalidInputLine

from singer_delivery.exact_json import decode
from singer_delivery.interruption import Interrupted
from singer_delivery.texts import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_delivery.interruption import Interruption

Message = dict[str, Any]

BUFFER_BYTES = 1 << 18
"""Read size of the input; at each read the reading thread releases the GIL and waits to get it back."""

DEEPEST, HEADROOM = 1_000, 500
"""How deeply a line may be nested, the interpreter's frames included; later processing gets some headroom."""

REQUIRED = {
    "RECORD": (("stream", str), ("record", dict)),
    "SCHEMA": (("stream", str),),  # the rest is checked in `schema_messages`, which names the stream
    "STATE": (("value", dict),),
    "ACTIVATE_VERSION": (("stream", str),),
    "BATCH": (("stream", str),),
}
"""Message type -> required members and their types."""


def meant_type(message: Message) -> str:
    """The message type in its standard spelling (``record`` -> ``RECORD``); unknown types stay as they are.

    Raises:
        InvalidInputLine: The type is unknown, but the message carries a record, which must not be skipped.
    """
    given = str(message["type"])
    meant = given.strip().upper()
    if meant not in REQUIRED and type(message.get("record")) is dict:
        raise InvalidInputLine("a line of an unknown type carries a record")
    return meant if meant in REQUIRED else given


class MessageReader(GenericSingerReader[bytes]):
    """Reads the input line by line until it ends or the run is interrupted.

    To be set before reading: *interruption*, *on_unreadable* (called with a line that is not a usable message) and
    *on_unknown* (called with a message type that Singer does not define; such lines are skipped).
    """

    interruption: Interruption
    on_unreadable: Callable[[bytes], None]
    on_unknown: Callable[[str], None]

    def __init__(self) -> None:
        super().__init__()
        self.line = b""

    @property
    def default_input(self) -> IO[bytes]:
        """Standard input, as bytes."""
        try:
            return open(sys.stdin.fileno(), "rb", buffering=BUFFER_BYTES, closefd=False)
        except UnsupportedOperation:  # replaced by a test, or by another program
            return sys.stdin.buffer

    def deserialize_json(self, line: bytes) -> Message:
        """Decode one line.

        Raises:
            InvalidInputLine: Not a message; the error does not quote the line, which may hold personal data.
        """
        sys.setrecursionlimit(DEEPEST)
        try:
            message = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
            raise InvalidInputLine("a line is not valid JSON") from None
        finally:
            sys.setrecursionlimit(DEEPEST + HEADROOM)
        if type(message) is not dict or type(message.get("type")) is not str:
            raise InvalidInputLine("a line is not a Singer message")
        if message["type"] == "RECORD" and type(message.get("record")) is dict and type(message.get("stream")) is str:
            return message  # the common case; the rest of this function would return the same
        if message["type"] not in REQUIRED:
            message["type"] = meant_type(message)
        for name, kind in REQUIRED.get(message["type"], ()):
            if type(message.get(name)) is not kind:
                raise InvalidInputLine(f"a {message['type']} message has no usable '{name}'")
        return message

    def _message(self) -> Message | None:
        """Decode the present line, without byte order marks at its start (concatenated files have several).

        None if the line holds nothing else.
        """
        try:
            return self.deserialize_json(self.line)
        except InvalidInputLine:
            if not self.line.startswith(BOM_UTF8):
                raise
        while self.line.startswith(BOM_UTF8):
            self.line = self.line.removeprefix(BOM_UTF8)
        return None if not self.line.strip() else self.deserialize_json(self.line)

    def process_lines(
        self, file_input: IO[Any] | None, callbacks: dict[str, Callable[[Message], None]]
    ) -> Counter[str]:
        """Call the callback of each message's type; returns the number of messages by type.

        Raises:
            Interrupted: The run was asked to stop.
        """
        seen: Counter[str] = Counter()
        readline: Callable[[], Any] = (file_input or self.default_input).readline
        is_first = True
        interruption = self.interruption
        is_stopping = interruption.stopping.is_set
        while True:
            interruption.reading = True
            if is_stopping():
                raise Interrupted
            line = readline()
            interruption.reading = False
            if is_first and isinstance(line, bytes):
                line, readline = lines_of(readline, line, "the input")
            is_first = False
            if not line:
                return seen
            self.line = line if isinstance(line, bytes) else line.encode()  # --input and the SDK's runner give str
            if self.line.isspace():
                continue
            try:
                message = self._message()
            except InvalidInputLine:
                self.on_unreadable(self.line)
                continue
            if message is None:
                continue
            callback = callbacks.get(message["type"])
            if callback is None:
                self.on_unknown(message["type"])
                continue
            callback(message)
            seen[message["type"]] += 1
