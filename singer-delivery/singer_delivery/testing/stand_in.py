"""A small HTTP API for tests, with programmable answers and faults, and a journal."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, cast

from singer_delivery.exact_json import decode
from singer_delivery.testing.points import LANE_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    Respond = Callable[[str, str, Any], tuple[int, Any]]
    """Method, path and body of a request -> status and document of the answer."""

APPLIED: Final = frozenset({"answer_lost", "truncate", "truncate_ok"})
"""Kinds of fault in which the request takes effect although its answer is lost."""


@dataclass
class Fault:
    """What goes wrong with requests whose path begins with *path*: after *skip* of them, with the next *times*.

    Without effect: ``status`` answers *status*, ``reset`` closes the connection, ``not_json`` answers with text. After
    the request has taken effect: ``answer_lost`` closes the connection, ``truncate`` cuts it in the middle of the
    answer, ``truncate_ok`` ends the document halfway in well-formed HTTP.
    """

    kind: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    skip: int = 0
    times: int = 1

    def fires(self, path: str) -> bool:
        """Count one request; returns whether it fails."""
        if not path.startswith(self.path) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    **{str(status): {"kind": "status", "status": status} for status in (408, 429, 500, 502, 503, 504, 520)},
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    **{kind: {"kind": kind} for kind in ("reset", "not_json", "answer_lost", "truncate", "truncate_ok")},
}
"""Name -> arguments of :meth:`StandIn.fault`, for every kind of temporary fault."""


class Seen(NamedTuple):
    """One request. *lane*: of the struck target (``<number of the run>/<lane>``); *fault*: its kind, if one fired."""

    number: int
    method: str
    path: str
    body: Any
    lane: str
    status: int
    fault: str | None


class StandIn:
    """The API's server; a context manager. *respond* is called for one request at a time."""

    def __init__(self, respond: Respond) -> None:
        self.journal: list[Seen] = []
        self._respond = respond
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Base URL of the server."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fault(self, kind: str, **options: Any) -> None:
        """Let requests fail; see :class:`Fault`."""
        self._faults.append(Fault(kind, **options))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def take(self, method: str, path: str, content: bytes, lane: str) -> tuple[Fault | None, int, bytes]:
        """Process one request; returns the fault that fired, if any, and status and content of the answer."""
        body = decode(content) if content else None
        with self._lock:
            fault = next((fault for fault in self._faults if fault.fires(path)), None)
            status, document = 200, None
            if fault is None or fault.kind in APPLIED:
                status, document = self._respond(method, path, body)
            elif fault.kind == "status":
                status = fault.status
            kind = fault.kind if fault else None
            self.journal.append(Seen(len(self.journal), method, path, body, lane, status, kind))
        text = "not JSON" if fault and fault.kind == "not_json" else json.dumps(document)
        return fault, status, text.encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in = stand_in

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: a client that is killed closes its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer a request, unless it is truncated."""
        length = int(self.headers.get("Content-Length", 0))
        content = self.rfile.read(length)
        if len(content) < length:
            self.close_connection = True
            return
        stand_in = cast("_Server", self.server).stand_in
        fault, status, text = stand_in.take(self.command, self.path, content, self.headers.get(LANE_HEADER, ""))
        kind = fault.kind if fault else None
        if kind in {"reset", "answer_lost"}:
            self.close_connection = True
            return
        promised = len(text)
        if kind in {"truncate", "truncate_ok"}:
            text = text[: len(text) // 2]
        self._answer(status, text, fault.headers if fault else {}, promised if kind == "truncate" else len(text))
        self.close_connection = self.close_connection or kind == "truncate"

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815  (names defined by http.server)

    def _answer(self, status: int, text: bytes, headers: Mapping[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (name defined by http.server)
        """Keep quiet."""


def effective(journal: Sequence[Seen]) -> list[Seen]:
    """The requests that took effect, whether or not their answers arrived."""
    return [seen for seen in journal if seen.status == 200 and (seen.fault is None or seen.fault in APPLIED)]
