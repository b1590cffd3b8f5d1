"""What a single value may be: each function takes what TOML gave, and gives back what the settings hold.

Enters: one value of any type. Leaves: the value as the settings want it, or ValueError with words for the
administrator: what was expected, what was found. This file must never know which keys there are.
"""

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Collection
from datetime import date, datetime, time
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo, available_timezones

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?){unit})?" for unit in _UNITS))
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_LISTEN = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<v4>[^\[\]:]+)):(?P<port>[0-9]{1,5})")
_TRANSPORTS = ("udp", "tcp", "tls")
_NAMESPACE = re.compile(r"[A-Za-z0-9:_.-]{1,64}")
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number with a fraction"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
    (datetime, "a date and time"),
    (date, "a date"),
    (time, "a time of day"),
)


def kind(value: object) -> str:
    """What sort of value it is, in the words of the configuration file."""
    return next((words for python_type, words in _KINDS if isinstance(value, python_type)), "something else")


def shown(value: object) -> str:
    """The value for a message: short, printable, on one line."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number that is far too large"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known name is close."""
    close = difflib.get_close_matches(name[:100], known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def text(value: object) -> str:
    """Any text that is not empty and has no control characters."""
    if not isinstance(value, str):
        raise ValueError(f"expected text in quotes, found {kind(value)}")
    if not value:
        raise ValueError("expected text, found nothing between the quotes")
    if not value.isprintable():
        raise ValueError("has a line break or another character that cannot be printed")
    return value


def text_or_empty(value: object) -> str:
    """The same, but it may be empty."""
    return "" if value == "" else text(value)


def truth(value: object) -> bool:
    """Either true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false (without quotes), found {kind(value)}")
    return value


def one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    """A reader of one of some words."""

    def read(value: object) -> str:
        if value not in choices:
            found = shown(value) if isinstance(value, str) else kind(value)
            guess = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise ValueError(f"expected one of {', '.join(repr(choice) for choice in choices)}; found {found}{guess}")
        return str(value)

    return read


def whole_number(lowest: int, highest: int) -> Callable[[object], int]:
    """A reader of whole numbers in a range, both ends included."""

    def read(value: object) -> int:
        wanted = f"expected a whole number from {lowest} to {highest}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{wanted} (without quotes), found {kind(value)}")
        if not lowest <= value <= highest:
            raise ValueError(f"{wanted}, found {shown(value)}")
        return value

    return read


def seconds(lowest: float, highest: float) -> Callable[[object], float]:
    """A reader of durations in a range, as seconds: a number, or text such as `30s` or `1h30m`."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"expected a duration such as '30s', '10m', '24h' or '7d', found {kind(value)}")
        duration = _duration(value) if isinstance(value, str) else value
        if not lowest <= duration <= highest:
            limits = f"from {duration_text(lowest)} to {duration_text(highest)}"
            raise ValueError(f"expected a duration {limits}, found {shown(value)}")
        return float(duration)

    return read


def whole_seconds(lowest: int, highest: int) -> Callable[[object], int]:
    """The same, without fractions of a second."""
    read_seconds = seconds(lowest, highest)

    def read(value: object) -> int:
        duration = read_seconds(value)
        if not duration.is_integer():
            raise ValueError(f"expected whole seconds, found {shown(value)}")
        return int(duration)

    return read


def _duration(value: str) -> float:
    found = _DURATION.fullmatch(value)
    if not found or not value:
        raise ValueError(
            f"expected a duration such as '30s', '10m', '24h', '7d' or '1h30m', or a number of seconds "
            f"without quotes, found {shown(value)}"
        )
    return math.fsum(float(number) * size for number, size in zip(found.groups("0"), _UNITS.values(), strict=True))


def duration_text(duration: float) -> str:
    """`1h30m` for 5400."""
    if duration != int(duration) or not duration:
        return f"{duration:g}s"
    rest = int(duration)
    parts = []
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts)


def absolute_path(value: object) -> str:
    """A path from the root."""
    path = text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected a path that begins with /, found {shown(path)}")
    return str(PurePosixPath(path))


def absolute_path_or_empty(value: object) -> str:
    """The same, or empty."""
    return "" if value == "" else absolute_path(value)


def path_or_none(value: object) -> str | None:
    """A path from the root; empty for none."""
    return absolute_path(value) if text_or_empty(value) else None


