"""The HTTP front of a fake API: reads the call, applies latency and faults, keeps the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from klaviyo_insiderone_sandbox.clock import Clock, shown_exactly
from klaviyo_insiderone_sandbox.exact_json import is_json
from klaviyo_insiderone_sandbox.exchange import Answer, Call
from klaviyo_insiderone_sandbox.journal import Journal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from klaviyo_insiderone_sandbox.faults import FaultBook, Rule, Side

CHALLENGE = (
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser.</body></html>"
)
"""Responses of the edge in front of the API."""
DRIP_SECONDS = 0.02
"""From one byte of a dripping answer to the next."""


class ReachableTransport(HttpToolsProtocol):
    """uvicorn's protocol, which hands the connection to the application, so that faults can cut it."""

    def on_message_begin(self) -> None:
        """Store the transport with the request."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class Api(Protocol):
    """A fake API."""

    side: Side

    def answer(self, call: Call) -> Answer:
        """Serve one call."""
        ...

    def error(self, status: int, headers: dict[str, str]) -> Answer:
        """Compose the API's documented answer of *status*."""
        ...

    def scopes_of(self, call: Call) -> list[str] | None:
        """Return the scopes of the call's credentials; None if the API has no scopes or the key is unknown."""
        ...


class Gateway:
    """An ASGI application around a fake API."""

    def __init__(self, api: Api, clock: Clock, faults: FaultBook) -> None:
        self.api = api
        self.clock = clock
        self.faults = faults
        self.journal = Journal()
        self.latency_seconds = 0.0
        self._under_way: set[int] = set()
        """Numbers of calls; one that hangs may outlive the `reset` that forgets it."""
        self._calls = 0

    def reset(self) -> None:
        """Clear the journal, the latency and requests in flight."""
        self.latency_seconds = 0.0
        self.journal.clear()
        self._under_way.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        call = await read_call(scope, receive)
        if call is None:
            return
        self._calls += 1
        number = self._calls
        self._under_way.add(number)
        try:
            await self._serve(call, scope, receive, send)
        finally:
            self._under_way.discard(number)

    async def _serve(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        armed = self.faults.claim(self.api.side, call)
        rule = armed.rule if armed else None
        answer = self.answer_to(call, rule)
        self._note(call, answer, rule)
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        await self._deliver(answer, rule, scope, receive, send)

    def answer_to(self, call: Call, rule: Rule | None) -> Answer | None:
        """Return the client's response, or None for a connection closed or left hanging."""
        if rule is None:
            return self.api.answer(call)
        if rule.kind in ("reset", "hang"):
            return None
        if rule.kind in ("status", "html", "not_json"):
            return self._staged(rule)
        applied = self.api.answer(call)
        if rule.kind == "answer_lost":
            return self._staged(rule) if rule.status else None
        if rule.kind == "truncate_ok":
            applied.body = applied.body[: len(applied.body) // 2]
        return applied

    def _staged(self, rule: Rule) -> Answer:
        if rule.kind == "html":
            headers = {"cf-mitigated": "challenge", **rule.headers}
            return Answer(rule.status or 403, (rule.body or CHALLENGE).encode(), headers, "text/html; charset=UTF-8")
        if rule.kind == "not_json":
            return Answer(rule.status or 200, (rule.body or "upstream ok").encode(), rule.headers, "text/plain")
        answer = self.api.error(rule.status or 503, rule.headers)
        if rule.body is not None:
            answer.body = rule.body.encode()
        return answer

    def _note(self, call: Call, answer: Answer | None, rule: Rule | None) -> None:
        self.journal.add(
            shown_exactly(self.clock.now()),
            call,
            answer,
            under_way=len(self._under_way),
            fault=rule.kind if rule else None,
            scopes=self.api.scopes_of(call),
            body=call.body if call.is_json else None,
        )

    async def _deliver(
        self, answer: Answer | None, rule: Rule | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        transport: asyncio.Transport = scope["state"]["transport"]
        if answer is None:
            if rule is None or rule.kind != "hang":
                transport.abort()
            await gone(receive)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": self._headers(answer)})
        if rule is not None and rule.kind == "truncate":
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            transport.close()
            await gone(receive)
            return
        if rule is not None and rule.kind == "drip":
            await drip(answer.body, receive, send)
            return
        await send({"type": "http.response.body", "body": answer.body})

    def _headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        headers = {
            "Date": self.clock.http_date(),
            "Content-Type": answer.content_type,
            "Content-Length": str(len(answer.body)),
            **answer.headers,
        }
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def read_call(scope: Scope, receive: Receive) -> Call | None:
    """Read a whole request from the connection; None if the client disconnects before its end."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host, port = scope["server"]
    body = b"".join(chunks)
    return Call(
        method=scope["method"],
        path=scope["path"].rstrip("/") or "/",
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        is_json=is_json(body),
        base_url=f"http://{headers.get('host', f'{host}:{port}')}",
    )


async def drip(body: bytes, receive: Receive, send: Send) -> None:
    """Send a body byte by byte, until its end or until the client disconnects."""
    leaving = asyncio.ensure_future(gone(receive))
    for place in range(len(body)):
        await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
        left, _ = await asyncio.wait({leaving}, timeout=DRIP_SECONDS)
        if left:
            return
    leaving.cancel()
    await send({"type": "http.response.body"})


async def gone(receive: Receive) -> None:
    """Wait until the client or the transport has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
