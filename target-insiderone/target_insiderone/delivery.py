"""What becomes of a batch: profiles and events each go their own way, in the order in which they were staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_insiderone.event_delivery import EventDelivery
from target_insiderone.items import EventItem, ProfileItem
from target_insiderone.profile_delivery import ProfileDelivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_insiderone.accounting import Tally
    from target_insiderone.dispatch import SharedParts
    from target_insiderone.lanes import Batch


class Delivery:
    """Delivers the batches of one lane; counts into *tally*, which is this lane's own."""

    def __init__(self, shared: SharedParts, tally: Tally) -> None:
        self._skip_hook = shared.settings.skip_hook
        self._profiles = ProfileDelivery(shared, tally)
        self._events = EventDelivery(shared, tally)

    def deliver(self, batch: Batch) -> Iterator[Exception]:
        """Send one batch and settle every item of it; yields where that has to wait for what other batches come to.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: Its items then stay pending.
        """
        if profiles := [item for item in batch.items if isinstance(item, ProfileItem)]:
            yield from self._profiles.deliver(profiles, skip_hook=self._skip_hook or batch.group == "old profiles")
        if events := [item for item in batch.items if isinstance(item, EventItem)]:
            yield from self._events.deliver(events, skip_hook=self._skip_hook or batch.group == "old events")
