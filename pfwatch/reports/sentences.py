"""What happened, in one sentence with the event's own values.

Enters: an event. Leaves: a sentence of printable text; what was typed outside stands in quotes, is cut, and cannot hide
or break a line. This file must never know the line that an event was read from, nor where the sentence is shown.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pfwatch import events
from pfwatch.alerting.moments import duration
from pfwatch.alerting.visible import visible
from pfwatch.events import Client, Event
from pfwatch.reports import vocabulary

_QUOTED = 80
"""Characters of a quoted text: the whole stands among the fields."""


def sentence(event: Event) -> str:
    """What happened."""
    said = SENTENCES[type(event)](event)
    times = event.envelope.weight
    more = f" This happened {times:,} more times, after the line before." if times > 1 else ""
    begin = said if "." in said.partition(" ")[0] else said[0].upper() + said[1:]  # the name of a server stays
    return f"{begin}.{more}"


def _quoted(text: str | None) -> str:
    """Text from outside."""
    return f'"{visible(text, _QUOTED)}"' if text else "nobody"


def _who(client: Client | None) -> str:
    if client is None:
        return "a client that the line does not name"
    if client.ip is None:
        return "a client whose address Postfix could not tell"
    name = client.name if client.name not in {None, "unknown"} else "no confirmed name"
    return client.ip if client.name is None else f"{client.ip} ({name})"


def _peer(name: str | None, ip: str | None) -> str:
    name = visible(name) if name else None
    return f"{name} ({ip})" if name and ip and name != ip else name or ip or "another server"


def _with(text: str, value: object) -> str:
    """The text, where there is a value for it."""
    return text if value else ""


def _disconnected(event: events.ClientDisconnected) -> str:
    if not any(every for _, every in event.commands.values()):
        return f"{_who(event.client)} disconnected without a command that Postfix knows"
    names = (_command(name, *counts) for name, counts in event.commands.items() if name != "commands")
    return f"{_who(event.client)} disconnected, after the commands {visible(', '.join(names))}"


def _command(name: str, succeeded: int, every: int) -> str:
    if succeeded < every:
        return f"{name} ({every - succeeded} of {every} failed)"
    return f"{name} ({every})" if every > 1 else name


def _aborted(event: events.SessionAborted) -> str:
    where = "before any command" if event.stage == "CONNECT" else f"after {visible(event.stage)}"
    match event.reason:
        case "lost_connection":
            return f"{_who(event.client)} hung up {where}, without QUIT"
        case "timeout":
            return f"{_who(event.client)} was silent for too long {where}, and Postfix hung up"
        case "too_many_errors":
            return f"{_who(event.client)} made too many errors, the last {where}, and Postfix hung up"
    return f"{_who(event.client)} ended a line without a carriage return {where}, and Postfix hung up"


def _auth_failed(event: events.AuthFailed | events.DovecotAuthFailed) -> str:
    account = f" as {_quoted(event.username)}" if event.username else ""
    method = f" with {visible(event.method, 20)}" if event.method else ""
    return f"{_who(event.client)} could not log in{account}{method}: {vocabulary.AUTH_CAUSES[event.cause]}"


def _rejected(event: events.Rejected) -> str:
    what = f" the {event.stage} command" if event.stage else " a message"
    of = f" for {_quoted(event.recipient)}" if event.recipient else ""
    until = ", for now," if event.temporary else ""
    return (
        f"Postfix refused{until}{what} of {_who(event.client)}{of}, because "
        f"{vocabulary.CATEGORIES.get(event.category, vocabulary.CATEGORIES['other'])}"
    )


def _relay_denied(event: events.RelayDenied) -> str:
    return (
        f"{_who(event.client)} wanted to send mail through this server to {_quoted(event.recipient)}, which is not "
        f"ours, without having the right to; it was refused{_with(' for now', event.temporary)}"
    )


_ACTIONS: Final[Mapping[str, str]] = {
    "warn": "only warned about", "hold": "put on hold", "discard": "silently threw away", "redirect": "redirected",
    "filter": "sent through a filter", "bcc": "copied to somebody", "info": "took a note of", "permit": "let pass",
    "hangup": "hung up on", "reject_warning": "only warned that it would refuse", "reject": "refused",
    "prepend": "added a header to", "replace": "replaced a part of", "strip": "removed a part of", "pass": "let pass",
    "other": "changed",
}  # fmt: skip


def _milter(event: events.MilterAction) -> str:
    if event.fault:
        return f"a milter is down, and Postfix sent {_who(event.client)} away at {visible(event.stage)}"
    action = _ACTIONS.get(event.action, "changed")
    return f"a milter {action} what came from {_who(event.client)} at {visible(event.stage)}"


def _proxy(event: events.ProxyVerdict) -> str:
    verdict = "let pass" if event.verdict == "accept" else "refused"
    return f"the content filter in front of the queue {verdict} what came from {_who(event.client)}"


def _postscreen(event: events.PostscreenEvent) -> str:
    extra = f", with a score of {event.score}" if event.score is not None else ""
    return f"{_who(event.client)} {vocabulary.POSTSCREEN_TESTS.get(event.test, 'was tested by postscreen')}{extra}"


def _tls_failed(event: events.TlsFailed) -> str:
    why = f": {vocabulary.TLS_ERRORS.get(event.error, vocabulary.TLS_ERRORS['other'])}" if event.error else ""
    if event.direction == "outbound":
        return f"Postfix could not agree on TLS with {_peer(event.peer_name, event.peer_ip)}{why}"
    return f"{_who(event.client)} and Postfix could not agree on TLS{why}"


_TRUST: Final[Mapping[str, str]] = {
    "anonymous": "without a certificate from the other side",
    "untrusted": "the other side's certificate is signed by nobody whom we trust",
    "trusted": "the other side's certificate is signed by somebody whom we trust",
    "verified": "the other side's certificate is trusted and has the right name",
}


def _tls_established(event: events.TlsEstablished) -> str:
    of = _who(event.client) if event.direction == "inbound" else _peer(event.peer_name, event.peer_ip)
    way = "from" if event.direction == "inbound" else "to"
    return f"the connection {way} {of} is encrypted with {visible(event.protocol)}; {_TRUST[event.trust]}"


def _certificate(event: events.CertificateRejected) -> str:
    inbound = event.direction == "inbound"
    of = _who(event.client) if inbound and event.client else _peer(event.peer_name, event.peer_ip)
    return f"the certificate of {of} could not be verified; the connection may go on all the same"


def _peak(event: events.RatePeak) -> str:
    what = vocabulary.RATES[event.metric]
    if event.client is None:
        return f"anvil, which counts for the limits, had at most {event.value:,} {what}"
    period = f" within {duration(event.period_seconds)}" if event.period_seconds else ""
    return f"the busiest client was {_who(event.client)} with {event.value:,} {what}{period}"


def _accepted(event: events.MessageAccepted) -> str:
    if event.origin == "bounce":
        return f"Postfix made the message {event.queue_id}, a notification about {event.orig_queue_id or 'another'}"
    if event.origin == "pickup":
        uid = "" if event.uid is None else f" of user number {event.uid}"
        return f"a program on this server{uid} handed in the message {event.queue_id}, from {_quoted(event.sender)}"
    login = f", logged in as {_quoted(event.username)}," if event.username else ""
    return f"{_who(event.client)}{login} began to hand in the message {event.queue_id}"


def _queued(event: events.MessageQueued) -> str:
    again = " again" if event.reactivated else ""
    recipients = "1 recipient" if event.recipients == 1 else f"{event.recipients:,} recipients"
    sender = _quoted(event.sender) if event.sender else "the empty sender, as notifications have it,"
    return f"the message {event.queue_id} from {sender} is due for delivery{again}: {event.size:,} bytes, {recipients}"


_DELIVERED: Final[Mapping[str, str]] = {
    "sent": "was delivered to {to}{via}",
    "deferred": "could not be delivered to {to}{via} yet{why}; Postfix will try again",
    "bounced": "cannot be delivered to {to}{via}{why}; Postfix gives up on it",
    "softbounce": "cannot be delivered to {to}{via}{why}; soft_bounce keeps it in the queue",
    "deliverable": "could be delivered to {to}{via}: the address was only tested",
    "undeliverable": "could not be delivered to {to}{via}{why}: the address was only tested",
    "expanded": "to {to} was sent on to the addresses that this one stands for",
    "relayed": "to {to} was handed to a server that sends no notifications{via}",
    "delivered": "was delivered to {to}{via}",
    "other": "to {to} had a delivery attempt{via} with a result that is none of the usual ones",
}


def _delivery(event: events.Delivery) -> str:
    relay = _peer(event.relay_name, event.relay_ip) if event.relay_name and event.relay_name != "none" else None
    why = f" ({vocabulary.FAILURES[event.failure]})" if event.failure else ""
    via = f" through {relay}" if relay else ""
    said = _DELIVERED.get(event.status, _DELIVERED["other"])
    # the texts are filled in at once: a brace in an address is an address
    return f"the message {event.queue_id} " + said.format(to=_quoted(event.recipient), via=via, why=why)


_NOTICES: Final[Mapping[str, str]] = {
    "non_delivery": "its sender was told that the message {id} could not be delivered",
    "delay": "its sender was told that the message {id} is late",
    "success": "its sender was told that the message {id} was delivered",
    "postmaster": "the postmaster was told about trouble with the message {id}",
}
_REMOVED: Final[Mapping[str, str]] = {
    "removed": "is done and left the queue",
    "expired": "was too long in the queue; Postfix gives it back to its sender",
    "canceled": "was broken off before it was complete",
    "requeued": "was put into the queue again by an administrator",
    "held": "was put on hold by an administrator",
    "released": "was released from hold by an administrator",
    "deleted": "was deleted from the queue by an administrator",
}


def _health(event: events.ServiceHealth) -> str:
    about = f": {visible(event.subject, _QUOTED)}" if event.subject else ""
    return f"{vocabulary.PROBLEMS.get(event.problem, vocabulary.PROBLEMS['other'])}{about}"


SENTENCES: Final[dict[type[Event], Callable[[Any], str]]] = {
    events.ClientConnected: lambda e: f"{_who(e.client)} connected",
    events.ClientDisconnected: _disconnected,
    events.SessionAborted: _aborted,
    events.AuthFailed: _auth_failed,
    events.AuthBackendFailed: lambda e: (
        f"our own authentication server ({e.backend}) failed, while {_who(e.client)} wanted to log in: an outage, no "
        "attack"
    ),
    events.AuthDetail: lambda _: "the authentication library says why a login failed",
    events.AuthProbed: lambda e: f"{_who(e.client)} tried {e.attempts:,} logins that no line of the log speaks of",
    events.OutboundAuthFailed: lambda e: f"our login at {_peer(e.relay_name, e.relay_ip)} was refused",
    events.RelayDenied: _relay_denied,
    events.Rejected: _rejected,
    events.PolicyAction: lambda e: (
        f"an access table or a policy service {_ACTIONS.get(e.action, 'changed')} the {visible(e.stage)} command of "
        f"{_who(e.client)}"
    ),
    events.MilterAction: _milter,
    events.ProxyVerdict: _proxy,
    events.ContentAction: lambda e: (
        f"a check of the {e.part} {_ACTIONS.get(e.action, 'changed')} the message {e.queue_id} of {_who(e.client)}"
    ),
    events.PostscreenEvent: _postscreen,
    events.DnsblListed: lambda e: f"{_who(e.client)} is listed by {visible(e.zone)}, which answered {visible(e.reply)}",
    events.TlsFailed: _tls_failed,
    events.TlsDetail: lambda e: "the TLS library says what went wrong" + _with(f" with {_who(e.client)}", e.client),
    events.TlsEstablished: _tls_established,
    events.CertificateRejected: _certificate,
    events.TlsMisconfigured: lambda _: "our own certificate, key or TLS settings cannot be used",
    events.TlsPolicyFailed: lambda e: (
        f"mail for {visible(e.domain or 'a domain')} needs TLS that was not to be had: {vocabulary.POLICIES[e.policy]}"
    ),
    events.RateLimited: lambda e: (
        f"{_who(e.client)} was turned away: too many {vocabulary.RATES[e.limit]}" + _with(f" ({e.value})", e.value)
    ),
    events.RatePeak: _peak,
    events.ProtocolViolation: lambda e: f"{_who(e.client)} {vocabulary.VIOLATIONS[e.violation]}",
    events.DnsMismatch: lambda e: (
        f"the name {_quoted(e.hostname)} and the address of {_who(e.client)} do not confirm each other in the DNS"
    ),
    events.MessageAccepted: _accepted,
    events.MessageIdentified: lambda e: f"the message {e.queue_id} has the Message-ID {_quoted(e.message_id)}",
    events.MessageQueued: _queued,
    events.Delivery: _delivery,
    events.DeliveryAttempted: lambda e: (
        f"{_peer(e.peer_name, e.peer_ip)} did not take a message; Postfix goes on with the next server, if there is one"
    ),
    events.Notified: lambda e: _NOTICES[e.notice].format(id=e.queue_id),
    events.MessageRemoved: lambda e: f"the message {e.queue_id} {_REMOVED[e.action]}",
    events.QueueChanged: lambda e: f"an administrator's command changed {e.count:,} messages of the queue: {e.action}",
    events.Housekeeping: lambda e: f"Postfix notes something of its own work ({e.topic}); there is nothing to count",
    events.DovecotAuthFailed: _auth_failed,
    events.ServiceHealth: _health,
    events.Unsupported: lambda e: (
        f"Postfix's {visible(e.envelope.daemon or '')} says something that pfwatch cannot read"
    ),
    events.Foreign: lambda e: (
        f"another program ({visible(e.envelope.daemon or 'without a name', 40)}) wrote this; pfwatch leaves it alone"
    ),
    events.Malformed: lambda _: "this is no line of a log: it does not begin with a time, a host and a program",
}
"""Kind -> its sentence without the capital and the full stop."""
