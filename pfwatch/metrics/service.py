"""What is counted of Postfix itself and of its way to other servers: health, certificates, attempts, notifications.

Enters: finished events. Leaves: additions to `Counters`, by `EVENTS`. Only `record` imports this; it must never
know how a line is read.
"""

from collections.abc import Callable
from typing import Any, Final

from pfwatch import events
from pfwatch.events import Event
from pfwatch.metrics import facts
from pfwatch.metrics.counters import Counters


def _health(counters: Counters, event: events.ServiceHealth, _service: str, weight: int) -> None:
    counters.add("postfix_service_problems_total", (event.problem,), weight)


def _certificate(counters: Counters, event: events.CertificateRejected, _service: str, weight: int) -> None:
    counters.add("postfix_certificates_rejected_total", (event.direction,), weight)


def _misconfigured(counters: Counters, _event: events.TlsMisconfigured, _service: str, weight: int) -> None:
    counters.add("postfix_tls_misconfigured_total", (), weight)


def _policy(counters: Counters, event: events.TlsPolicyFailed, _service: str, weight: int) -> None:
    counters.add("postfix_tls_policy_failures_total", (event.policy,), weight)


def _outbound_auth(counters: Counters, _event: events.OutboundAuthFailed, _service: str, weight: int) -> None:
    counters.add("postfix_outbound_auth_failures_total", (), weight)


def _attempted(counters: Counters, event: events.DeliveryAttempted, _service: str, weight: int) -> None:
    counters.add("postfix_delivery_attempts_failed_total", (), weight)
    if event.envelope.daemon == "smtp" and event.reason.endswith("Connection timed out"):
        counters.add("postfix_smtp_connection_timed_out_total", (), weight)


def _notified(counters: Counters, event: events.Notified, _service: str, weight: int) -> None:
    facts.notified(counters, event.notice, weight)


def _queue(counters: Counters, event: events.QueueChanged, _service: str, weight: int) -> None:
    counters.add("postfix_queue_changes_total", (event.action,), event.count * weight)


EVENTS: Final[dict[type[Event], Callable[[Counters, Any, str, int], None]]] = {
    events.ServiceHealth: _health,
    events.CertificateRejected: _certificate,
    events.TlsMisconfigured: _misconfigured,
    events.TlsPolicyFailed: _policy,
    events.OutboundAuthFailed: _outbound_auth,
    events.DeliveryAttempted: _attempted,
    events.Notified: _notified,
    events.QueueChanged: _queue,
}
