"""Named pieces of Postfix's grammar, and what is read out of them.

Enters: match objects of patterns that are made of these pieces. Leaves: clients, peers and untrusted text.
This file must never know a whole line.

An address is read only from Postfix's own `name[address]` in its fixed place, never from anything that was typed.
"""

import ipaddress
import re
from typing import Final

from pfwatch.events import Client, Untrusted
from pfwatch.records.header import QUEUE_ID as _QUEUE_ID

QUEUE_ID: Final = rf"(?P<queue_id>{_QUEUE_ID})"

CLIENT: Final = r"(?P<client>[A-Za-z0-9._-]++\[(?:[0-9A-Fa-f:.]++|unknown)\](?::(?:[0-9]{1,5}+|unknown))?)"
"""smtpd's `name[address]`, with `:port` under smtpd_client_port_logging (SMTPD_BUILD_NAMADDRPORT). The name passed
valid_hostname(): no blank, no bracket."""

PLAIN_ID: Final = r"(?P<queue_id>[0-9A-Za-z]++)"
PLAIN_ADDRESS: Final = r'<[^<>"; ]*+>'
"""Cheaper pieces for lines that are only counted: an id that the scanner has recognised, an address without quotes."""

PEER: Final = r"(?P<peer_name>[A-Za-z0-9._-]++)\[(?P<peer_ip>[^\]]*+)\](?::(?P<peer_port>[0-9]{1,5}+))?"
"""smtp's and lmtp's `name[address]:port`; lmtp over a UNIX-domain socket has its path as the address."""

STAGE: Final = r"(?P<stage>[A-Z][A-Z-]*+(?: content)?)"
"""The SMTP command in progress, in Postfix's own words."""

ADDRESS: Final = r'(?:"(?:[^"\\]++|\\.)*")?[^>"]*+'
"""A mail address between `<` and `>` in external form (info_log_address_format, Postfix 3.5): whatever could end it is
inside quotes."""

TEXT_LENGTH: Final = 256
_TEXT_BYTES: Final = 4 * TEXT_LENGTH
"""A character takes four bytes at most. What the cut leaves of one that it goes through would be the next character."""
_REMEMBERED = 4096
_clients: dict[bytes, Client] = {}
_IPV6 = re.compile(rb"(?:[1-9a-f][0-9a-f]{0,3}:){1,6}(?::[1-9a-f][0-9a-f]{0,3}){1,6}")
"""The common canonical form: one `::` for two groups or more, no group that is zero. Others are parsed."""
_OCTETS = frozenset(b"%d" % number for number in range(256))


def untrusted(text: bytes | None) -> Untrusted:
    """Text that somebody outside typed, cut at 256 characters; bytes that are no UTF-8 as hexadecimal escapes."""
    return Untrusted(text[:_TEXT_BYTES].decode("utf-8", "backslashreplace")[:TEXT_LENGTH]) if text else Untrusted("")


def untrusted_or_none(text: bytes | None) -> Untrusted | None:
    """The same; None stays None."""
    return None if text is None else untrusted(text)


def worth_keeping(text: bytes | None) -> bytes | None:
    """As much of a text as `untrusted` reads."""
    return None if text is None else text[:_TEXT_BYTES]


def address(text: bytes) -> str | None:
    """Canonical text of an IP address, v4-mapped v6 as v4; None for `unknown` and what is no address."""
    octets = text.split(b".", 4)
    if len(octets) == 4:
        is_canonical = _OCTETS.issuperset(octets)
    else:
        is_canonical = _IPV6.fullmatch(text) is not None and text.count(b":") <= 6
    if is_canonical:
        return text.decode()  # Postfix writes what inet_ntop() made, which is canonical already
    try:
        parsed = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def client(found: re.Match[bytes]) -> Client:
    """The client of a match with the group of `CLIENT`."""
    return client_of(found["client"])


def client_of(text: bytes) -> Client:
    """The client of a text that `CLIENT` fits."""
    known = _clients.get(text)
    if known is None:
        if len(_clients) >= _REMEMBERED:
            _clients.clear()
        name, _, behind = text.partition(b"[")
        ip, _, port = behind.partition(b"]")
        number = int(port[1:]) if port[1:].isdigit() else None
        known = _clients[text] = Client(address(ip), name.decode(), number)
    return known


def address_of_client(text: bytes) -> str | None:
    """The address alone: `client_of(text).ip`."""
    return address(text.partition(b"[")[2].partition(b"]")[0])


def peer(found: re.Match[bytes]) -> tuple[str, str | None]:
    """Name and address of a match with the groups of `PEER`."""
    return found["peer_name"].decode(), address(found["peer_ip"])


def number(text: bytes | None) -> int | None:
    """A decimal number, None where there is none."""
    return None if text is None else int(text)


def word(text: bytes | None) -> str | None:
    """A word of Postfix's own, None where there is none."""
    return None if text is None else text.decode("utf-8", "backslashreplace")
