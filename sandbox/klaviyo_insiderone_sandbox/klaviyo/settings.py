"""Settings for the account's behaviour where the vendor's is undocumented or has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, shown, shown_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ELSEWHERE = timezone(timedelta(hours=-5, minutes=-30))


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Settings of the Klaviyo account."""

    cursor: Literal["keyset", "anchor"] = "keyset"
    """The content of a cursor of profiles: the sort key of the last row, or its id."""
    spelling: Literal["usual", "blank", "fraction", "offset"] = "usual"
    """The spelling of times in profiles and events."""
    precision: Literal["second", "microsecond"] = "second"
    """The precision at which filters compare ``created`` and ``updated`` of profiles."""
    restless: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Every how many pages of profiles by ``updated`` the last one served is changed or erased; 0 = never."""
    fate: Literal["touched", "erased"] = "touched"
    """What happens to those profiles."""

    @property
    def grain(self) -> int:
        """The precision in microseconds."""
        return MICROSECONDS if self.precision == "second" else 1


def with_blank(instant: int) -> str:
    """Write an instant as some reads did: ``2021-05-17 23:43:28+00:00``."""
    return shown(instant).replace("T", " ")


def with_offset(instant: int) -> str:
    """Write an instant in local time: ``2021-05-17T18:13:28-05:30``."""
    return datetime.fromtimestamp(instant // MICROSECONDS, UTC).astimezone(ELSEWHERE).isoformat()


SPELLINGS: Mapping[str, Callable[[int], str]] = {
    "usual": shown,
    "blank": with_blank,
    "fraction": shown_exactly,
    "offset": with_offset,
}
"""Setting -> how an instant is written."""
