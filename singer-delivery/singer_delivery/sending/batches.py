"""Delivers a batch by the memory of its kind: once, or newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_delivery.destination import NewestKind, OnceKind
from singer_delivery.sending.items import EventItem, VersionItem
from singer_delivery.sending.send_newest import SendNewest
from singer_delivery.sending.send_once import SendOnce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_delivery.accounts.accounting import Tally
    from singer_delivery.destination import Kind
    from singer_delivery.sending.delivery import SharedParts
    from singer_delivery.sending.lanes import Batch, Deliver


def deliver_batches(kinds: Mapping[str, Kind], shared: SharedParts, tally: Tally) -> Deliver:
    """Make the function that delivers the batches of one lane; *tally* is this lane's own.

    The function sends one batch and settles all of its items; it yields while it has to wait for the results of other
    batches. It raises StopSendingError, GaveUpError, AnswerMismatchError and Stopped; the items then stay pending.
    """
    newest, once = SendNewest(shared, tally), SendOnce(shared, tally)

    def deliver(batch: Batch) -> Iterator[Exception]:
        shared.jobs.resume()
        kind, variant = kinds[batch.group.kind], batch.group.variant
        if isinstance(kind, NewestKind):
            yield from newest.deliver(kind, variant, [item for item in batch.items if isinstance(item, VersionItem)])
        elif isinstance(kind, OnceKind):
            yield from once.deliver(kind, variant, [item for item in batch.items if isinstance(item, EventItem)])

    return deliver
