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
    facts: tuple[tuple[str, str | None], ...]
    """(field, text) for the incident's `tops`; nothing is told where there is no text."""


@dataclass(frozen=True)
class DetectionRule:
    """One rule: which kinds of event it wants, and what it makes of one."""

    name: str
    wants: tuple[type[Event], ...]
    read: Callable[[Event], Hit | None]


@lru_cache(maxsize=1024)
def _service(service: str | None, daemon: str | None) -> str:
    return f"{service}/{daemon}"


def _facts(event: Event, client: Client, *more: tuple[str, str | None]) -> tuple[tuple[str, str | None], ...]:
    envelope = event.envelope
    return (
        ("client", client.ip),
        ("service", _service(envelope.service, envelope.daemon)),
        ("client_name", None if client.name == "unknown" else client.name),
        *more,
    )


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


def subject_of(ip: str) -> str:
    """Whom a canonical address is counted as: v4 itself, v6 by its /64, which one customer has."""
    if ":" not in ip:
        return ip
    left, gap, right = ip.partition("::")
    groups = left.split(":") if left else []
    if gap:
        behind = right.count(":") + 1 if right else 0
        groups += ["0"] * (8 - len(groups) - behind) + right.split(":")
    network = groups[:4]
    while network and network[-1] == "0":
        network.pop()
    return f"{':'.join(network)}::/64"


class Networks:
    """A set of addresses and networks that answers quickly, without an object per address asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take addresses and networks as text; a text that is none raises ValueError."""
        networks = [ipaddress.ip_network(text, strict=False) for text in texts]
        self._single = {str(one.network_address) for one in networks if one.prefixlen == one.max_prefixlen}
        wide = [one for one in networks if one.prefixlen < one.max_prefixlen]
        self._v4 = [(int(one.netmask), int(one.network_address)) for one in wide if one.version == 4]
        self._v6 = [(int(one.netmask), int(one.network_address)) for one in wide if one.version == 6]

    def __contains__(self, ip: str) -> bool:
        """Whether a canonical address lies in one of the networks."""
        if ip in self._single:
            return True
        if ":" in ip:
            if not self._v6:
                return False
            networks, number = self._v6, int(ipaddress.IPv6Address(ip))
        else:
            if not self._v4:
                return False
            first, second, third, fourth = ip.split(".")
            networks = self._v4
            number = int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)
        return any(number & mask == address for mask, address in networks)
