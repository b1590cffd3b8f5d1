"""What an administrator can set of the alerting, with the shipped values.

Enters: nothing. Leaves: frozen settings. This file must never know where they are configured.
"""

from typing import Literal

import msgspec


class Silence(msgspec.Struct, frozen=True):
    """Nobody is told about matching incidents until a moment. An empty pattern matches everything."""

    rule: str = ""
    subject: str = ""
    """An address or a network."""
    until: float | None = None
    """Seconds since the epoch; None for good."""
    comment: str = ""


class AlertSettings(msgspec.Struct, frozen=True):
    """When to speak. Durations in seconds."""

    max_alert_age: int = 3600
    """Nobody is told about an incident whose latest event is older than this."""
    group_wait: int = 30
    """Incidents that open within this time of one another go into one mail."""
    grew_factor: int = 10
    """Tell again when an incident is this many times as large as when it was last told."""
    repeat_interval: int = 86_400
    """Tell again when an incident still goes on after this."""
    digest_interval: int = 86_400
    """Incidents of severity `info` are collected for this long into one mail."""
    daily_budget: int = 50
    """Notifications a day (UTC); the next one says that the budget is spent."""
    send_resolved: bool = False
    """Tell that an incident ended."""
    silences: tuple[Silence, ...] = ()


class SmtpServer(msgspec.Struct, frozen=True):
    """A mail server to hand alert mails to."""

    host: str = "localhost"
    port: int = 25
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = "opportunistic"
    """none; STARTTLS if offered, certificate not checked; STARTTLS required and checked; TLS from the first byte and
    checked."""
    username: str | None = None
    password: str | None = None
    timeout: float = 30.0
    """Seconds for each step of the SMTP conversation."""


class MailSettings(msgspec.Struct, frozen=True):
    """The mail channel."""

    recipients: tuple[str, ...] = ()
    """No recipients: alert mails are not sent, incidents still show on /metrics and in the log."""
    sender: str = ""
    """Empty: `pfwatch@<this host's name>`."""
    server: SmtpServer = SmtpServer()
    fallback: SmtpServer | None = None
    """The next server, when the first one does not take the mail."""
