"""Notifications, and the counters of verify and scache."""

from typing import Any

import pytest

from pfwatch.events import as_object
from tests.parsing.test_rules import explained


def told(body: str, daemon: str = "bounce") -> dict[str, Any]:
    """The public object of a body."""
    return as_object(explained(f"Nov 22 09:53:31 mx1 postfix/{daemon}[258]: {body}"))


@pytest.mark.parametrize(
    ("words", "notice"),
    [
        ("sender non-delivery", "non_delivery"),
        ("sender delay", "delay"),
        ("sender delivery status", "success"),
        ("postmaster non-delivery", "postmaster"),
        ("postmaster delay", "postmaster"),
    ],
)
@pytest.mark.parametrize("new", ["B159A73", "4ZkX5y2Gq1z9rtv"])
def test_a_notification_and_its_own_queue_id(words: str, notice: str, new: str) -> None:
    event = told(f"A3F0070: {words} notification: {new}")
    assert (event["kind"], event["notice"]) == ("notified", notice)
    assert (event["queue_id"], event["notice_queue_id"]) == ("A3F0070", new)


@pytest.mark.parametrize(
    "body",
    [
        "sender non-delivery notification: B159A73",
        "A3F0070: sender success notification: B159A73",
        "A3F0070: postmaster delivery status notification: B159A73",
        "A3F0070: sender non-delivery notification: B159A73 and more",
        "A3F0070: x sender non-delivery notification: B159A73",
        "A3F0070: status=deferred (bounce failed)",
    ],
)
def test_a_line_that_only_looks_like_a_notification_is_none(body: str) -> None:
    assert told(body)["kind"] == "unsupported"


def test_another_daemon_notifies_nobody() -> None:
    assert told("A3F0070: sender non-delivery notification: B159A73", "smtp")["kind"] == "unsupported"


@pytest.mark.parametrize(
    "text",
    [
        "postmaster notice failed while bouncing to alice@example.org",
        "postmaster notice failed while warning x: undeliverable postmaster notification discarded",
        "sender notification failed to alice@example.org",
        "sender notification failed to alice@example.org: queue file write error",
        "sender delivery status notification failed to alice@example.org",
    ],
)
def test_a_notification_that_could_not_be_sent_is_health(text: str) -> None:
    event = told(f"warning: A3F0070: {text}")
    assert (event["kind"], event["problem"], event["subject"]) == ("service_health", "other", "bounce")
    assert event["text"] == f"A3F0070: {text}"


@pytest.mark.parametrize(
    "text",
    [
        '/etc/postfix/bounce.cf, line 7: missing "EOF" end marker',
        "/etc/postfix/bounce.cf, line 9: unknown template name: sorry -- ignoring this template",
        '/etc/postfix/bounce.cf: empty "Subject" header value in failure template -- ignoring this template',
        '/etc/postfix/bounce.cf: conversion "x" failed: input value: "y"',
    ],
)
def test_a_wrong_template_is_a_setting(text: str) -> None:
    event = told(f"warning: {text}")
    assert (event["kind"], event["problem"]) == ("service_health", "config_warning")


def test_a_look_up_that_names_a_template_is_not_a_wrong_template() -> None:
    assert told("warning: cannot open template in /etc/postfix template")["rule"] != "bounce-template"


QUIET = [
    ("bounce", "A3F0070: not sending trace/success notification for single-bounce message", "no_notification"),
    ("bounce", "A3F0070: no trace file -- not sending a notification", "no_notification"),
    ("bounce", "warning: A3F0070: undeliverable postmaster notification discarded", "no_notification"),
    ("bounce", "warning: A3F0070: ignoring malformed Message-ID", "no_message_id"),
    ("bounce", "warning: -- ignoring this template for now", "advice"),
    (
        "verify",
        "cache lmdb:/var/lib/postfix/verify_cache partial cleanup: retained=0 dropped=0 entries",
        "cache_cleanup",
    ),
    ("verify", "warning: bad address verify table entry: 0:0:0:host x[203.0.113.9] said: 550", "verify_request"),
    ("scache", "statistics: start interval Nov 22 10:28:23", "connection_cache"),
    ("scache", "statistics: start interval Nov  2 10:28:23", "connection_cache"),
    ("scache", "statistics: domain lookup hits=0 miss=7 success=0%", "connection_cache"),
    ("scache", "statistics: address lookup hits=1 miss=7 success=12%", "connection_cache"),
    ("scache", "statistics: max simultaneous domains=1 addresses=1 connection=2", "connection_cache"),
    ("scache", "warning: scache_save_endp_service: unable to receive file descriptor: Bad file", "connection_cache"),
]


@pytest.mark.parametrize(("daemon", "body", "topic"), QUIET)
def test_what_counts_nowhere(daemon: str, body: str, topic: str) -> None:
    event = told(body, daemon)
    assert (event["kind"], event["topic"]) == ("housekeeping", topic)


@pytest.mark.parametrize(
    ("daemon", "body"),
    [
        ("scache", "statistics: max connection rate 3/60s for (smtp:192.0.2.9) at Nov 22 10:28:23"),
        ("verify", "cache x"),
    ],
)
def test_statistics_of_others_are_not_read_here(daemon: str, body: str) -> None:
    assert told(body, daemon)["kind"] == "unsupported"
