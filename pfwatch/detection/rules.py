"""The shipped detection rules: which events count, for whom, and what is worth telling about them.

Enters: events. Leaves: `Hit`, or nothing. This file must never know thresholds, windows or time.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from pfwatch.events import AuthFailed, AuthProbed, Client, Event, RelayDenied, TlsFailed


class Hit(msgspec.Struct, frozen=True):
    """One event as a rule counts it."""

    client: Client
    weight: int
    facts: tuple[tuple[str, str], ...]
    """(field, text) for the incident's `tops`."""


@dataclass(frozen=True)
class DetectionRule:
    """One rule: which kinds of event it wants, and what it makes of one."""

    name: str
    wants: tuple[type[Event], ...]
    read: Callable[[Event], Hit | None]


def _facts(event: Event, client: Client, *more: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
    found = [("client", client.ip or "unknown"), ("service", f"{event.envelope.service}/{event.envelope.daemon}")]
    if client.name and client.name != "unknown":
        found.append(("client_name", client.name))
    found += [(field, text) for field, text in more if text]
    return tuple(found)


def _auth(event: Event) -> Hit | None:
    if isinstance(event, AuthProbed):
        return Hit(event.client, event.attempts * event.envelope.weight, _facts(event, event.client))
    if isinstance(event, AuthFailed) and event.cause == "credentials":
        facts = _facts(event, event.client, ("account", event.username), ("method", event.method))
        return Hit(event.client, event.envelope.weight, facts)
    return None


def _relay(event: Event) -> Hit | None:
    if isinstance(event, RelayDenied):
        facts = _facts(event, event.client, ("recipient", event.recipient), ("sender", event.sender))
        return Hit(event.client, event.envelope.weight, facts)
    return None


def _tls(event: Event) -> Hit | None:
    if isinstance(event, TlsFailed) and event.direction == "inbound" and event.client:
        return Hit(event.client, event.envelope.weight, _facts(event, event.client, ("error", event.error)))
    return None


RULES: tuple[DetectionRule, ...] = (
    DetectionRule("auth-bruteforce", (AuthFailed, AuthProbed), _auth),
    DetectionRule("relay-probe", (RelayDenied,), _relay),
    DetectionRule("tls-client-failures", (TlsFailed,), _tls),
)
"""Every shipped rule; `DetectionSettings.rules` has their numbers."""


@lru_cache(maxsize=8192)
def subject_of(ip: str) -> str:
    """Whom an address is counted as: a v4 address itself, a v6 address by its /64, which one customer has."""
    if ":" not in ip:
        return ip
    return str(ipaddress.ip_network((ip, 64), strict=False))


class Networks:
    """A set of addresses and networks that answers quickly."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take addresses and networks as text; a text that is none raises ValueError."""
        self._networks = [ipaddress.ip_network(text, strict=False) for text in texts]
        self._known: dict[str, bool] = {}

    def __contains__(self, ip: str) -> bool:
        """Whether the address lies in one of the networks."""
        if not self._networks:
            return False
        known = self._known.get(ip)
        if known is None:
            if len(self._known) >= 8192:
                self._known.clear()
            parsed = ipaddress.ip_address(ip)
            known = self._known[ip] = any(parsed in network for network in self._networks)
        return known
