"""The peaks of anvil: the number, the service and the client behind it."""

from typing import Any

import pytest

from pfwatch.events import as_object
from tests.samples.logs import read


def event(body: str, daemon: str = "anvil") -> dict[str, Any]:
    (one,), _ = read(f"Nov 22 10:28:39 mx1 postfix/{daemon}[742]: {body}\n".encode())
    return as_object(one)


@pytest.mark.parametrize(
    ("words", "metric"),
    [
        ("connection", "connection_rate"),
        ("message", "message_rate"),
        ("recipient", "recipient_rate"),
        ("newtls", "tls_rate"),
        ("auth", "auth_rate"),
        ("tlstrace", "trace_rate"),
    ],
)
def test_the_peak_of_a_rate(words: str, metric: str) -> None:
    found = event(f"statistics: max {words} rate 16/60s for (smtp:192.0.2.9) at Nov 22 09:53:31")
    assert (found["kind"], found["metric"], found["value"], found["period_seconds"]) == ("rate_peak", metric, 16, 60)
    assert (found["service_name"], found["peak_at"]) == ("smtp", "Nov 22 09:53:31")
    assert (found["client_ip"], found["client_name"], found["client_port"]) == ("192.0.2.9", None, None)


def test_the_peak_of_a_count_has_no_period() -> None:
    found = event("statistics: max connection count 4 for (submission:192.0.2.9) at Nov  2 09:53:31")
    assert (found["metric"], found["value"], found["period_seconds"]) == ("connection_count", 4, None)
    assert (found["service_name"], found["client_ip"]) == ("submission", "192.0.2.9")
    assert found["peak_at"] == "Nov  2 09:53:31"


def test_the_cache_size_has_no_client_and_no_service() -> None:
    found = event("statistics: max cache size 11 at Nov 22 09:53:32")
    assert (found["kind"], found["metric"], found["value"]) == ("rate_peak", "cache_size", 11)
    assert found["client_ip"] is found["service_name"] is found["period_seconds"] is None
    assert found["peak_at"] == "Nov 22 09:53:32"


@pytest.mark.parametrize(
    ("ident", "service", "ip"),
    [
        ("2525:192.0.2.9", "2525", "192.0.2.9"),
        ("198.51.100.16:smtp:192.0.2.9", "198.51.100.16:smtp", "192.0.2.9"),
        ("198.51.100.16:10025:192.0.2.9", "198.51.100.16:10025", "192.0.2.9"),
        ("[2001:db8::2]:25:192.0.2.9", "[2001:db8::2]:25", "192.0.2.9"),
        ("smtp:2001:db8::9", "smtp", "2001:db8::9"),
        ("25:2001:db8::9", "25", "2001:db8::9"),
        ("2525:2001:db8::9", "2525", "2001:db8::9"),
        ("smtp:::1", "smtp", "::1"),
        ("[2001:db8::2]:25:2001:db8::9", "[2001:db8::2]:25", "2001:db8::9"),
        ("[2001:db8::2]:10025:2001:db8::9", "[2001:db8::2]:10025", "2001:db8::9"),
        ("198.51.100.16:25:2001:db8::9", "198.51.100.16:25", "2001:db8::9"),
        ("198.51.100.16:2525:2001:db8::9", "198.51.100.16:2525", "2001:db8::9"),
        ("localhost:465:2001:db8::9", "localhost:465", "2001:db8::9"),
        ("smtp:64:ff9b::c000:209", "smtp", "64:ff9b::c000:209"),
        ("smtp:2001:db8:1:2:3:4:5:6", "smtp", "2001:db8:1:2:3:4:5:6"),
        ("smtp:unknown", "smtp", None),
    ],
)
def test_service_and_client_are_told_apart_at_the_right_colon(ident: str, service: str, ip: str | None) -> None:
    found = event(f"statistics: max connection rate 2/60s for ({ident}) at Nov 22 09:53:31")
    assert (found["kind"], found["service_name"], found["client_ip"]) == ("rate_peak", service, ip)


@pytest.mark.parametrize(
    "body",
    [
        "statistics: max command rate 2/60s for (smtp:192.0.2.9) at Nov 22 09:53:31",
        "statistics: max connection rate 2/60s for smtp:192.0.2.9 at Nov 22 09:53:31",
        "statistics: max connection rate many/60s for (smtp:192.0.2.9) at Nov 22 09:53:31",
        "statistics: max cache size 3 for (smtp:192.0.2.9) at Nov 22 09:53:31",
        "statistics: max connection rate 2/60s for (smtp:192.0.2.9) at Nov 22 09:53:31 for (smtp:203.0.113.9)",
        "statistics: start interval Nov 22 09:53:31",
        "statistics max cache size 3",
    ],
)
def test_a_line_that_only_looks_like_a_peak_is_not_read(body: str) -> None:
    assert event(body)["kind"] == "unsupported"


def test_only_anvil_has_peaks() -> None:
    body = "statistics: max connection rate 2/60s for (smtp:192.0.2.9) at Nov 22 09:53:31"
    assert event(body, "postscreen")["kind"] == "unsupported"
