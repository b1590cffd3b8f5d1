"""Room for the texts of all subjects under all rules: who types most gives up some where there is none.

Enters: rules at work. Leaves: the same, their texts within the bound. Only the detector imports this; it must never
know when it is asked.
"""

from collections.abc import Collection, Iterator

from pfwatch.detection.texts import share
from pfwatch.detection.watch import Watch
from pfwatch.detection.watched import Watched

_MOST_TEXTS = 32_000_000
"""Bytes of texts: five short ones for each of the 60,000 subjects that three rules watch at most. An attacker who types
256 characters each time would fill a hundred times as much.
"""
_FEWER_TEXTS = _MOST_TEXTS * 3 // 4
"""What is left of them when it was too much, so that it is not too much again at once."""


def pack(every: Collection[Watched]) -> None:
    """Pack every hit, read all where they are not alike, and give up texts, for want of room."""
    for watched in every:
        for row in watched.rows:
            if row.waiting or (row.watch is not None and row.watch.unread):
                watched.settled(row).pack(watched.told)
    if not _is_too_much(every):
        return
    most = share((watch.size for watch in watches(every)), _FEWER_TEXTS)
    for watched in every:
        watched.give_up_texts(most)


def _is_too_much(every: Collection[Watched]) -> bool:
    """Whether the texts find no room. What was not read yet may take less than it seems; it is read as far as that
    matters.
    """
    over = sum(watch.size + watch.packed for watch in watches(every)) - _MOST_TEXTS
    for watched in every:
        for row in watched.rows:
            if over <= 0:
                return False
            if row.watch is not None and row.watch.packed:
                over -= row.watch.size + row.watch.packed
                over += watched.read(row).size
    return over > 0


def watches(every: Collection[Watched]) -> Iterator[Watch]:
    """What is known of every subject of whom anything is."""
    for watched in every:
        yield from (row.watch for row in watched.rows if row.watch is not None)
