"""A notification in words and numbers: everything that the mail templates may show, already safe to be shown.

Enters: a `Notification` and the reader's time zone. Leaves: frozen views; every text from outside is escaped and cut.
This file must never know whether it becomes text or HTML; it makes no markup.
"""

from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from pfwatch.alerting.advice import Step, advice, network, steps
from pfwatch.alerting.chart import Chart, chart
from pfwatch.alerting.moments import WallTime, duration, number
from pfwatch.alerting.notification import Notification, Reason
from pfwatch.alerting.visible import visible
from pfwatch.detection.incident import SEVERITIES, Incident

_TITLES = {
    "account": ("Account", "Accounts"),
    "client": ("Address", "Addresses"),
    "client_name": ("Client name", "Client names"),
    "recipient": ("Recipient", "Recipients"),
    "error": ("Error", "Errors"),
    "service": ("Service", "Services"),
    "method": ("Method", "Methods"),
}
_IN_ONE_LINE = ("service", "method", "error")
"""Fields with few and short texts: one fact each, never a table."""
_TABLE_ROWS = 10
_INCIDENT_ROWS = 50
_DISTINCT_IS_A_LOWER_BOUND = 1000
_SILENCE_DAYS = 7


class Top(msgspec.Struct, frozen=True):
    """The most frequent texts of one field."""

    title: str
    rows: list[tuple[str, int]]
    more: str
    """`and 12 more`, or empty."""


class IncidentView(msgspec.Struct, frozen=True):
    """One incident in full."""

    rule: str
    severity: str
    summary: str
    change: str
    """What is new since the last mail about it; empty in the first one."""
    facts: list[tuple[str, str]]
    text_chart: Chart | None
    html_chart: Chart | None
    chart_ends: tuple[str, str]
    """Hour and minute at the left and at the right end of the chart."""
    tops: list[Top]
    evidence: list[str]
    meaning: str
    steps: list[Step]
    silence: str
    docs: str


class IncidentRow(msgspec.Struct, frozen=True):
    """One incident as a line of a table."""

    rule: str
    severity: str
    subject: str
    count: int
    counted: str
    period: str
    detail: str
    meaning: str
    docs: str


class View(msgspec.Struct, frozen=True):
    """What a template is given."""

    reason: Reason
    host: str
    id: str
    at: str
    severity: str
    lead: IncidentView | None
    others: list[IncidentRow]
    more_others: int
    suppressed: int
    zone: str


def view(notification: Notification, zone: tzinfo) -> View:
    """Everything that a mail about `notification` can say."""
    wall = WallTime(zone)
    incidents = notification.incidents
    in_full = bool(incidents) and notification.reason not in ("digest", "overflow")
    rest = incidents[1:] if in_full else incidents
    return View(
        reason=notification.reason,
        host=visible(notification.host),
        id=visible(notification.id),
        at=wall.moment(notification.at),
        severity=max((incident.severity for incident in incidents), key=SEVERITIES.index, default="info"),
        lead=_in_full(incidents[0], notification, wall) if in_full else None,
        others=[_row(incident, wall) for incident in rest[:_INCIDENT_ROWS]],
        more_others=max(0, len(rest) - _INCIDENT_ROWS),
        suppressed=notification.suppressed,
        zone=f"{datetime.fromtimestamp(notification.at, zone):%Z}",
    )


def _in_full(incident: Incident, notification: Notification, wall: WallTime) -> IncidentView:
    words = advice(incident.rule)
    clients = [text for text, _ in incident.tops.get("client", []) if _belongs(text, incident.subject)]
    text_chart = chart(incident.chart, 60)
    return IncidentView(
        rule=visible(incident.rule),
        severity=incident.severity,
        summary=_summary(incident),
        change=_change(incident, notification, wall),
        facts=_facts(incident, wall),
        text_chart=text_chart,
        html_chart=chart(incident.chart, 40),
        chart_ends=(wall.minute(text_chart.columns[0].start), wall.minute(text_chart.end)) if text_chart else ("", ""),
        tops=_tops(incident),
        evidence=[visible(line) for line in incident.evidence],
        meaning=words.meaning,
        steps=steps(incident.rule, incident.subject, clients),
        silence=_silence(incident, notification.at),
        docs=_docs(incident.rule),
    )


def _row(incident: Incident, wall: WallTime) -> IncidentRow:
    words = advice(incident.rule)
    return IncidentRow(
        rule=visible(incident.rule),
        severity=incident.severity,
        subject=visible(incident.subject),
        count=incident.count,
        counted=words.counted.lower(),
        period=wall.period(incident.first, incident.last),
        detail=_who(incident).lstrip(" ,").removeprefix("(").removesuffix(")"),
        meaning=words.meaning,
        docs=_docs(incident.rule),
    )


