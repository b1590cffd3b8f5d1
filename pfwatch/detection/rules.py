"""The shipped detection rules: which events count, for whom, and what is worth telling about them.

Enters: events. Leaves: how much one counts, and what is to be told of it. This file must never know thresholds, windows
or time.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pfwatch.events import AuthFailed, AuthProbed, DovecotAuthFailed, Event, RelayDenied, TlsFailed

Facts = tuple[tuple[str, str | None], ...]
"""(field, text) for the incident's `tops`; nothing is told where there is no text."""


class DetectionRule(msgspec.Struct, frozen=True, eq=False):
    """One rule: which kinds of event it wants, and what it makes of one."""

    name: str
    wants: dict[type[Event], Callable[[Any], Facts]]
    """Kind -> what is told of such an event beside its client and service."""
    weigh: Callable[[Any], int]
    """How much an event counts; 0 for one that does not. Only of events that have a client."""
    hits: dict[type[Event], tuple[tuple[str, str], ...]] = {}
    """Kind of hits that it wants -> what is told of one beside client and service: field, and group of the plain form.
    Each counts once, and stands for an event that does, too."""


def _auth_weight(event: AuthFailed | AuthProbed | DovecotAuthFailed) -> int:
    weight = event.envelope.weight
    if isinstance(event, AuthProbed):
        return event.attempts * weight
    return weight if event.cause == "credentials" else 0


def _relay_weight(event: RelayDenied) -> int:
    return event.envelope.weight


def _tls_weight(event: TlsFailed) -> int:
    return event.envelope.weight if event.direction == "inbound" else 0


RULES: tuple[DetectionRule, ...] = (
    DetectionRule(
        "auth-bruteforce",
        {
            AuthFailed: lambda event: (("account", event.username), ("method", event.method)),
            AuthProbed: lambda _event: (),
            DovecotAuthFailed: lambda event: (("account", event.username), ("method", event.method)),
        },
        _auth_weight,
        {AuthFailed: (("account", "username"), ("method", "method"))},
    ),
    DetectionRule(
        "relay-probe",
        {RelayDenied: lambda event: (("recipient", event.recipient), ("sender", event.sender))},
        _relay_weight,
        {RelayDenied: (("recipient", "recipient"), ("sender", "sender"))},
    ),
    DetectionRule(
        "tls-client-failures",
        {TlsFailed: lambda event: (("error", event.error),)},
        _tls_weight,
        {TlsFailed: ()},  # they are bare
    ),
)
"""Every shipped rule; `DetectionSettings.rules` has their numbers."""


def subject_of(ip: str) -> str:
    """Whom a canonical address is counted as: v4 itself, v6 by its /64, which one customer has."""
    if ":" not in ip:
        return ip
    network = ip.split(":", 4)[:4]
    if "" not in network and network[3] != "0":  # as they mostly are: written out, up to the host's part
        return f"{network[0]}:{network[1]}:{network[2]}:{network[3]}::/64"
    left, gap, right = ip.partition("::")
    groups = left.split(":") if left else []
    if gap:
        behind = right.count(":") + 1 if right else 0
        groups += ["0"] * (8 - len(groups) - behind) + right.split(":")
    network = groups[:4]
    while network and network[-1] == "0":
        network.pop()
    return f"{':'.join(network)}::/64"


def _first_numbers(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> range:
    """With which numbers the addresses of a v4 network begin."""
    return range(network.network_address.packed[0], network.broadcast_address.packed[0] + 1)


class Networks:
    """A set of addresses and networks that answers quickly, without an object per address asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take addresses and networks as text; a text that is none raises ValueError."""
        networks = [ipaddress.ip_network(text, strict=False) for text in texts]
        self._single = {str(one.network_address) for one in networks if one.prefixlen == one.max_prefixlen}
        wide = [one for one in networks if one.prefixlen < one.max_prefixlen]
        self._v4_begin = {str(first) for one in wide if one.version == 4 for first in _first_numbers(one)}
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
            if ip.partition(".")[0] not in self._v4_begin:
                return False
            first, second, third, fourth = ip.split(".")
            networks = self._v4
            number = int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)
        return any(number & mask == address for mask, address in networks)
