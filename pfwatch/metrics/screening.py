"""What is counted before a message is accepted: postscreen, block lists, protocol, names and content.

Enters: finished events. Leaves: additions to `Counters`, by `EVENTS`. Only `record` imports this; it must never
know how a line is read.
"""

from collections.abc import Callable
from typing import Any, Final

from pfwatch import events
from pfwatch.events import Event
from pfwatch.metrics import facts
from pfwatch.metrics.catalogue import OTHER
from pfwatch.metrics.counters import Counters

_REFUSED_BY_POSTSCREEN = {"all server ports busy": "busy", "too many connections": "too_many_connections"}


def _postscreen(counters: Counters, event: events.PostscreenEvent, _service: str, weight: int) -> None:
    test = event.test
    if test == "connect":
        facts.screened(counters, weight)
    elif test == "hangup":
        counters.add("postfix_postscreen_hangups_total", (), weight)
    elif test in {"pass_new", "pass_old"}:
        facts.passed(counters, test.removeprefix("pass_"), weight)
    elif test in {"allowlisted", "denylisted"}:
        action = "allow" if test == "allowlisted" else "deny"
        counters.add("postfix_postscreen_access_list_matches_total", (action,), weight)
    elif test == "dnsbl":
        facts.ranked(counters, event.score or 0, weight)
    elif test in _FAILED:
        counters.add("postfix_postscreen_tests_failed_total", (_FAILED[test],), weight)
    elif test == "busy":
        counters.add("postfix_postscreen_connects_rejected_total", ("busy",), weight)


_FAILED = {
    "pregreet": "PREGREET",
    "pipelining": "COMMAND_PIPELINING",
    "non_smtp": "NON_SMTP_COMMAND",
    "bare_newline": "BARE_NEWLINE",
    "time_limit": "COMMAND_TIME_LIMIT",
    "count_limit": "COMMAND_COUNT_LIMIT",
    "length_limit": "COMMAND_LENGTH_LIMIT",
    "data_without_rcpt": "DATA_WITHOUT_VALID_RCPT",
}
"""Test -> the label's value: the words of the log line."""


def refused_by_postscreen(counters: Counters, event: events.Rejected, weight: int) -> None:
    """Add a `rejected` that postscreen wrote."""
    if event.stage == "CONNECT":
        reason = _REFUSED_BY_POSTSCREEN.get(str(event.text), OTHER)
        counters.add("postfix_postscreen_connects_rejected_total", (reason,), weight)
    else:
        counters.add("postfix_postscreen_messages_rejected_total", (str(event.code),), weight)


def _listed(counters: Counters, _event: events.DnsblListed, _service: str, weight: int) -> None:
    counters.add("postfix_dnsbl_listings_total", (), weight)


def _violation(counters: Counters, event: events.ProtocolViolation, service: str, weight: int) -> None:
    counters.add("postfix_protocol_violations_total", (service, event.violation), weight)


def _mismatch(counters: Counters, event: events.DnsMismatch, _service: str, weight: int) -> None:
    if event.client is not None:  # the other wordings say nothing of a name that was not confirmed
        facts.unconfirmed(counters, weight)


def _proxy(counters: Counters, event: events.ProxyVerdict, service: str, weight: int) -> None:
    counters.add("postfix_proxy_verdicts_total", (service, event.verdict), weight)


def _content(counters: Counters, event: events.ContentAction, service: str, weight: int) -> None:
    counters.add("postfix_content_actions_total", (service, event.action, event.part), weight)
    if event.action == "reject":
        counters.add("postfix_cleanup_messages_rejected_total", (), weight)


def _dovecot(counters: Counters, event: events.DovecotAuthFailed, _service: str, weight: int) -> None:
    counters.add("postfix_dovecot_auth_failures_total", (event.protocol, event.cause), weight)


EVENTS: Final[dict[type[Event], Callable[[Counters, Any, str, int], None]]] = {
    events.PostscreenEvent: _postscreen,
    events.DnsblListed: _listed,
    events.ProtocolViolation: _violation,
    events.DnsMismatch: _mismatch,
    events.ProxyVerdict: _proxy,
    events.ContentAction: _content,
    events.DovecotAuthFailed: _dovecot,
}