def _summary(incident: Incident) -> str:
    times = {1: "once", 2: "twice"}.get(incident.count, f"{number(incident.count)} times")
    lasted = incident.last - incident.first
    sentence = advice(incident.rule).sentence.format(
        subject=visible(incident.subject),
        host=visible(incident.host),
        times=times,
        period=f"within {duration(lasted)}" if lasted >= 1 else "within a second",
    )
    return f"{sentence}{_who(incident)}."


def _who(incident: Incident) -> str:
    """The end of the sentence: which account, recipient or error it was about."""
    words = advice(incident.rule)
    names = incident.tops.get(words.field, [])
    if not names:
        return ""
    form = words.one if _distinct(incident, words.field) == 1 else words.many
    return form.format(name=visible(names[0][0], 60), number=_how_many(incident, words.field))


def _change(incident: Incident, notification: Notification, wall: WallTime) -> str:
    match notification.reason:
        case "grew":
            return f"It goes on and has grown many times over since the last mail: {number(incident.count)} by now."
        case "repeat":
            return f"It still goes on, {duration(notification.at - incident.first)} after it began."
        case "resolved":
            return f"It is over: nothing more has happened since {wall.moment(incident.last)}."
        case _:
            return ""


def _facts(incident: Incident, wall: WallTime) -> list[tuple[str, str]]:
    words = advice(incident.rule)
    facts = [
        ("First seen", wall.moment(incident.first)),
        ("Last seen", f"{wall.moment(incident.last)} ({duration(incident.last - incident.first)} later)"),
        (words.counted, number(incident.count)),
        ("Threshold", f"{number(incident.threshold)} within {duration(incident.window)}"),
    ]
    if incident.last <= incident.first:
        facts[1] = ("Last seen", wall.moment(incident.last))
    for field, (one, many) in _TITLES.items():
        names = incident.tops.get(field, [])
        if not names or _repeats_subject(field, incident):
            continue
        if _distinct(incident, field) == 1:
            facts.append((one, visible(names[0][0])))
        elif field in _IN_ONE_LINE:
            facts.append((many, ", ".join(f"{visible(name, 40)} ({number(count)})" for name, count in names)))
    return facts


def _tops(incident: Incident) -> list[Top]:
    tops = []
    for field, names in incident.tops.items():
        if field in _IN_ONE_LINE or _distinct(incident, field) <= 1 or _repeats_subject(field, incident):
            continue
        shown = [(visible(name), count) for name, count in names[:_TABLE_ROWS]]
        more = _distinct(incident, field) - len(shown)
        lower_bound = "at least " if _is_lower_bound(incident, field) else ""
        title = _TITLES[field][1] if field in _TITLES else visible(field)
        tops.append(Top(title, shown, _more(lower_bound + number(more), shown) if more > 0 else ""))
    return tops


def _distinct(incident: Incident, field: str) -> int:
    return max(incident.distinct.get(field, 0), len(incident.tops.get(field, [])))


def _how_many(incident: Incident, field: str) -> str:
    count = number(_distinct(incident, field))
    return f"at least {count}" if _is_lower_bound(incident, field) else count


def _is_lower_bound(incident: Incident, field: str) -> bool:
    return field in incident.incomplete or _distinct(incident, field) >= _DISTINCT_IS_A_LOWER_BOUND


def _more(count: str, shown: list[tuple[str, int]]) -> str:
    return f"and {count} more" if shown else f"{count}; there was no room to keep any of them"


def _repeats_subject(field: str, incident: Incident) -> bool:
    names = incident.tops.get(field, [])
    return field == "client" and len(names) == 1 and names[0][0] == incident.subject


def _belongs(client: str, subject: str) -> bool:
    address, target = network(client), network(subject)
    return address is not None and target is not None and address.network_address in target


def _silence(incident: Incident, at: float) -> str:
    """The lines of TOML that keep this quiet for a week."""
    until = datetime.fromtimestamp(at, UTC).replace(microsecond=0) + timedelta(days=_SILENCE_DAYS)
    lines = ["[[alerts.silence]]", f'rule = "{_word(incident.rule)}"']
    target = network(incident.subject)
    if target is not None:
        lines.append(f'subject = "{incident.subject}"')
    lines.append(f"until = {until:%Y-%m-%dT%H:%M:%SZ}  # without this line: for good")
    return "\n".join(lines)


def _docs(rule: str) -> str:
    return f"docs/reference/detection.md#{_word(rule)}"


def _word(rule: str) -> str:
    return "".join(
        character for character in rule if character.isascii() and (character.isalnum() or character in "-_")
    )
