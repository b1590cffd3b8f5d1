"""Logs of a real Postfix 3.7.11 in configurations unlike those of the stories: what Debian 12 wrote, and what was done.

Enters: the archive beside this file. Leaves: logs as bytes, and how often each address did what. Our server is
192.0.2.25, those who talk to it 203.0.113.x and 2001:db8::x, other servers 198.51.100.x; the addresses of `NOBODY`
stand only in what was typed. Paths were replaced by usual ones.
"""

import tarfile
from functools import cache
from pathlib import Path
from typing import Final

NOBODY: Final = frozenset(("9.9.9.9", "8.8.8.8", "6.6.6.6", "5.5.5.5", "4.4.4.4", "1.2.3.4", "1.1.1.1"))

DONE: Final[dict[tuple[str, str], dict[str, int]]] = {
    # long queue ids, client ports, TLS at level 2
    ("tls-verbose", "relay_denied"): {"203.0.113.54": 6, "203.0.113.50": 4, "203.0.113.52": 1, "2001:db8::9": 3},
    ("milters", "relay_denied"): {"203.0.113.147": 3},
    ("content-filter", "relay_denied"): {"203.0.113.150": 3},
    # 203.0.113.11 has the right password: the backend is broken, and Cyrus says so only in the line before
    ("cyrus", "auth_failed"): {
        "203.0.113.80": 12, "203.0.113.81": 14, "203.0.113.82": 9, "203.0.113.83": 3, "203.0.113.84": 20,
        "203.0.113.88": 5, "2001:db8::9": 4, "203.0.113.11": 6, "192.0.2.25": 1,
    },
    # syslog names `postfix-in` and `postfix-out`
    ("multi-instance", "relay_denied"): {"203.0.113.180": 5, "203.0.113.182": 3},
    ("multi-instance.rfc3339", "relay_denied"): {"203.0.113.180": 5, "203.0.113.182": 3},
    # syslog name `corp/mx-in`; behind haproxy and by XCLIENT the address is the one that they tell
    ("access", "rate_limited"): {
        "203.0.113.91": 6, "2001:db8::8": 6, "203.0.113.90": 3, "203.0.113.92": 4, "203.0.113.93": 6,
        "203.0.113.94": 3,
    },
}  # fmt: skip
"""(log, kind of event) -> address -> how often."""


@cache
def configurations() -> dict[str, bytes]:
    """Name of a log -> the log."""
    found = {}
    with tarfile.open(Path(__file__).parent / "configurations.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.removesuffix(".log")] = file.read()
    return found
