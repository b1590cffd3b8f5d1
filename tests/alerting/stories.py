"""Notifications as a busy mail server gives them: what the mail tests compose and send."""

from pfwatch.alerting.notification import Notification
from pfwatch.detection.incident import Incident

NINE = 1_795_337_575.0
"""2026-11-22 08:52:55 UTC."""
MINUTE = 1_795_337_520.0


def chart_of(counts: list[int], start: float = MINUTE) -> list[tuple[float, int]]:
    return [(start + 60 * index, count) for index, count in enumerate(counts)]


def bruteforce(**changes: object) -> Incident:
    values: dict[str, object] = {
        "id": "auth-bruteforce-20261122T085255Z-1a2b3c4d",
        "rule": "auth-bruteforce",
        "severity": "warning",
        "subject": "192.0.2.7",
        "host": "mx1.example.org",
        "threshold": 10,
        "window": 600,
        "first": NINE,
        "last": NINE + 678,
        "opened": NINE + 66,
        "count": 68,
        "tops": {
            "account": [("alice@example.org", 68)],
            "client": [("192.0.2.7", 68)],
            "client_name": [("unknown", 68)],
            "service": [("postfix/submission", 60), ("postfix/smtps", 8)],
            "method": [("LOGIN", 68)],
        },
        "distinct": {"account": 1, "client": 1, "client_name": 1, "service": 2, "method": 1},
        "chart": chart_of([1, 9, 8, 7, 0, 0, 6, 11, 12, 9, 4, 1]),
        "evidence": [
            f"Nov 22 08:{minute}:{second:02} mx1 postfix/{service}[{pid}]: warning: unknown[192.0.2.7]: SASL LOGIN "
            "authentication failed: UGFzc3dvcmQ6, sasl_username=alice@example.org"
            for minute, second, service, pid in (
                (52, 55, "submission", 2309),
                (53, 1, "submission", 2309),
                (53, 8, "submission", 2311),
                (59, 40, "smtps", 2340),
                (59, 58, "smtps", 2340),
            )
        ],
    }
    return Incident(**{**values, **changes})  # type: ignore[arg-type]


def relay_probe(**changes: object) -> Incident:
    values: dict[str, object] = {
        "id": "relay-probe-20261122T085310Z-0badcafe",
        "rule": "relay-probe",
        "severity": "warning",
        "subject": "203.0.113.5",
        "host": "mx1.example.org",
        "threshold": 3,
        "window": 600,
        "first": NINE + 15,
        "last": NINE + 200,
        "opened": NINE + 40,
        "count": 12,
        "tops": {
            "recipient": [("probe@example.net", 11), ("check@example.net", 1)],
            "service": [("postfix/smtpd", 12)],
        },
        "distinct": {"recipient": 2, "service": 1},
        "chart": chart_of([3, 5, 2, 2]),
        "evidence": [
            "Nov 22 08:53:10 mx1 postfix/smtpd[2320]: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 454 4.7.1 "
            "<probe@example.net>: Relay access denied; from=<a@example.net> to=<probe@example.net> proto=ESMTP helo=<x>"
        ],
    }
    return Incident(**{**values, **changes})  # type: ignore[arg-type]


def tls_failures(**changes: object) -> Incident:
    values: dict[str, object] = {
        "id": "tls-client-failures-20261122T081000Z-00c0ffee",
        "rule": "tls-client-failures",
        "severity": "info",
        "subject": "198.51.100.9",
        "host": "mx1.example.org",
        "threshold": 5,
        "window": 3600,
        "first": NINE - 2575,
        "last": NINE - 200,
        "opened": NINE - 1000,
        "count": 7,
        "tops": {"error": [("unsupported_protocol", 5), ("no_shared_cipher", 2)]},
        "distinct": {"error": 2},
        "chart": chart_of([1, *[0] * 9, 1, *[0] * 14, 3, *[0] * 13, 2], MINUTE - 2580),
        "evidence": [],
    }
    return Incident(**{**values, **changes})  # type: ignore[arg-type]


def notification(*incidents: Incident, **changes: object) -> Notification:
    lead = incidents[0].id if incidents else "overflow-20261122"
    values: dict[str, object] = {
        "id": f"{lead}-first-1",
        "reason": "first",
        "at": NINE + 700,
        "host": "mx1.example.org",
        "subject_line": "[mx1] auth-bruteforce: 192.0.2.7, 68 failed logins as alice@example.org",
        "incidents": list(incidents),
        "thread": f"{lead}-first-1",
    }
    return Notification(**{**values, **changes})  # type: ignore[arg-type]


def grouped() -> Notification:
    """Four incidents of one wave, the lead with many accounts."""
    accounts = [
        (f"{name}@example.org", 40 - 3 * rank)
        for rank, name in enumerate(("anna", "ben", "cem", "dora", "eva", "finn"))
    ]
    lead = bruteforce(
        subject="2001:db8:1:2::/64",
        count=1312,
        last=NINE + 7000,
        tops={
            "account": [*accounts, *((f"user{index}@example.org", 9) for index in range(14))],
            "client": [("2001:db8:1:2::5", 900), ("2001:db8:1:2:aa::1", 412)],
            "service": [("postfix/submission", 1312)],
            "method": [("PLAIN", 1300), ("LOGIN", 12)],
        },
        distinct={"account": 212, "client": 2, "service": 1, "method": 2},
        chart=chart_of([(minute * 7) % 23 for minute in range(118)]),
    )
    second = bruteforce(subject="198.51.100.23", count=31, last=NINE + 300)
    return notification(
        lead,
        second,
        relay_probe(),
        tls_failures(),
        subject_line="[mx1] auth-bruteforce: 2001:db8:1:2::/64, 1,312 failed logins as 212 accounts, and 3 more",
    )


def digest() -> Notification:
    incidents = [
        tls_failures(),
        tls_failures(
            subject="2001:db8:7::/64", count=22, tops={"error": [("http_request", 22)]}, distinct={"error": 1}
        ),
        tls_failures(subject="192.0.2.200", count=5, last=NINE + 4000, tops={}, distinct={}),
        bruteforce(severity="info", subject="198.51.100.77", count=10, last=NINE + 500),
    ]
    return notification(
        *incidents,
        reason="digest",
        id="digest-20261122-1",
        thread="digest-20261122-1",
        subject_line="[mx1] 4 things worth knowing",
    )
