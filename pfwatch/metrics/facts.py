"""What each fact about Postfix adds to the counters, whether an event tells of it or a count of lines.

Enters: the facts' own fields. Leaves: additions to `Counters`. Only `record`, its parts and `tallies` import this; it
must never know an event or how a line is read.
"""

from pfwatch.metrics.catalogue import DELAY_STAGES
from pfwatch.metrics.counters import Counters


def connected(counters: Counters, weight: int) -> None:
    """A client connected to smtpd."""
    counters.add("postfix_smtpd_connects_total", (), weight)


def disconnected(counters: Counters, weight: int) -> None:
    """A client left smtpd."""
    counters.add("postfix_smtpd_disconnects_total", (), weight)


def aborted(counters: Counters, service: str, reason: str, stage: str, weight: int) -> None:
    """A session ended without QUIT."""
    counters.add("postfix_session_aborts_total", (service, reason, stage), weight)
    if reason == "lost_connection":
        counters.add("postfix_smtpd_connections_lost_total", (stage,), weight)


def login_failed(counters: Counters, service: str, method: str, cause: str, weight: int) -> None:
    """Smtpd refused a SASL exchange of a client."""
    counters.add("postfix_sasl_failures_total", (service, method.upper(), cause), weight)
    if cause != "aborted":  # the older exporters read `authentication failed`, not `authentication aborted`
        counters.add("postfix_smtpd_sasl_authentication_failures_total", (), weight)


def relay_denied(counters: Counters, service: str, stage: str, code: str, weight: int) -> None:
    """Smtpd refused to relay."""
    counters.add("postfix_relay_denied_total", (service,), weight)
    refused_by_code(counters, stage, code, weight)


def accepted(counters: Counters, service: str, origin: str, method: str | None, login: bool, weight: int) -> None:
    """A queue file was opened."""
    counters.add("postfix_messages_accepted_total", (service, origin, "yes" if login else "no"), weight)
    if origin == "smtpd":
        counters.add("postfix_smtpd_messages_processed_total", (method.upper() if method else "NONE",), weight)


def identified(counters: Counters, weight: int) -> None:
    """A Message-ID was logged."""
    counters.add("postfix_cleanup_messages_processed_total", (), weight)


def queued(counters: Counters, size: int, recipients: int, weight: int) -> None:
    """A message entered the active queue."""
    queued_sizes(counters, [size] * weight)
    queued_recipients(counters, recipients, weight)


def queued_sizes(counters: Counters, sizes: list[int]) -> None:
    """Messages of these sizes, in bytes, entered the active queue."""
    counters.observe_all("postfix_qmgr_messages_inserted_size_bytes", (), sizes)


def queued_recipients(counters: Counters, recipients: int, weight: int) -> None:
    """Messages with so many recipients entered the active queue."""
    counters.observe("postfix_qmgr_messages_inserted_recipients", (), recipients, weight)
    counters.observe("postfix_qmgr_messages_inserted_receipients", (), recipients, weight)


def removed(counters: Counters, weight: int) -> None:
    """A message left the queue."""
    counters.add("postfix_qmgr_messages_removed_total", (), weight)


def delivered(
    counters: Counters, daemon: str, status: str, delays: tuple[float, ...], code: str, relay: str, weight: int
) -> None:
    """A delivery was attempted; `delays` in seconds, none where they are counted elsewhere."""
    counters.add("postfix_deliveries_total", (daemon, status), weight)
    if daemon == "smtp":
        counters.add("postfix_smtp_messages_processed_total", (status,), weight)
        if status == "deferred":
            counters.add("postfix_smtp_status_deferred", (), weight)
            counters.add("postfix_smtp_deferred_messages_by_dsn_total", (code,), weight)
        elif status == "bounced":
            counters.add("postfix_smtp_bounced_messages_by_dsn_total", (code,), weight)
    elif daemon == "virtual" and status == "sent":
        counters.add("postfix_virtual_delivered_total", (), weight)
    for (name, labels), seconds in zip(delay_series(daemon, status, relay), delays, strict=False):
        counters.observe(name, labels, seconds, weight)


def delay_series(daemon: str, status: str, relay: str) -> list[tuple[str, tuple[str, ...]]]:
    """The histograms that a delivery's four delays belong to: name and labels each; none where they are not kept."""
    if daemon == "pipe":
        return [("postfix_pipe_delivery_delay_seconds", (relay, stage)) for stage in DELAY_STAGES]
    if daemon in _DELAYS and status != "deferred":
        return [(_DELAYS[daemon], (stage,)) for stage in DELAY_STAGES]
    return []


def tls_session(
    counters: Counters, direction: str, trust: str, protocol: str, cipher: str, bits: str, all_bits: str, weight: int
) -> None:
    """A TLS session began."""
    name = "postfix_smtpd_tls_connections_total" if direction == "inbound" else "postfix_smtp_tls_connections_total"
    counters.add(name, (trust, protocol, cipher, bits, all_bits), weight)


_DELAYS = {"smtp": "postfix_smtp_delivery_delay_seconds", "lmtp": "postfix_lmtp_delivery_delay_seconds"}


def notified(counters: Counters, notice: str, weight: int) -> None:
    """Somebody was notified of what became of a message."""
    counters.add("postfix_sender_notifications_total", (notice,), weight)
    if notice == "non_delivery":
        counters.add("postfix_bounce_non_delivery_notification_total", (), weight)


def unconfirmed(counters: Counters, weight: int) -> None:
    """The name of a client's address has other addresses."""
    counters.add("postfix_smtpd_forward_confirmed_reverse_dns_errors_total", (), weight)


def screened(counters: Counters, weight: int) -> None:
    """A client connected to postscreen."""
    counters.add("postfix_postscreen_connects_total", (), weight)


def passed(counters: Counters, age: str, weight: int) -> None:
    """A client passed postscreen's tests, now (`new`) or before (`old`)."""
    counters.add("postfix_postscreen_passes_total", (age,), weight)


def ranked(counters: Counters, score: int, weight: int) -> None:
    """A client has this DNSBL score."""
    counters.observe("postfix_postscreen_dnsbl_rank", (), score, weight)


def refused(counters: Counters, service: str, stage: str, code: str, why: str, weight: int) -> None:
    """Smtpd refused a command that was no relay attempt."""
    counters.add("postfix_rejects_total", (service, stage, why), weight)
    refused_by_code(counters, stage, code, weight)


def refused_by_code(counters: Counters, stage: str, code: str, weight: int) -> None:
    """Smtpd refused a recipient."""
    if stage == "RCPT":
        counters.add("postfix_smtpd_messages_rejected_total", (code,), weight)
