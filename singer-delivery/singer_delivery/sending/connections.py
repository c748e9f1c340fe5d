"""Connections with a time limit for whole answers, even if they arrive byte by byte.

A read timeout restarts with every byte, so a slow trickle of bytes would hold a run forever. In addition, an answer
(head and body) must be complete within `ANSWER_TIMEOUTS` read timeouts of sending the request.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING

import urllib3
from typing_extensions import override
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from _typeshed import WriteableBuffer

ANSWER_TIMEOUTS = 5


class TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline of the monotonic clock."""

    def __init__(self, source: io.RawIOBase, until: float) -> None:
        self._source = source
        self._until = until

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Read once.

        Raises:
            TimeoutError: The deadline has passed.
        """
        if time.monotonic() >= self._until:
            raise TimeoutError("the answer was not complete in time")
        return self._source.readinto(buffer)

    @override
    def close(self) -> None:
        self._source.close()
        super().close()


class TimedResponse(HTTPResponse):
    """An answer with a time limit."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        timeout = sock.gettimeout()
        if timeout is not None:
            until = time.monotonic() + ANSWER_TIMEOUTS * timeout
            self.fp = io.BufferedReader(TimedReader(self.fp.detach(), until))


class TimedHTTPConnection(HTTPConnection):
    """A connection whose answers have a time limit."""

    response_class = TimedResponse


class TimedHTTPSConnection(HTTPSConnection):
    """An encrypted connection whose answers have a time limit."""

    response_class = TimedResponse


class TimedHTTPPool(urllib3.HTTPConnectionPool):
    """Connections to one host."""

    ConnectionCls = TimedHTTPConnection


class TimedHTTPSPool(urllib3.HTTPSConnectionPool):
    """Encrypted connections to one host."""

    ConnectionCls = TimedHTTPSConnection


POOLS: Mapping[str, type[urllib3.HTTPConnectionPool]] = {"http": TimedHTTPPool, "https": TimedHTTPSPool}
"""Scheme -> pool class, for a `urllib3.PoolManager`."""
