"""What happens to an incident.

Enters: nothing. Leaves: the `Change`, which the detector makes and whoever tells of incidents reads. This file must
never know how an incident is found.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from pfwatch.detection.incident import Incident

Key = tuple[str, str]
"""Rule and subject."""


class Whole:
    """An incident that ended, made whole when somebody wants it: few are ever looked at."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Incident]) -> None:
        self._make = make

    def __call__(self) -> Incident:
        """The incident."""
        return self._make()

    def __eq__(self, other: object) -> bool:
        """Whether it is the same incident."""
        return isinstance(other, Whole) and self() == other()

    __hash__ = None  # type: ignore[assignment] # as of everything that is compared by what it holds


class Change(msgspec.Struct, frozen=True):
    """Something happened to an incident."""

    what: Literal["opened", "grew", "ended", "dropped"]
    """`dropped`: it goes on, but there was no room to watch it any longer."""
    key: Key
    at: float
    incident: Incident
    """An outline of it, without what fills a mail."""
    whole: Whole | None = None
    """All of one that ended; of others, `Detector.incident` gives it."""
