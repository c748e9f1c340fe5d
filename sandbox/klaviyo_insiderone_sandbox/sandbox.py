"""The parts of one sandbox: both accounts, clock, faults, and the gateways of the APIs."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.faults import FaultBook
from klaviyo_insiderone_sandbox.gateway import Gateway
from klaviyo_insiderone_sandbox.insiderone.routes import InsiderOneApi
from klaviyo_insiderone_sandbox.insiderone.state import Users
from klaviyo_insiderone_sandbox.klaviyo.routes import KlaviyoApi
from klaviyo_insiderone_sandbox.klaviyo.seeding.seed import Seed, sow
from klaviyo_insiderone_sandbox.klaviyo.state import Account

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.clock import Clock
    from klaviyo_insiderone_sandbox.faults import Side


class Sandbox:
    """Both accounts, their clock and their faults."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.urls: dict[str, str] = {}
        self.faults = FaultBook()
        self.account = Account(clock)
        self.insiderone = InsiderOneApi(Users(clock))
        self.klaviyo_gateway = Gateway(KlaviyoApi(self.account), clock, self.faults)
        self.insiderone_gateway = Gateway(self.insiderone, clock, self.faults)

    def gateway(self, side: Side) -> Gateway:
        """Return the front of one API."""
        return self.klaviyo_gateway if side == "klaviyo" else self.insiderone_gateway

    def reset(self) -> None:
        """Return to empty accounts, the real clock, documented quotas, no faults, no latency, empty journals."""
        self.clock.run_real()
        self.faults.clear()
        self.account.reset()
        self.insiderone.reset()
        for gateway in (self.klaviyo_gateway, self.insiderone_gateway):
            gateway.reset()

    def seed(self, seed: Seed) -> None:
        """Add made-up data to the Klaviyo account.

        The data stays, so the garbage collector is told not to scan millions of objects again and again.
        """
        gc.disable()
        try:
            sow(self.account, seed)
        finally:
            gc.freeze()
            gc.enable()

    def scale_quotas(self, scale: float | None) -> None:
        """Scale the quotas of both sides; None = no quotas."""
        self.account.quotas.scale = scale
        self.insiderone.quotas.scale = scale
