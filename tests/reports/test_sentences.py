"""Every kind of event has its sentence, every closed word its words, and nothing that was typed can hide in them."""

import re
from typing import get_args, get_type_hints

import pytest

from pfwatch import events
from pfwatch.events import KINDS, Client, Envelope, Event
from pfwatch.events import Untrusted as T
from pfwatch.parsing.grammar import every_rule
from pfwatch.reports import sentences, vocabulary
from pfwatch.reports.sentences import SENTENCES, sentence
from tests.samples.logs import logs, read

ENVELOPE = Envelope(0.0, "", "mx1", "postfix", "smtpd", 1, "info", 1, False, None)
BY_RULE = every_rule().items()


def test_every_kind_has_a_sentence() -> None:
    assert SENTENCES.keys() == set(KINDS)


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (events.CATEGORIES, vocabulary.CATEGORIES),
        (events.TLS_ERRORS, vocabulary.TLS_ERRORS),
        (events.POSTSCREEN_TESTS, vocabulary.POSTSCREEN_TESTS),
        (events.PROBLEMS, vocabulary.PROBLEMS),
        (events.STATUSES, sentences._DELIVERED),
        (get_args(events.AuthCause), vocabulary.AUTH_CAUSES),
        (get_args(events.Violation), vocabulary.VIOLATIONS),
        (get_args(events.PeakMetric), vocabulary.RATES),
        (get_args(events.TlsPolicy), vocabulary.POLICIES),
        (get_args(get_args(get_type_hints(events.Delivery)["failure"])[0]), vocabulary.FAILURES),
        (get_args(get_type_hints(events.TlsEstablished)["trust"]), sentences._TRUST),
        (get_args(get_type_hints(events.Notified)["notice"]), sentences._NOTICES),
        (get_args(get_type_hints(events.MessageRemoved)["action"]), sentences._REMOVED),
    ],
)
def test_every_closed_word_is_said_in_words(words: tuple[str, ...], table: dict[str, str]) -> None:
    assert table.keys() == set(words)


def test_every_action_is_said_in_words() -> None:
    assert set(events.CONTENT_ACTIONS) <= sentences._ACTIONS.keys()
    assert set(get_args(get_type_hints(events.MilterAction)["action"])) <= sentences._ACTIONS.keys()


def test_every_untrusted_field_has_its_reason() -> None:
    for kind in KINDS:
        for name, hint in get_type_hints(kind).items():
            if events.Untrusted in (hint, *get_args(hint)):
                assert name in vocabulary.UNTRUSTED


@pytest.mark.parametrize("name", [name for name, _ in BY_RULE])
def test_the_example_of_every_rule_is_a_sentence(name: str) -> None:
    rule = every_rule()[name][0]
    found = rule.compiled.match(rule.example.partition("]: ")[2].encode())
    assert found is not None
    said = sentence(rule.build(ENVELOPE, found))
    assert re.fullmatch(r"[^\n]{10,400}\.", said), said
    assert "None" not in said


def test_a_real_log_has_no_sentence_that_cannot_be_shown() -> None:
    for event in read(logs("3.10")["injection.log"])[0]:
        assert sentence(event).isprintable()


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            events.AuthFailed(
                ENVELOPE, Client("192.0.2.7", "unknown", None), T("LOGIN"), "credentials", T(""),
                T("al\x1b[1m"),
            ),
            '192.0.2.7 (no confirmed name) could not log in as "al\\x1b[1m" with LOGIN: the name or the password was '
            "wrong.",
        ),
        (
            events.SessionAborted(ENVELOPE, Client(None, "unknown", None), "timeout", "DATA", None, None),
            "A client whose address Postfix could not tell was silent for too long after DATA, and Postfix hung up.",
        ),
        (
            events.Delivery(
                ENVELOPE, "0A1B2C3D4E", T("{to}@example.org"), None, "none", None, None, 1, [], None, "deferred", "dns",
                None, T(""),
            ),
            'The message 0A1B2C3D4E could not be delivered to "{to}@example.org" yet (the DNS has no usable answer for '
            "the domain); Postfix will try again.",
        ),
        (
            events.ClientDisconnected(
                ENVELOPE, Client("192.0.2.7", "a.example.org", None), {"ehlo": [2, 2], "auth": [0, 1], "quit": [1, 1]},
                None,
            ),
            "192.0.2.7 (a.example.org) disconnected, after the commands ehlo (2), auth (1 of 1 failed), quit.",
        ),
        (
            events.DeliveryAttempted(ENVELOPE, None, "mail.example.org", "192.0.2.7", 25, T("")),
            "mail.example.org (192.0.2.7) did not take a message; Postfix goes on with the next server, if there is "
            "one.",
        ),
    ],
)  # fmt: skip
def test_sentences(event: Event, said: str) -> None:
    assert sentence(event) == said
