"""The sending worker: takes what waits in the outbox and gives it to a channel until it is delivered.

Enters: rows of the outbox. Leaves: delivered notifications, and for each of them a word to the storage: sent, or failed
and when to try again. This file must never know SQL, mail, or how a notification came about.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from pfwatch.alerting.channels.smtp import ChannelError
from pfwatch.alerting.notification import Notification
from pfwatch.detection.incident import SEVERITIES, Incident

_DELAYS = (60, 120, 300, 900, 1800)
_LATER = 3600
_PILE = 20
"""More than this many waiting after a long outage are told in one mail."""
_LONG_OUTAGE = 3600
_LONGEST_NAP = 60.0
"""The wall clock may be set while the worker waits."""


class Row(Protocol):
    """A notification that waits."""

    @property
    def notification(self) -> Notification:
        """What is to be said."""

    @property
    def attempts(self) -> int:
        """Failed ones so far."""

    @property
    def next_try(self) -> float:
        """Seconds since the epoch."""


class Storage(Protocol):
    """Where notifications wait. The methods are synchronous and are called by way of `run`."""

    def pending(self) -> Sequence[Row]:
        """Neither sent nor failed for good, the oldest first."""

    def sent(self, id: str, channel: str, at: float) -> None:  # noqa: A002 - the word of the storage
        """Delivered: it is never pending again."""

    def failed(self, id: str, channel: str, error: str, next_try: float | None) -> None:  # noqa: A002
        """One more failed attempt; without a `next_try` it is kept as failed and never pending again."""


class Channel(Protocol):
    """A way out of the house."""

    @property
    def name(self) -> str:
        """The word for it in metrics and in the storage."""

    async def send(self, notification: Notification) -> None:
        """Raises `ChannelError`."""


def next_try(attempts: int, now: float) -> float:
    """When to try again after so many failed attempts: 1, 2, 5, 15, 30 minutes later, then every hour."""
    if attempts < 1:
        return now
    return now + (_DELAYS[attempts - 1] if attempts <= len(_DELAYS) else _LATER)


def is_pile(rows: Sequence[Row], now: float) -> bool:
    """More has gathered in a long outage than anybody wants to get mail by mail afterwards."""
    tried = any(row.attempts for row in rows)
    told = any(row.notification.incidents for row in rows)
    return len(rows) > _PILE and tried and told and now - min(row.notification.at for row in rows) > _LONG_OUTAGE


def summary_of(rows: Sequence[Row]) -> Notification:
    """One notification in place of many: every incident once, as it was last seen, the most severe first."""
    latest: dict[str, Incident] = {}
    for row in sorted(rows, key=lambda row: row.notification.at):
        latest.update((incident.id, incident) for incident in row.notification.incidents)
    newest = max((row.notification for row in rows), key=lambda notification: (notification.at, notification.id))
    identity = f"pile-{len(rows)}-{newest.id}"
    return Notification(
        id=identity,
        reason="overflow",
        at=newest.at,
        host=newest.host,
        subject_line=f"[pfwatch {newest.host}] {len(rows)} alert mails in one: they could not be delivered before"[
            :200
        ],
        incidents=sorted(
            latest.values(), key=lambda incident: (-SEVERITIES.index(incident.severity), -incident.count, incident.id)
        ),
        thread=identity,
        suppressed=len(rows),
    )


class Outbox:
    """Sends what is pending, one after the other. `on_result` hears `sent`, `retried` or `failed` for each attempt."""

    def __init__(
        self,
        storage: Storage,
        channels: Sequence[Channel],
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
        *,
        now: Callable[[], float],
        on_result: Callable[[str, str], None],
        say: Callable[[str], None],
    ) -> None:
        """`channels` in order: the first that takes a notification has it. `say`: where failures are told in words."""
        self._storage = storage
        self._channels = channels
        self._run = run
        self._now = now
        self._on_result = on_result
        self._say = say
        self._bell = asyncio.Event()
        self._was_unreachable = False

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._bell.set()

    async def work(self) -> None:
        """Until cancelled. A mail that is being sent at that moment may be sent again at the next start."""
        while True:
            self._bell.clear()
            due = await self.deliver_due()
            nap = _LONGEST_NAP if due is None else min(_LONGEST_NAP, max(0.0, due - self._now()))
            # Not wait_for(): before Python 3.12 it can lose a cancellation, and this would never end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(nap):
                    await self._bell.wait()

    async def deliver_due(self) -> float | None:
        """One round. Returns when the next one is due, None when nothing waits."""
        if not self._channels:
            return None
        rows: Sequence[Row] = await self._run(self._storage.pending)
        due = [row for row in rows if row.next_try <= self._now()]
        if due and is_pile(rows, self._now()):
            await self._deliver(summary_of(rows), rows)
        else:
            await self._deliver_each(rows, due)
        left: Sequence[Row] = await self._run(self._storage.pending)
        return min((row.next_try for row in left), default=None)

    async def _deliver_each(self, rows: Sequence[Row], due: list[Row]) -> None:
        while due:
            row = due.pop(0)
            waited_for_server = self._was_unreachable
            if await self._deliver(row.notification, [row]) and waited_for_server:
                # The server is back: the others need not wait for their own time.
                again = {row.notification.id, *(other.notification.id for other in due)}
                due += [other for other in rows if other.next_try > self._now() and other.notification.id not in again]
            if self._was_unreachable:
                # The next mail would only wait for the same time-out.
                for other in due:
                    await self._failed(
                        other, self._channels[-1].name, "no mail server could be reached", temporary=True
                    )
                return

    async def _deliver(self, notification: Notification, rows: Sequence[Row]) -> bool:
        """True when a channel took it, for all of `rows`."""
        failures: list[ChannelError] = []
        for channel in self._channels:
            failure = await _attempt(channel, notification)
            if failure is None:
                self._was_unreachable = False
                self._on_result(channel.name, "sent")
                for row in rows:
                    await self._run(partial(self._storage.sent, row.notification.id, channel.name, self._now()))
                return True
            failures.append(failure)
            self._on_result(channel.name, "retried" if failure.temporary else "failed")
        name = self._channels[-1].name
        words = "; ".join(failure.message for failure in failures)
        temporary = any(failure.temporary for failure in failures)
        self._was_unreachable = all(failure.unreachable for failure in failures)
        fate = "it is tried again" if temporary else "it is not tried again"
        self._say(f"{name}: {notification.subject_line}: not delivered, {fate}: {words}")
        for row in rows:
            await self._failed(row, name, words, temporary=temporary)
        return False

    async def _failed(self, row: Row, channel: str, words: str, *, temporary: bool) -> None:
        when = next_try(row.attempts + 1, self._now()) if temporary else None
        await self._run(partial(self._storage.failed, row.notification.id, channel, words, when))


async def _attempt(channel: Channel, notification: Notification) -> ChannelError | None:
    try:
        await channel.send(notification)
    except ChannelError as error:
        return error
    except Exception as error:  # A mistake in a channel must not end the sending of everything else.
        return ChannelError(f"unexpected {type(error).__name__}: {error}", temporary=True)
    return None
