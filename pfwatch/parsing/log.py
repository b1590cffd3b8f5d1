"""One log: the scanner, behind what undoes the doings of a container's runtime and of a clock that was set back.

Enters: blocks of whole lines as they come from a source. Leaves: what the scanner leaves, and a state for a restart.
Whoever reads a log reads it through this; it must never know where blocks come from or who listens.
"""

from collections.abc import Sequence
from datetime import tzinfo

import msgspec

from pfwatch.parsing.listener import Listener
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.stretch import Counts, Stretch, add_counts
from pfwatch.parsing.tally import Tally
from pfwatch.parsing.wanted import Wanted
from pfwatch.records.container import ContainerLog
from pfwatch.records.folds import Folds
from pfwatch.records.time import TimeReader


class LogSettings(msgspec.Struct, frozen=True):
    """How logs are read."""

    zone: tzinfo | None = None
    """Of time stamps without one; None: the machine's."""
    year: int | None = None
    """Of time stamps without one; None: inferred."""
    dovecot: bool = False
    """Read Dovecot's failed logins, too."""


class LogReader:
    """Reads one log."""

    def __init__(
        self,
        listener: Listener,
        zone: tzinfo | None = None,
        year: int | None = None,
        *,
        wanted: Wanted | None = None,
        **how: bool,
    ) -> None:
        """Tell `listener` what happens; `zone` and `year` are of stamps without them, the rest is for `Scanner`."""
        self.times = TimeReader(zone, year)
        self._container = ContainerLog()
        self._folds = Folds(self.times, zone)
        self._scanner = Scanner(listener, self.times, wanted=wanted, **how)
        self._reference = 0.0

    def read(self, block: bytes, reference: float, *, live: bool = False) -> None:
        """Read whole lines; `reference` is the newest moment that a record in them can have: `live`, it is now."""
        self.read_plain(self._container.unwrap(block), reference, live=live)

    def finish(self) -> None:
        """Read what a container's runtime had broken and did not complete: the log is at its end."""
        self.read_plain(self._container.rest(), self._reference)

    def unwrap(self, block: bytes) -> bytes:
        """The lines of a block as the container wrote them."""
        return self._container.unwrap(block)

    def rest(self) -> bytes:
        """The lines that its runtime did not complete."""
        return self._container.rest()

    def read_plain(self, lines: bytes, reference: float, *, live: bool = False) -> None:
        """Read lines as the container wrote them."""
        if not lines:
            return
        self._reference = reference
        for piece in self._folds.pieces(lines, reference, live=live):
            self._scanner.scan(piece, reference)

    def follow(self, stretch: Stretch, reference: float) -> None:
        """Make a stretch its own that was read apart: it follows the lines that were read."""
        self._reference = reference
        if stretch.latest:  # any of its lines was read
            self._folds.leave(reference)
            self._scanner.follow(stretch)
        self.read(stretch.rest, reference)

    def add(self, counts: Sequence[Counts], but: Sequence[Counts]) -> None:
        """Count what was counted in stretches that were read apart, but not this."""
        counted = Tally()
        add_counts(counted, counts)
        add_counts(counted, but, -1)
        self._scanner.add(counted)

    def take(self, *, counts: bool = True) -> Tally:
        """As of `Scanner`."""
        return self._scanner.take(counts=counts)

    @property
    def tell_losses(self) -> bool:
        """As of `Scanner`."""
        return self._scanner.tell_losses

    def newest(self) -> float | None:
        """As of `Scanner`."""
        return self._scanner.newest()

    def state(self) -> bytes:
        """What a restart must know of the lines before, encoded."""
        return msgspec.msgpack.encode((self._scanner.state(), self._folds.state(), self._container.state()))

    def restore(self, saved: bytes) -> None:
        """Go on behind the lines that `state` speaks of."""
        scanner, folds, container = msgspec.msgpack.decode(saved, type=tuple[bytes, bytes | None, bytes | None])
        self._scanner.restore(scanner)
        if folds is not None:
            self._folds.restore(folds)
        if container is not None:
            self._container.restore(container)
