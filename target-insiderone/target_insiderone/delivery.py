"""What becomes of a batch: profiles and events each go their own way, in the order in which they were staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_delivery.sending.send_newest import ProfileDelivery
from singer_delivery.sending.send_once import EventDelivery

from target_insiderone.api.users import EventItem, ProfileItem

if TYPE_CHECKING:
    from singer_delivery.accounts.accounting import Tally
    from singer_delivery.sending.delivery import SharedParts
    from singer_delivery.sending.lanes import Batch


class Delivery:
    """Delivers the batches of one lane; counts into *tally*, which is this lane's own."""

    def __init__(self, shared: SharedParts, tally: Tally) -> None:
        self._skip_hook = shared.settings.skip_hook
        self._profiles = ProfileDelivery(shared, tally)
        self._events = EventDelivery(shared, tally)

    def deliver(self, batch: Batch) -> None:
        """Send one batch and settle every item of it.

        Raises:
            StopSendingError, GaveUpError, AnswerMismatchError, Stopped: Its items then stay pending.
        """
        if profiles := [item for item in batch.items if isinstance(item, ProfileItem)]:
            self._profiles.deliver(profiles, skip_hook=self._skip_hook or batch.group == "old profiles")
        if events := [item for item in batch.items if isinstance(item, EventItem)]:
            self._events.deliver(events, skip_hook=self._skip_hook or batch.group == "old events")
