"""What fits together in [syslog]: where to listen, who may send, and what TLS needs for it.

Enters: the table as it is written. Leaves: complaints, each with the key that it is about. This file must never know
what a single value may be; a value that is wrong by itself is told elsewhere.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from pfwatch.config.values import syslog_address

_Complaint = tuple[tuple[str, ...], str]


def check_syslog(document: Mapping[str, Any]) -> list[_Complaint]:
    """What is wrong between the keys of [syslog]."""
    table = document.get("syslog")
    if not isinstance(table, dict):
        return []
    listens = _listens(table.get("listen"))
    complaints: list[_Complaint] = []
    open_to_others = [written for written, (_, host, _) in listens if not ipaddress.ip_address(host).is_loopback]
    if open_to_others and "allow_from" not in table:
        complaints.append(
            (
                ("syslog", "listen"),
                f"{open_to_others[0]} can be reached from other machines: say with allow_from which of them may send, "
                'such as allow_from = ["192.0.2.0/24"]',
            )
        )
    missing = [key for key in ("certificate", "key") if not table.get(key)]
    over_tls = next((written for written, (transport, _, _) in listens if transport == "tls"), None)
    if over_tls and missing:
        complaints.append(
            (("syslog", "listen"), f"{over_tls} needs a certificate and its key; name their files with {_and(missing)}")
        )
    if table.get("client_names") and not table.get("client_ca"):
        complaints.append(
            (
                ("syslog", "client_names"),
                "names in certificates say nothing without client_ca, which tells whose certificates are believed",
            )
        )
    return complaints


def _listens(written: object) -> list[tuple[str, tuple[str, str, int]]]:
    """The addresses that are right, as they are written and as they are meant."""
    found = []
    for one in written if isinstance(written, list) else ():
        try:
            found.append((str(one), syslog_address(one)))
        except ValueError:
            continue
    return found


def _and(keys: list[str]) -> str:
    return " and ".join(keys)
