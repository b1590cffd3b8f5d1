"""What each fact about Postfix adds to the counters.

Enters: finished events (`record`) and the fields of lines that are only tallied (`TALLIES`). Leaves: additions to
`Counters`. Both ways of the same line add the same, because both end in the same function here.
This file must never know how a line is read, or what else an event is good for.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pfwatch import events
from pfwatch.events import Event
from pfwatch.metrics import screening
from pfwatch.metrics import service as of_service
from pfwatch.metrics.catalogue import DELAY_STAGES, OTHER
from pfwatch.metrics.counters import Counters
from pfwatch.parsing.delivery import status_of
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.reject import category
from pfwatch.parsing.smtpd import LIMITS
from pfwatch.records.header import postfix_tag

Fields = tuple[bytes | None, ...]


def record(counters: Counters, event: Event) -> None:
    """Add what a finished event stands for, as often as its line does. A part of another event adds nothing."""
    if event.envelope.part_of is None and (count := _EVENTS.get(type(event))) is not None:
        count(counters, event, event.envelope.service or OTHER, event.envelope.weight)


# One function per fact, for both ways.


def _connect(counters: Counters, weight: int) -> None:
    counters.add("postfix_smtpd_connects_total", (), weight)


def _disconnect(counters: Counters, weight: int) -> None:
    counters.add("postfix_smtpd_disconnects_total", (), weight)


def _abort(counters: Counters, service: str, reason: str, stage: str, weight: int) -> None:
    counters.add("postfix_session_aborts_total", (service, reason, stage), weight)
    if reason == "lost_connection":
        counters.add("postfix_smtpd_connections_lost_total", (stage,), weight)


def _accepted(counters: Counters, service: str, origin: str, method: str | None, login: bool, weight: int) -> None:
    counters.add("postfix_messages_accepted_total", (service, origin, "yes" if login else "no"), weight)
    if origin == "smtpd":
        counters.add("postfix_smtpd_messages_processed_total", (method.upper() if method else "NONE",), weight)


def _identified(counters: Counters, weight: int) -> None:
    counters.add("postfix_cleanup_messages_processed_total", (), weight)


def _queued(counters: Counters, size: int, recipients: int, weight: int) -> None:
    counters.observe("postfix_qmgr_messages_inserted_size_bytes", (), size, weight)
    counters.observe("postfix_qmgr_messages_inserted_recipients", (), recipients, weight)
    counters.observe("postfix_qmgr_messages_inserted_receipients", (), recipients, weight)


def _removed(counters: Counters, weight: int) -> None:
    counters.add("postfix_qmgr_messages_removed_total", (), weight)


def _delivery(
    counters: Counters, daemon: str, status: str, delays: tuple[float, ...], code: str, relay: str, weight: int
) -> None:
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
    if daemon == "pipe":
        for stage, seconds in zip(DELAY_STAGES, delays, strict=False):
            counters.observe("postfix_pipe_delivery_delay_seconds", (relay, stage), seconds, weight)
    elif daemon in {"smtp", "lmtp"} and status != "deferred":
        name = _DELAYS[daemon]
        for labels, seconds in zip(_STAGE_LABELS, delays, strict=False):
            counters.observe(name, labels, seconds, weight)


def _tls(
    counters: Counters, direction: str, trust: str, protocol: str, cipher: str, bits: str, all_bits: str, weight: int
) -> None:
    name = "postfix_smtpd_tls_connections_total" if direction == "inbound" else "postfix_smtp_tls_connections_total"
    counters.add(name, (trust, protocol, cipher, bits, all_bits), weight)


_DELAYS = {"smtp": "postfix_smtp_delivery_delay_seconds", "lmtp": "postfix_lmtp_delivery_delay_seconds"}
_STAGE_LABELS = tuple((stage,) for stage in DELAY_STAGES)


def _reject(counters: Counters, service: str, stage: str, code: str, why: str, weight: int) -> None:
    counters.add("postfix_rejects_total", (service, stage, why), weight)
    _rejected_by_code(counters, stage, code, weight)


def _rejected_by_code(counters: Counters, stage: str, code: str, weight: int) -> None:
    if stage == "RCPT":
        counters.add("postfix_smtpd_messages_rejected_total", (code,), weight)


# Events.


def _client_connected(counters: Counters, event: events.ClientConnected, _service: str, weight: int) -> None:
    if event.envelope.daemon == "smtpd":  # qmqpd has clients, too
        _connect(counters, weight)


def _client_disconnected(counters: Counters, event: events.ClientDisconnected, _service: str, weight: int) -> None:
    if event.envelope.daemon == "smtpd":
        _disconnect(counters, weight)


def _session_aborted(counters: Counters, event: events.SessionAborted, service: str, weight: int) -> None:
    _abort(counters, service, event.reason, event.stage, weight)


def _auth_failed(counters: Counters, event: events.AuthFailed, service: str, weight: int) -> None:
    counters.add("postfix_sasl_failures_total", (service, event.method.upper(), event.cause), weight)
    if event.cause != "aborted":  # the older exporters read `authentication failed`, not `authentication aborted`
        counters.add("postfix_smtpd_sasl_authentication_failures_total", (), weight)


def _auth_backend_failed(counters: Counters, event: events.AuthBackendFailed, _service: str, weight: int) -> None:
    counters.add("postfix_sasl_backend_failures_total", (event.backend,), weight)


def _auth_probed(counters: Counters, event: events.AuthProbed, service: str, weight: int) -> None:
    counters.add("postfix_sasl_probes_total", (service,), event.attempts * weight)


def _relay_denied(counters: Counters, event: events.RelayDenied, service: str, weight: int) -> None:
    counters.add("postfix_relay_denied_total", (service,), weight)
    _rejected_by_code(counters, event.stage, str(event.code), weight)


def _rejected(counters: Counters, event: events.Rejected, service: str, weight: int) -> None:
    if event.envelope.daemon == "postscreen":
        counters.add("postfix_rejects_total", (service, event.stage or OTHER, event.category), weight)
        screening.refused_by_postscreen(counters, event, weight)
        return
    _reject(counters, service, event.stage or OTHER, str(event.code), event.category, weight)
    if event.envelope.daemon == "cleanup":
        counters.add("postfix_cleanup_messages_rejected_total", (), weight)


def _policy_action(counters: Counters, event: events.PolicyAction, service: str, weight: int) -> None:
    counters.add("postfix_policy_actions_total", (service, event.action), weight)


def _milter_action(counters: Counters, event: events.MilterAction, service: str, weight: int) -> None:
    if event.fault:
        counters.add("postfix_milter_faults_total", (service,), weight)
        return
    counters.add("postfix_milter_actions_total", (service, event.action), weight)
    if event.action == "reject" and event.envelope.daemon == "cleanup":
        counters.add("postfix_cleanup_messages_rejected_total", (), weight)


def _tls_failed(counters: Counters, event: events.TlsFailed, _service: str, weight: int) -> None:
    counters.add("postfix_tls_errors_total", (event.direction, event.error or OTHER), weight)


def _tls_detail(counters: Counters, _event: events.TlsDetail, _service: str, weight: int) -> None:
    counters.add("postfix_tls_errors_total", ("inbound", OTHER), weight)


def _tls_established(counters: Counters, event: events.TlsEstablished, _service: str, weight: int) -> None:
    trust, bits, all_bits = event.trust.capitalize(), str(event.bits), str(event.algorithm_bits)
    _tls(counters, event.direction, trust, event.protocol, event.cipher, bits, all_bits, weight)


def _rate_limited(counters: Counters, event: events.RateLimited, service: str, weight: int) -> None:
    counters.add("postfix_rate_limited_total", (service, event.limit), weight)


def _message_accepted(counters: Counters, event: events.MessageAccepted, service: str, weight: int) -> None:
    login = event.username is not None or event.method is not None
    _accepted(counters, service, event.origin, event.method, login, weight)


def _message_identified(counters: Counters, _event: events.MessageIdentified, _service: str, weight: int) -> None:
    _identified(counters, weight)


def _message_queued(counters: Counters, event: events.MessageQueued, _service: str, weight: int) -> None:
    _queued(counters, event.size, event.recipients, weight)


def _delivered(counters: Counters, event: events.Delivery, _service: str, weight: int) -> None:
    daemon, code, relay = event.envelope.daemon or OTHER, event.enhanced_code or OTHER, event.relay_name or "none"
    _delivery(counters, daemon, event.status, tuple(event.delays), code, relay, weight)


def _message_removed(counters: Counters, event: events.MessageRemoved, _service: str, weight: int) -> None:
    if event.envelope.daemon not in {"qmgr", "oqmgr"}:
        return  # postsuper and cleanup say `removed` too
    if event.action == "removed":
        _removed(counters, weight)
    elif event.action == "expired":
        counters.add("postfix_qmgr_messages_expired_total", (), weight)


def _unsupported(counters: Counters, event: events.Unsupported, _service: str, weight: int) -> None:
    daemon = event.envelope.daemon or OTHER
    counters.add("postfix_unsupported_log_entries_total", (daemon, event.envelope.severity), weight)


_EVENTS: dict[type[Event], Callable[[Counters, Any, str, int], None]] = {
    events.ClientConnected: _client_connected,
    events.ClientDisconnected: _client_disconnected,
    events.SessionAborted: _session_aborted,
    events.AuthFailed: _auth_failed,
    events.AuthBackendFailed: _auth_backend_failed,
    events.AuthProbed: _auth_probed,
    events.RelayDenied: _relay_denied,
    events.Rejected: _rejected,
    events.PolicyAction: _policy_action,
    events.MilterAction: _milter_action,
    events.TlsFailed: _tls_failed,
    events.TlsDetail: _tls_detail,
    events.TlsEstablished: _tls_established,
    events.RateLimited: _rate_limited,
    events.MessageAccepted: _message_accepted,
    events.MessageIdentified: _message_identified,
    events.MessageQueued: _message_queued,
    events.Delivery: _delivered,
    events.MessageRemoved: _message_removed,
    events.Unsupported: _unsupported,
    **screening.EVENTS,
    **of_service.EVENTS,
}

# Tallies: the fields as the log has them, in bytes.

_REASONS = {
    b"lost connection": "lost_connection",
    b"timeout": "timeout",
    b"too many errors": "too_many_errors",
    b"bare <LF> received": "bare_lf",
}


@lru_cache(maxsize=4096)
def _text(field: bytes | None) -> str:
    return OTHER if field is None else field.decode("utf-8", "replace")


@lru_cache(maxsize=4096)
def _seconds(delays: bytes | None) -> tuple[float, ...]:
    """`0.01/0.02/0.05/0` as numbers; nothing of a field that was cut."""
    parts = (delays or b"").split(b"/")
    return tuple(map(float, parts)) if len(parts) == len(DELAY_STAGES) and all(parts) else ()


def _tally_abort(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    reason, stage = fields
    _abort(counters, service or OTHER, _REASONS[reason or b""], _text(stage), weight)


def _tally_accepted(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    method = str(untrusted(fields[0])) if fields and fields[0] is not None else None
    _accepted(counters, service or OTHER, "smtpd", method, method is not None, weight)


def _tally_rejected(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    stage, code, about = fields
    _reject(counters, service or OTHER, _text(stage), _text(code), category(about or b""), weight)


def _tally_limited(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    counters.add("postfix_rate_limited_total", (service or OTHER, LIMITS[fields[0] or b""]), weight)


def _tally_queued(counters: Counters, _service: str, fields: Fields, weight: int) -> None:
    size, recipients = fields
    _queued(counters, int(size or 0), int(recipients or 0), weight)


def _tally_delivery(counters: Counters, _service: str, fields: Fields, weight: int) -> None:
    daemon, status, delays, code, relay = fields
    _delivery(
        counters,
        _text(daemon),
        status_of(status or b""),
        _seconds(delays),
        _text(code),
        _text(relay or b"none"),
        weight,
    )


def _tally_tls(counters: Counters, _service: str, fields: Fields, weight: int) -> None:
    direction, trust, protocol, cipher, bits, all_bits = map(_text, fields)
    _tls(counters, direction, trust, protocol, cipher, bits, all_bits, weight)


TALLIES: dict[str, Callable[[Counters, str, Fields, int], None]] = {
    "smtpd-connect": lambda counters, _service, _fields, weight: _connect(counters, weight),
    "smtpd-disconnect": lambda counters, _service, _fields, weight: _disconnect(counters, weight),
    "session-aborted": _tally_abort,
    "smtpd-client": _tally_accepted,
    "smtpd-reject": _tally_rejected,
    "smtpd-rate-limited": _tally_limited,
    "cleanup-message-id": lambda counters, _service, _fields, weight: _identified(counters, weight),
    "qmgr-queued": _tally_queued,
    "qmgr-removed": lambda counters, _service, _fields, weight: _removed(counters, weight),
    "delivery": _tally_delivery,
    "tls-established": _tally_tls,
}
"""Rule name -> what its tallied lines add: (counters, service, fields, how many lines).

Fields by rule: `session-aborted` reason and stage; `qmgr-queued` size and recipients; `delivery` daemon, status,
delays, enhanced code and relay; `tls-established` direction (`inbound`, `outbound`), trust, protocol, cipher, bits and
algorithm bits; the others none.
"""

_SHARED = {
    "smtpd-session-aborted": ("session-aborted", ()),
    "tls-established-inbound": ("tls-established", (b"inbound",)),
    "tls-established-outbound": ("tls-established", (b"outbound",)),
}


def tally(counters: Counters, rule: str, keys: Mapping[bytes | tuple[bytes | None, ...], int]) -> None:
    """Add the lines that the scanner only tallied: by tag, or by tag and what the rule's tally groups held."""
    name, before = _SHARED.get(rule, (rule, ()))
    count = TALLIES.get(name)
    if count is None:
        return
    for key, weight in keys.items():
        tag, *fields = key if isinstance(key, tuple) else (key,)
        known = postfix_tag(tag or b"")
        if known is None:
            continue
        if rule == "delivery":
            before = (known.daemon.encode(),)
        count(counters, known.service, (*before, *fields), weight)
