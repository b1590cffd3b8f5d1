"""Where in a log line the fields of its event stand.

Enters: a line and its event. Leaves: spans, in bytes of the line. A field that is concluded from the wording, or known
from an earlier line, has none. This file must never know how a line is shown.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from pfwatch.events import Event, Foreign, Malformed, Unsupported, as_object
from pfwatch.parsing.dovecot import RULES as DOVECOT
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.rule import Rule
from pfwatch.records.header import FORMS, REPEATED, compile_form, last_repeated

_FIELDS: Mapping[str, str] = {
    "ip": "client_ip", "port": "client_port", "enhanced": "enhanced_code", "orig_id": "orig_queue_id",
    "period": "period_seconds", "user": "username", "tail": "text", "later_reason": "reason", "process": "protocol",
    "attempts": "weight",
}  # fmt: skip
"""Groups of the grammar whose field has another name."""
_TAKEN_APART = frozenset(("text", "reason"))
"""Of these the group may hold more than the field."""
_TAIL = (
    ("sender", b"from=<", b">"),
    ("recipient", b"to=<", b">"),
    ("proto", b"proto=", b""),
    ("helo", b"helo=<", b">"),
)
"""A refusal's tail: field, what stands before it, what stands behind it."""


class Span(NamedTuple):
    """Where a field stands in the line, in bytes."""

    begin: int
    end: int
    field: str


def rule_of(event: Event) -> Rule | None:
    """The rule that read the event's line."""
    return _rules().get(event.envelope.rule or "")


@cache
def _rules() -> Mapping[str, Rule]:
    return {rule.name: rule for rule in DOVECOT} | {name: rule for name, (rule, _) in every_rule().items()}


def spans_of(line: bytes, event: Event) -> list[Span]:
    """Where the line says what; a field that pfwatch concludes, or knows from an earlier line, has no place."""
    trimmed = (_without_blanks(line, span) for span in _spans(line, event))
    spans = [span for span in trimmed if span.begin < span.end]
    return sorted(spans, key=lambda span: (span.begin, -span.end))


def _without_blanks(line: bytes, span: Span) -> Span:
    text = line[span.begin : span.end]
    return span._replace(begin=span.begin + len(text) - len(text.lstrip(b" ")))


def _spans(line: bytes, event: Event) -> Iterator[Span]:
    if isinstance(event, Malformed):
        yield Span(0, len(line), "text")
        return
    forms = (compile_form(form).fullmatch(b"\n" + line) for form in FORMS)
    header = next((found for found in forms if found and found[1]), None)
    if header is None:
        repeated = last_repeated(line)
        if repeated:
            yield from (Span(*repeated.span(group), name) for group, name in enumerate(("at", "host", "weight"), 1))
        return
    begin = {group: header.start(group) - 1 for group in range(1, 6)}
    end = {group: header.end(group) - 1 for group in range(1, 6)}
    yield Span(begin[1], end[1], "at")
    yield Span(begin[2], end[2], "host")
    slash = header[3].rfind(b"/") if event.envelope.service is not None else -1
    yield Span(begin[3], begin[3] + max(slash, 0), "service")
    yield Span(begin[3] + slash + 1, end[3], "daemon")
    yield Span(begin[4], end[4], "pid")
    yield from _in_body(line[begin[5] : end[5]], begin[5], event)


def _in_body(body: bytes, offset: int, event: Event) -> Iterator[Span]:
    repeated = REPEATED.fullmatch(body) if event.envelope.weight > 1 else None
    if repeated:
        yield Span(offset + repeated.start(1), offset + repeated.end(1), "weight")
        body, offset = repeated[2], offset + repeated.start(2)
    severity = event.envelope.severity.encode()
    if body.startswith(severity + b": "):
        yield Span(offset, offset + len(severity), "severity")
    rule = rule_of(event)
    if isinstance(event, Unsupported | Foreign) or rule is None:
        yield Span(offset, offset + len(body), "text")
        return
    yield from (
        Span(offset + place.begin, offset + place.end, place.field) for place in _of_rule(body, rule, as_object(event))
    )


def _of_rule(body: bytes, rule: Rule, fields: Mapping[str, Any]) -> Iterator[Span]:
    """By the rule's groups; then what the rule takes out of a group, or puts together from several."""
    found = rule.compiled.match(body)
    if found is None:
        return
    spans: list[Span] = []
    whole: list[str] = []
    for group, text in found.groupdict().items():
        field = _FIELDS.get(group, group)
        if text is None:
            continue
        if group != "client" and (field not in fields or (field in _TAKEN_APART and not _is(text, fields[field]))):
            whole.append(group)
            continue
        spans += _of_group(group, text, found.start(group))
    spans += _of_reply(body, fields)
    placed = {span.field for span in spans}
    for group in whole:
        for field in ("service_name", "client_ip", "subject"):
            value = (fields.get(field) or "").encode()
            if value and field not in placed and found[group].count(value) == 1:
                begin = found.start(group) + found[group].index(value)
                spans.append(Span(begin, begin + len(value), field))
    for field in _TAKEN_APART - placed:
        value = (fields.get(field) or "").encode()
        if value and value in body:
            spans.append(Span(body.index(value), body.index(value) + len(value), field))
    yield from spans


def _is(text: bytes, value: object) -> bool:
    return isinstance(value, str) and text.decode("utf-8", "backslashreplace")[: len(value) or None] == value


def _of_reply(body: bytes, fields: Mapping[str, Any]) -> Iterator[Span]:
    """A refusal's codes, and its tail where the values that were read fit it in one place only."""
    code, enhanced = fields.get("code"), fields.get("enhanced_code")
    if code or enhanced:
        codes = "".join(
            rf"(?P<{name}>{re.escape(str(value))}) "
            for name, value in (("code", code), ("enhanced_code", enhanced))
            if value
        )
        head = re.search(rb"\](?::[0-9]+)?: " + codes.encode(), body)
        yield from (Span(*head.span(name), name) for name in head.groupdict()) if head else ()
    tail = b",? ".join(
        (before + f"(?P<{name}>".encode() + re.escape(str(fields[name]).encode()) + b")" + behind)
        for name, before, behind in _TAIL
        if fields.get(name) is not None
    )
    places = list(re.finditer(rb"; " + tail, body)) if tail else []
    if len(places) == 1:
        yield from (Span(*places[0].span(name), name) for name in places[0].groupdict())


def _of_group(group: str, text: bytes, begin: int) -> Iterator[Span]:
    if group != "client":
        yield Span(begin, begin + len(text), _FIELDS.get(group, group))
        return
    name, bracket, behind = text.partition(b"[")
    ip, _, port = behind.partition(b"]:")
    first = begin + len(name) + len(bracket)
    yield Span(begin, begin + len(name), "client_name")
    yield Span(first, first + len(ip.rstrip(b"]")), "client_ip")
    yield Span(first + len(ip) + 2, first + len(ip) + 2 + len(port), "client_port")
