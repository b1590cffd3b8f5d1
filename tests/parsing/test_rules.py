"""The rows of the grammar: each reads its own example, and nobody else's."""

import re
from datetime import UTC
from ipaddress import ip_address, ip_network

import pytest

from pfwatch.events import Event
from pfwatch.parsing import grammar
from pfwatch.parsing.rule import Rule, literal_prefix
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.header import BODY, FORMS, REPEATED, compile_form, last_repeated_pattern, postfix_tag
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE

EVERY = grammar.every_rule()
DOCUMENTATION = [
    ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "127.0.0.0/8")
]
every_rule = pytest.mark.parametrize("name", EVERY)


def explained(line: str) -> Event:
    """The event of one line, told as soon as it is read."""

    class Told(Sessions):
        def told(self, event: Event, process: tuple[bytes, bytes, bytes]) -> Event:
            lines.append(event)
            return super().told(event, process)

    lines: list[Event] = []
    Scanner(Told(), TimeReader(UTC), every_event=True).scan(line.encode() + b"\n", REFERENCE)
    assert len(lines) == 1
    return lines[0]


def body_of(rule: Rule) -> tuple[bytes, bytes, str]:
    """Body, first word and daemon of a rule's example."""
    found = compile_form("bsd").fullmatch(b"\n" + rule.example.encode())
    assert found, "the example has no header"
    assert found[4], "the example's tag has no pid"
    tag = postfix_tag(found[3])
    assert tag, "the example's tag is not Postfix's"
    return found[5], found[7], tag.daemon


@every_rule
def test_the_example_is_read_by_its_rule(name: str) -> None:
    assert explained(EVERY[name][0].example).envelope.rule == name


@every_rule
def test_the_example_is_of_a_daemon_of_the_rule_and_its_first_word_is_listed(name: str) -> None:
    rule, daemons = EVERY[name]
    _, word, daemon = body_of(rule)
    assert daemon in daemons
    assert word.decode() in rule.words or "" in rule.words


@every_rule
def test_no_other_rule_of_its_daemons_reads_the_example(name: str) -> None:
    rule, daemons = EVERY[name]
    body, word, _ = body_of(rule)
    for daemon in daemons:
        table = grammar.rules_by_word(daemon)
        asked = table.get(word) or table.get(grammar.ANY_WORD, ())
        fitting = [other for other in asked if other.compiled.match(body)]
        assert [other.name for other in fitting if not other.fallback or other is rule] == [name], daemon
        assert fitting[0] is rule, daemon


@every_rule
def test_without_the_rule_the_example_is_read_otherwise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, _ = EVERY[name]
    smaller = {daemon: tuple(one for one in rules if one is not rule) for daemon, rules in grammar.GRAMMAR.items()}
    before = explained(rule.example)
    monkeypatch.setattr(grammar, "GRAMMAR", smaller)
    after = explained(rule.example)
    assert (before.kind, before.envelope.rule) != (after.kind, after.envelope.rule)


@every_rule
def test_a_tallied_rule_says_what_its_lines_would_be(name: str) -> None:
    rule, _ = EVERY[name]
    if rule.tally is None:
        return
    assert rule.kind is not None
    if not rule.plain:  # else the example may be one of those that become events
        assert type(explained(rule.example)) is rule.kind


@every_rule
def test_a_rule_says_which_kinds_it_makes(name: str) -> None:
    rule, _ = EVERY[name]
    assert {type(explained(rule.example)), *(plain.hit for plain in rule.plain if plain.hit)} <= rule.makes
    assert rule.kind in {None, *rule.makes}
    assert Event not in rule.makes


@every_rule
def test_an_example_has_only_addresses_and_names_for_documentation(name: str) -> None:
    example = EVERY[name][0].example
    for text in re.findall(r"\[([0-9a-fA-F:.]+)\]", example):
        if "." in text or ":" in text:  # else it is a pid
            assert any(ip_address(text) in network for network in DOCUMENTATION), text
    for domain in re.findall(r"[@.]([a-z0-9-]+\.(?:com|net|org))\b", example):
        assert domain in {"example.com", "example.net", "example.org"}


@every_rule
def test_a_rule_is_found_by_every_word_it_lists_and_by_no_word_twice(name: str) -> None:
    rule, daemons = EVERY[name]
    assert len(set(rule.words)) == len(rule.words)
    assert all(
        BODY.fullmatch(f"{first}: x".encode()) or BODY.fullmatch(first.encode()) for first in rule.words if first
    )
    for daemon in daemons:
        table = grammar.rules_by_word(daemon)
        assert all(rule in table[first.encode()] for first in rule.words)


def test_names_are_unique() -> None:
    for daemon, rules in grammar.GRAMMAR.items():
        names = [rule.name for rule in rules]
        assert len(set(names)) == len(names), daemon
    assert len({id(rule) for rules in grammar.GRAMMAR.values() for rule in rules}) == len(EVERY)


# In Python before 3.11.5 a group that is repeated possessively captures wrongly what stands in it. A possessive
# quantifier behind a single character or a class is right in every release.
POSSESSIVE_GROUP = re.compile(rb"(?<!\\)\)(?:[?*+]|\{[0-9,]+\})\+")


def test_no_possessive_quantifier_behind_a_group_because_python_before_3_11_5_captures_wrongly_there() -> None:
    patterns = {name: rule.compiled.pattern for name, (rule, _) in EVERY.items()}
    patterns |= {f"header {form}": compile_form(form).pattern for form in FORMS}
    patterns |= {"body": BODY.pattern, "repeated": REPEATED.pattern, "last repeated": last_repeated_pattern().pattern}
    assert [name for name, pattern in patterns.items() if POSSESSIVE_GROUP.search(pattern)] == []
    assert POSSESSIVE_GROUP.search(rb"(a|b)?+c")
    assert POSSESSIVE_GROUP.search(rb"(?:a|b){1,3}+c")
    assert not POSSESSIVE_GROUP.search(rb"[a)]+b\)++")


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("connect from x", "connect from x"),
        ("warning: (?:a|b)", "warning: "),
        (r"warning: \[(?P<a>.*)\]", "warning: ["),
        ("colou?r", "colo"),
        (r"a\.b\.?c", "a.b"),
        ("abc|abd", ""),
        ("[ab]c", ""),
        (r"a\db", "a"),
    ],
)
def test_the_text_that_every_body_of_a_rule_begins_with(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


@every_rule
def test_an_example_begins_with_its_rules_prefix(name: str) -> None:
    rule, _ = EVERY[name]
    assert body_of(rule)[0].startswith(rule.prefix)
