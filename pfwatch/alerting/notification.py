"""A notification: what is to be said, to whom it belongs in a thread, before anyone writes it as a mail.

Enters: incidents and a reason. Leaves: the frozen `Notification`, stored in the outbox and given to every channel.
This file must never know mail, templates or the network.
"""

from typing import Literal

import msgspec

from pfwatch.detection.incident import Incident

Reason = Literal["first", "grew", "repeat", "resolved", "digest", "overflow"]
"""Why somebody is told: an incident opened; it is ten times as large; it still goes on; it ended; the small ones of a
period together; the day's budget of notifications is spent."""


class Notification(msgspec.Struct, frozen=True):
    """One message to the administrator. The same log and settings give the same, to the last byte."""

    id: str
    """Unique and deterministic: `<lead incident's id>-<reason>-<number of its notification>`."""
    reason: Reason
    at: float
    """When it was decided, seconds since the epoch."""
    host: str
    subject_line: str
    """One line of printable text, at most 200 characters."""
    incidents: list[Incident]
    """The lead first: the most severe, then the largest. Empty for `overflow`."""
    thread: str
    """The id of the first notification about the lead incident; equal to `id` for the first itself."""
    suppressed: int = 0
    """For `overflow`: how many notifications are held back until midnight UTC."""
