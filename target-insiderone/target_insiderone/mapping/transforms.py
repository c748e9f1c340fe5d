"""The transforms of a mapping: those of the engine, and ``consent``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from singer_delivery.mapping import transforms
from singer_delivery.mapping.transforms import TransformError

from target_insiderone.mapping.consent import NEVER_IS_FALSE, compile_consent

if TYPE_CHECKING:
    from singer_delivery.mapping.transforms import Parametric, Transform


def _compile_consent(argument: str | None) -> Transform:
    if argument not in (None, NEVER_IS_FALSE):
        raise TransformError(
            "unknown argument of transform 'consent'", f"write 'consent' or 'consent:{NEVER_IS_FALSE}'"
        )
    return compile_consent(never_is_false=argument is not None)


OWN: Final[Parametric] = {"consent": _compile_consent}

NAMES: Final = frozenset({*transforms.TRANSFORMS, *transforms.PARAMETRIC, *OWN})
"""Every name that a mapping may give."""

compile_transforms = partial(transforms.compile_transforms, more=OWN)
"""As `singer_delivery.mapping.transforms.compile_transforms`."""
