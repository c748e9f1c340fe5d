"""Runs inside the process to be killed: counts how often a point is reached, and kills the process."""

from __future__ import annotations

import functools
import json
import os
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_delivery.testing.points import Orders, Strike


class Trigger:
    """Kills its own process the *nth* time it is pulled, after noting that it did."""

    def __init__(self, strike: Strike, orders: Orders) -> None:
        self._strike = strike
        self._noted_in = orders.noted_in
        self._lock = threading.Lock()
        self._pulled = 0

    def is_due(self) -> bool:
        """Count one arrival at the point; returns whether it is the one to strike."""
        with self._lock:
            self._pulled += 1
            return self._pulled == self._strike.nth

    def fire(self) -> None:
        """Note the strike, then send the signal; does not return after a SIGKILL."""
        file = os.open(self._noted_in, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, json.dumps(asdict(self._strike)).encode() + b"\n")
        os.close(file)
        if self._strike.whole_pipe:
            os.killpg(os.getpgrp(), self._strike.signum)
        else:
            os.kill(os.getpid(), self._strike.signum)

    def pull(self) -> None:
        """Count one arrival, and fire if it is the one."""
        if self.is_due():
            self.fire()


def replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Replace ``owner.name`` with *function*."""
    setattr(owner, name, function)


def before(owner: Any, name: str, do: Callable[[], None]) -> None:
    """Call *do* before each call of ``owner.name``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def called(*arguments: Any, **named: Any) -> Any:
        do()
        return original(*arguments, **named)

    replace(owner, name, called)


def after(owner: Any, name: str, do: Callable[[], None]) -> None:
    """Call *do* after each call of ``owner.name`` that returns."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def called(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        do()
        return result

    replace(owner, name, called)


def halved(owner: Any, name: str, trigger: Trigger, is_meant: Callable[[bytes], bool]) -> None:
    """Split the last argument of the due call of ``owner.name`` into two calls, and fire between them."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def called(*arguments: Any) -> Any:
        *others, data = arguments
        if not is_meant(data) or not trigger.is_due():
            return original(*arguments)
        middle = len(data) // 2
        original(*others, data[:middle])
        trigger.fire()
        return original(*others, data[middle:])

    replace(owner, name, called)
