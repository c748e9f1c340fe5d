"""One process, one event loop, three ports: both APIs and the control plane."""

from __future__ import annotations

import gc
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from klaviyo_insiderone_sandbox.clock import Clock
from klaviyo_insiderone_sandbox.control import control_plane
from klaviyo_insiderone_sandbox.gateway import ReachableTransport
from klaviyo_insiderone_sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


YOUNG_OBJECTS = 100_000
"""New objects per garbage collection; high, since nearly all objects of a sandbox are data that stays."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three services listen; 0 = any free port."""

    klaviyo: int
    insiderone: int
    control: int


class Switch:
    """Passes each request to the application of its port."""

    def __init__(self, app_by_port: dict[int, ASGIApp]) -> None:
        self._app_by_port = app_by_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app_by_port[scope["server"][1]](scope, receive, send)


class AnnouncedServer(uvicorn.Server):
    """A server that signals when it is ready."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then signal it."""
        await super().startup(sockets)
        self._announce()


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Its protocol is named because asyncio switches Nagle's algorithm off for named TCP only; with it on, every answer on
    a kept connection takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def serve(
    host: str, ports: Ports, prepare: Callable[[Sandbox], None], announce: Callable[[dict[str, str]], None]
) -> None:
    """Run until stopped by a signal; *announce* is called with the addresses once they answer.

    Raises:
        OSError: A port is taken.
    """
    gc.set_threshold(YOUNG_OBJECTS, 50, 100)
    sandbox = Sandbox(Clock())
    prepare(sandbox)
    listeners = {
        "klaviyo": listen(host, ports.klaviyo),
        "insiderone": listen(host, ports.insiderone),
        "control": listen(host, ports.control),
    }
    applications: dict[str, ASGIApp] = {
        "klaviyo": sandbox.klaviyo_gateway,
        "insiderone": sandbox.insiderone_gateway,
        "control": control_plane(sandbox),
    }
    port_by_name = {name: listener.getsockname()[1] for name, listener in listeners.items()}
    config = uvicorn.Config(
        Switch({port_by_name[name]: application for name, application in applications.items()}),
        http=ReachableTransport,
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    urls = {name: f"http://{f'[{host}]' if ':' in host else host}:{port}" for name, port in port_by_name.items()}
    sandbox.urls = urls
    AnnouncedServer(config, lambda: announce(urls)).run(sockets=list(listeners.values()))