def namespace(value: object) -> str | None:
    """A journal namespace, as `LogNamespace=` of a unit takes it; empty for the default one."""
    name = text_or_empty(value)
    if name and not _NAMESPACE.fullmatch(name):
        raise ValueError(f"expected the name of a journal namespace, as in LogNamespace=, found {shown(name)}")
    return name or None


def time_zone(value: object) -> str | None:
    """An IANA time zone that this machine knows; empty for the machine's own."""
    name = text_or_empty(value)
    if not name:
        return None
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        guess = did_you_mean(name, available_timezones())
        raise ValueError(
            f"{shown(name)} is not a time zone that this machine knows; "
            f"expected an IANA name such as 'UTC' or 'Europe/Paris'{guess}"
        ) from None
    return name


def network(value: object) -> str:
    """An address or a network, in its canonical form."""
    written = text(value)
    try:
        found = ipaddress.ip_network(written)
    except ValueError:
        raise ValueError(
            f"expected an address or a network such as '192.0.2.7' or '198.51.100.0/24', found {shown(written)}"
            f"{_without_host_bits(written)}"
        ) from None
    return str(found) if "/" in written else str(found.network_address)


def _without_host_bits(written: str) -> str:
    try:
        return f"; did you mean '{ipaddress.ip_network(written, strict=False)}'?"
    except ValueError:
        return ""


def network_or_empty(value: object) -> str:
    """The same, or empty."""
    return "" if value == "" else network(value)


def listen_address(value: object) -> tuple[str, int]:
    """Address and port of `127.0.0.1:19154` or `[::1]:19154`. Port 0 takes any free one."""
    wanted = "expected an address of this machine and a port, such as '127.0.0.1:19154' or '[::1]:19154'"
    written = text(value)
    found = _LISTEN.fullmatch(written)
    if not found:
        hint = "; for every address write '0.0.0.0:PORT' or '[::]:PORT'" if written.startswith((":", "*")) else ""
        raise ValueError(f"{wanted}, found {shown(written)}{hint}")
    try:
        host = ipaddress.IPv6Address(found["v6"]) if found["v6"] else ipaddress.IPv4Address(found["v4"])
    except ValueError:
        raise ValueError(f"{wanted}, but {shown(found['v6'] or found['v4'])} is not an address") from None
    return str(host), whole_number(0, 65_535)(int(found["port"]))


def syslog_address(value: object) -> tuple[str, str, int]:
    """Transport, address and port of `udp://127.0.0.1:5514` or `tls://[::]:6514`."""
    wanted = (
        "expected a way, an address of this machine and a port, such as 'tcp://127.0.0.1:5514' or 'tls://[::]:6514'"
    )
    written = text(value)
    transport, colon, address = written.partition("://")
    if not colon or transport not in _TRANSPORTS:
        guess = did_you_mean(transport, _TRANSPORTS) if colon else ""
        raise ValueError(f"{wanted}, found {shown(written)}; the ways are {', '.join(_TRANSPORTS)}{guess}")
    try:
        return transport, *listen_address(address)
    except ValueError:
        raise ValueError(f"{wanted}, found {shown(written)}") from None


def host_name(value: object) -> str:
    """The name or the address of another host, without a port."""
    written = text(value)
    try:
        return str(ipaddress.ip_address(written))
    except ValueError:
        if not _HOST_NAME.fullmatch(written) or ".." in written:
            raise ValueError(
                f"expected the name or the address of a host, without a port and without brackets, found "
                f"{shown(written)}"
            ) from None
    return written


def mail_address(value: object) -> str:
    """`name@example.org`, or a local part alone such as `root`; no display name, ASCII only."""
    written = text(value)
    local, at, domain = written.partition("@")
    fine = written.isascii() and not any(char in ' ,;:<>()[]\\"' for char in written) and len(written) <= 254
    if not fine or not local or (at and not _HOST_NAME.fullmatch(domain)):
        raise ValueError(f"expected one mail address alone, such as 'admin@example.org', found {shown(written)}")
    return written


def mail_address_or_empty(value: object) -> str:
    """The same, or empty."""
    return "" if value == "" else mail_address(value)


def moment(value: object) -> float:
    """Seconds since the epoch of a date and time with its zone, as TOML has them or as text (RFC 3339)."""
    wanted = "expected a date and time with its zone such as 2030-01-31T18:00:00Z"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{wanted}, found {shown(value)}") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{wanted}, found {kind(value)}")
    if value.tzinfo is None:
        raise ValueError(f"{wanted}, found {value.isoformat()} without a zone; add Z for UTC, or +02:00")
    return value.timestamp()
