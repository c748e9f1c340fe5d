"""Decodes text from outside (settings files, Singer input, address lists): UTF-8, UTF-16 or UTF-32."""

from __future__ import annotations

import codecs
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_NOT_UTF8 = (
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_BE,
    b'{\0"\0',
    b'\0{\0"',
    b"{\0\0\0",
    b"\0\0\0{",
)


class UnreadableError(Exception):
    """A file, a variable or the input cannot be read; the messages show no values."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(mistakes))


def text_of(raw: bytes, where: str) -> str:
    """Decode UTF-8, UTF-16 or UTF-32, and drop a byte order mark.

    Raises:
        UnreadableError: Another encoding; the message names *where*.
    """
    encoding = json.detect_encoding(raw)
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UnreadableError([_not_encoded(where, encoding, error.start)]) from None


def _not_encoded(where: str, encoding: str, place: int) -> str:
    name = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
    return f"{where}: is not {name} (at byte {place + 1}); save it as UTF-8"


def json_object(path: Path, option: str) -> dict[str, Any]:
    """Read the JSON object in the file that *option* names; decimals become Decimal.

    Raises:
        UnreadableError: The file cannot be read, or holds something else.
    """
    where = f"{option}: {path}"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError([f"{option}: no such file: {path}"]) from None
    except OSError as error:
        raise UnreadableError([f"{where}: cannot be read ({error.strerror})"]) from None
    try:
        content = parse_json(text_of(raw, where))
    except json.JSONDecodeError as error:
        raise UnreadableError([f"{where}: invalid JSON at line {error.lineno}"]) from None
    except (ValueError, RecursionError):
        raise UnreadableError([f"{where}: invalid JSON"]) from None
    if not isinstance(content, dict):
        raise UnreadableError([f"{where}: is not a JSON object"])
    return content


def parse_json(text: str) -> Any:
    """Parse strict JSON (Python's own parser also accepts NaN and Infinity); decimals become Decimal.

    Raises:
        ValueError, RecursionError: Invalid JSON.
    """
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def lines_of(readline: Callable[[], bytes], first: bytes, where: str) -> tuple[bytes, Callable[[], bytes]]:
    """The *first* line of a Singer input and a function that reads the next ones, all in UTF-8.

    UTF-8 is passed through at no cost. UTF-16 and UTF-32 are detected by a byte order mark, or by the first bytes of a
    message; any other odd first line is left to the caller as a single broken line.
    """
    if not first.startswith(_NOT_UTF8):
        return first, readline
    encoding = json.detect_encoding(first)
    lines = _decoded(readline, first, encoding, where)
    return next(lines, b""), lambda: next(lines, b"")


def _decoded(readline: Callable[[], bytes], part: bytes, encoding: str, where: str) -> Iterator[bytes]:
    """Convert an input in UTF-16 or UTF-32, whose line feeds are several bytes long, to lines in UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()
    text = ""
    while part:
        text += _decode(decoder, part, encoding, where)
        *whole, text = text.removeprefix("\ufeff").split("\n")
        for line in whole:
            yield f"{line}\n".encode()
        part = readline()
    text += _decode(decoder, b"", encoding, where, final=True)
    if text:
        yield text.encode()


def _decode(decoder: codecs.IncrementalDecoder, part: bytes, encoding: str, where: str, *, final: bool = False) -> str:
    try:
        return decoder.decode(part, final)
    except UnicodeDecodeError:
        raise UnreadableError([f"{where}: is not {encoding.upper()} throughout; write it as UTF-8"]) from None
