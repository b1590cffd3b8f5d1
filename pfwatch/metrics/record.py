"""What events add to the counters.

Enters: finished events. Leaves: additions to `Counters`. Both ways of the same line add the same, because this and
`tallies` end in the same functions of `facts`. This file must never know how a line is read.
"""

from collections.abc import Callable
from typing import Any

from pfwatch import events
from pfwatch.events import Event
from pfwatch.metrics import facts, screening
from pfwatch.metrics import service as of_service
from pfwatch.metrics.catalogue import OTHER
from pfwatch.metrics.counters import Counters


def record(counters: Counters, event: Event) -> None:
    """Add what a finished event stands for, as often as its line does. A part of another event adds nothing."""
    if event.envelope.part_of is None and (count := _EVENTS.get(type(event))) is not None:
        count(counters, event, event.envelope.service or OTHER, event.envelope.weight)


def _client_connected(counters: Counters, event: events.ClientConnected, _service: str, weight: int) -> None:
    if event.envelope.daemon == "smtpd":  # qmqpd has clients, too
        facts.connected(counters, weight)


def _client_disconnected(counters: Counters, event: events.ClientDisconnected, _service: str, weight: int) -> None:
    if event.envelope.daemon == "smtpd":
        facts.disconnected(counters, weight)


def _session_aborted(counters: Counters, event: events.SessionAborted, service: str, weight: int) -> None:
    facts.aborted(counters, service, event.reason, event.stage, weight)


def _auth_failed(counters: Counters, event: events.AuthFailed, service: str, weight: int) -> None:
    facts.login_failed(counters, service, event.method, event.cause, weight)


def _auth_backend_failed(counters: Counters, event: events.AuthBackendFailed, _service: str, weight: int) -> None:
    counters.add("postfix_sasl_backend_failures_total", (event.backend,), weight)


def _auth_probed(counters: Counters, event: events.AuthProbed, service: str, weight: int) -> None:
    counters.add("postfix_sasl_probes_total", (service,), event.attempts * weight)


def _relay_denied(counters: Counters, event: events.RelayDenied, service: str, weight: int) -> None:
    facts.relay_denied(counters, service, event.stage, str(event.code), weight)


def _rejected(counters: Counters, event: events.Rejected, service: str, weight: int) -> None:
    if event.envelope.daemon == "postscreen":
        counters.add("postfix_rejects_total", (service, event.stage or OTHER, event.category), weight)
        screening.refused_by_postscreen(counters, event, weight)
        return
    facts.refused(counters, service, event.stage or OTHER, str(event.code), event.category, weight)
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


def _tls_detail(counters: Counters, event: events.TlsDetail, _service: str, weight: int) -> None:
    direction = "outbound" if event.envelope.daemon in {"smtp", "lmtp"} else "inbound"
    counters.add("postfix_tls_errors_total", (direction, OTHER), weight)


def _tls_established(counters: Counters, event: events.TlsEstablished, _service: str, weight: int) -> None:
    trust, bits, all_bits = event.trust.capitalize(), str(event.bits), str(event.algorithm_bits)
    facts.tls_session(counters, event.direction, trust, event.protocol, event.cipher, bits, all_bits, weight)


def _rate_limited(counters: Counters, event: events.RateLimited, service: str, weight: int) -> None:
    counters.add("postfix_rate_limited_total", (service, event.limit), weight)


def _message_accepted(counters: Counters, event: events.MessageAccepted, service: str, weight: int) -> None:
    login = event.username is not None or event.method is not None
    facts.accepted(counters, service, event.origin, event.method, login, weight)


def _message_identified(counters: Counters, _event: events.MessageIdentified, _service: str, weight: int) -> None:
    facts.identified(counters, weight)


def _message_queued(counters: Counters, event: events.MessageQueued, _service: str, weight: int) -> None:
    facts.queued(counters, event.size, event.recipients, weight)


def _delivered(counters: Counters, event: events.Delivery, _service: str, weight: int) -> None:
    daemon, code, relay = event.envelope.daemon or OTHER, event.enhanced_code or OTHER, event.relay_name or "none"
    facts.delivered(counters, daemon, event.status, tuple(event.delays), code, relay, weight)


def _message_removed(counters: Counters, event: events.MessageRemoved, _service: str, weight: int) -> None:
    if event.envelope.daemon not in {"qmgr", "oqmgr"}:
        return  # postsuper and cleanup say `removed` too
    if event.action == "removed":
        facts.removed(counters, weight)
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
