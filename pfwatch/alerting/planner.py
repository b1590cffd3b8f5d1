"""The planner: from what happens to incidents to the notifications that are sent, grouped and within a budget.

Enters: changes of incidents, and the passing of time. Leaves: `Notification`s in the order of their deadlines, and why
others were not made. This file must never know mail; whether something is told is decided in `decide`.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile

import msgspec

from pfwatch.alerting.decide import TELL, Told, Verdict, decide
from pfwatch.alerting.notification import Notification, Reason
from pfwatch.alerting.remembered import Remembered
from pfwatch.alerting.settings import AlertSettings
from pfwatch.detection.change import Change, Key
from pfwatch.detection.detector import Detector
from pfwatch.detection.incident import SEVERITIES, Incident

_DAY = 86_400
_MOST_COOLING = 10_000
_MOST_WAITING = 1_000
"""Incidents that one notification can be about. Who has more needs no list, and each takes some kilobytes."""
_MOST_SHOWN = 100
"""Those of them that are given whole: more than a mail shows."""
_NEVER = float("inf")

PHRASES: Mapping[str, str] = {
    "auth-bruteforce": "{count} failed logins from {subject}",
    "relay-probe": "{count} relay attempts refused from {subject}",
    "tls-client-failures": "{count} failed TLS handshakes of {subject}",
}
"""Rule -> the incident in a few words, for subject lines."""


class Plan(msgspec.Struct):
    """What the planner remembers; all of it survives a restart."""

    group: dict[str, Key] = {}
    """Incidents that opened and wait for others, by id."""
    group_at: float = _NEVER
    digest: dict[str, Key] = {}
    digest_at: float = _NEVER
    ended: dict[str, Incident] = {}
    """Incidents of the group or the digest that ended while they waited."""
    told: dict[str, tuple[Key, Told]] = {}
    """Open incidents that were told, by id."""
    cooling: dict[str, float] = {}
    """`rule subject` -> when its cooldown is over."""
    day: int = 0
    spent: int = 0
    """Notifications of this day (UTC)."""
    held_back: int = 0
    number: int = 0
    """Of the latest digest or overflow notification."""


_IN_ROWS: Mapping[str, object] = {
    "group": Key,
    "digest": Key,
    "ended": Incident,
    "told": tuple[Key, Told],
    "cooling": float,
}
"""Those fields of a plan that can be long, and what is in them: each of their rows is kept for itself, as a commit each
second that wrote all of it would write megabytes."""


class Planner:
    """Turns changes into notifications. `suppressed` counts by reason what was not told since it was last taken."""

    def __init__(self, settings: AlertSettings, detector: Detector, *, keep: bool = True, whole: bool = True) -> None:
        """Take the detector for the state of incidents at the moment somebody is told; without `whole`, he is told
        their outlines. With `keep`, changes are collected for `drain`.
        """
        self._settings = settings
        self._shown = _MOST_SHOWN if whole else 0
        self._detector = detector
        self._keep = keep
        self._plan = _in_rows(Plan()) if keep else Plan()
        self._changed = False
        self.suppressed: dict[str, int] = {}

    def next_deadline(self) -> float:
        """When something is due by waiting, seconds since the epoch; infinity for never."""
        plan = self._plan
        due = min(plan.group_at, plan.digest_at)
        for _, told in plan.told.values():
            repeat = told.at + self._settings.repeat_interval
            return min(due, repeat)  # who was told longest ago stands first
        return due

    def feed(self, changes: Sequence[Change], clock: float | None) -> list[Notification]:
        """Take what happened to incidents."""
        made: list[Notification] = []
        self._changed = self._changed or bool(changes)
        for change in changes:
            if change.what == "opened":
                self._opened(change)
            elif change.what == "grew":
                made += self._tell({change.incident.id: change.key}, change.at, clock)
            elif change.what == "ended":
                made += self._ended(change, clock)
            else:
                for waiting in (self._plan.group, self._plan.digest, self._plan.told):
                    waiting.pop(change.incident.id, None)
        return made

    def tick(self, now: float, clock: float | None) -> list[Notification]:
        """Tell what is due by `now`."""
        plan, made = self._plan, []
        if plan.group_at <= now:
            due, at, plan.group_at = dict(plan.group), plan.group_at, _NEVER
            plan.group.clear()
            made += self._tell(due, at, clock)
        if plan.digest_at <= now:
            due, at, plan.digest_at = dict(plan.digest), plan.digest_at, _NEVER
            plan.digest.clear()
            made += self._tell(due, at, clock, digest=True)
        interval = self._settings.repeat_interval
        # Who was told longest ago stands first.
        waiting = takewhile(lambda item: item[1][1].at + interval <= now, plan.told.items())
        late = {id_: key for id_, (key, _) in waiting}
        for id_, key in late.items():
            at = plan.told[id_][1].at + interval
            made += self._tell({id_: key}, at, clock)
            if id_ in plan.told and plan.told[id_][1].at + interval <= now:  # not told: ask again in an interval
                _, told = plan.told.pop(id_)
                plan.told[id_] = (key, msgspec.structs.replace(told, at=at))
        self._changed = self._changed or bool(made or late)
        return made

    def drain(self) -> dict[bytes, bytes | None]:
        """What changed since the last call."""
        if not self._changed or not self._keep:
            return {}
        self._changed = False
        rest = msgspec.structs.replace(self._plan, **{name: {} for name in _IN_ROWS})
        kept: dict[bytes, bytes | None] = {b"plan": msgspec.msgpack.encode(rest)}
        for name in _IN_ROWS:
            kept |= getattr(self._plan, name).drain(name)
        return kept

    def touch_all(self) -> None:
        """Say that everything is to be kept anew."""
        self._changed = True
        for name in _IN_ROWS:
            getattr(self._plan, name).touch_all()

    def restore(self, saved: Mapping[bytes, bytes]) -> None:
        """Go on with what `drain` gave."""
        if b"plan" in saved:
            # One that was kept whole, by an earlier version, comes in rows from now on.
            self._plan = _in_rows(msgspec.msgpack.decode(saved[b"plan"], type=Plan))
            for name in _IN_ROWS:
                getattr(self._plan, name).restore(name, saved)
            for key, told in self._plan.told.values():
                self._detector.mark(key, told.count * self._settings.grew_factor)

    def _opened(self, change: Change) -> None:
        plan = self._plan
        waiting = plan.digest if change.incident.severity == "info" else plan.group
        if len(waiting) >= _MOST_WAITING:
            self.suppressed["crowded"] = self.suppressed.get("crowded", 0) + 1
            return
        waiting[change.incident.id] = change.key
        if waiting is plan.digest:
            plan.digest_at = min(plan.digest_at, change.at + self._settings.digest_interval)
        else:
            plan.group_at = min(plan.group_at, change.at + self._settings.group_wait)

    def _ended(self, change: Change, clock: float | None) -> list[Notification]:
        plan, incident = self._plan, change.incident
        if incident.id in plan.group or incident.id in plan.digest:
            plan.ended[incident.id] = change.whole() if change.whole and self._shown else incident
            return []
        made: list[Notification] = []
        known = plan.told.get(incident.id)
        if known:
            verdict = self._decide(incident, change.key, known[1], change.at, clock)
            if verdict in TELL:
                whole = change.whole() if change.whole and self._shown else incident
                made = self._notify([(whole, change.key, verdict)], change.at, digest=False)
            del plan.told[incident.id]
        plan.ended.pop(incident.id, None)
        self._cool(change.key, change.at)
        return made

    def _cool(self, key: Key, at: float) -> None:
        cooling = self._plan.cooling
        if len(cooling) >= _MOST_COOLING:
            for name in [name for name, until in cooling.items() if until <= at]:
                del cooling[name]
            while len(cooling) >= _MOST_COOLING:
                del cooling[next(iter(cooling))]
        cooling[" ".join(key)] = at + self._detector.rule(key[0]).cooldown

    def _tell(self, due: dict[str, Key], at: float, clock: float | None, *, digest: bool = False) -> list[Notification]:
        """Decide each and put those that are to be told into one notification."""
        plan = self._plan
        chosen: list[tuple[Incident, Key, str]] = []
        for id_, key in due.items():
            incident = plan.ended.get(id_) or self._detector.outline(key)
            if incident is None or incident.id != id_:
                continue
            told = plan.told[id_][1] if id_ in plan.told else None
            # What waits for a digest is old by design; it was fresh when it opened.
            moment, wall = (incident.last, None) if digest else (at, clock)
            verdict = self._decide(incident, key, told, moment, wall)
            if verdict in TELL:
                chosen.append((incident, key, verdict))
            if incident.ended is not None and id_ in plan.ended and told is None:
                del plan.ended[id_]
                self._cool(key, incident.ended)
        if not chosen:
            return []
        chosen.sort(key=lambda one: (-SEVERITIES.index(one[0].severity), -one[0].count, one[0].id))
        return self._notify(chosen, at, digest=digest)

    def _decide(self, incident: Incident, key: Key, told: Told | None, at: float, clock: float | None) -> Verdict:
        """Decide, and count why somebody is not told."""
        quiet_until = self._plan.cooling.get(" ".join(key), 0.0) if told is None else 0.0
        rule = self._detector.rule(key[0])
        verdict = decide(incident, told, self._settings, rule, at, clock=clock, quiet_until=quiet_until)
        if verdict not in TELL and verdict != "unwanted":
            self.suppressed[verdict] = self.suppressed.get(verdict, 0) + 1
        return verdict

    def _notify(self, chosen: list[tuple[Incident, Key, str]], at: float, *, digest: bool) -> list[Notification]:
        plan = self._plan
        if plan.day != int(at // _DAY):
            plan.day, plan.spent, plan.held_back = int(at // _DAY), 0, 0
        lead, _, reason = chosen[0]
        before = plan.told.get(lead.id)
        number = before[1].number + 1 if before else 1
        id_ = f"{lead.id}-{'digest' if digest else reason}-{number}"
        thread = before[1].thread if before else id_
        for incident, key, _ in chosen:
            if incident.ended is None and not digest:
                known = plan.told.pop(incident.id, None)
                thread_of, times = (known[1].thread, known[1].number) if known else (thread, 0)
                plan.told[incident.id] = (key, Told(thread_of, at, incident.count, times + 1))
                self._detector.mark(key, incident.count * self._settings.grew_factor)
        plan.spent += 1
        if plan.spent > self._settings.daily_budget:
            plan.held_back += 1
            self.suppressed["budget"] = self.suppressed.get("budget", 0) + 1
            if plan.held_back > 1:
                return []
            budget = self._settings.daily_budget
            text = f"[pfwatch {lead.host}] No more alert mails today: the budget of {budget} is spent"
            over = f"overflow-{plan.day}"
            return [Notification(over, "overflow", at, lead.host, text, [], over, plan.held_back)]
        shown, hidden = chosen[: self._shown], chosen[self._shown :]
        incidents = [self._whole(incident, key) for incident, key, _ in shown]
        incidents += [incident for incident, _, _ in hidden]
        why: Reason = "digest" if digest else reason  # type: ignore[assignment] # only verdicts in TELL come here
        return [Notification(id_, why, at, lead.host, subject_line(incidents, why), incidents, thread)]

    def _whole(self, incident: Incident, key: Key) -> Incident:
        """Of what was chosen by its outline."""
        return incident if incident.ended is not None else self._detector.incident(key) or incident


def _in_rows(plan: Plan) -> Plan:
    """The same, kept row by row."""
    rows = {name: Remembered(value, getattr(plan, name)) for name, value in _IN_ROWS.items()}
    return msgspec.structs.replace(plan, **rows)


def subject_line(incidents: list[Incident], reason: Reason) -> str:
    """Host, what, how many, who; one line of printable text."""
    lead = incidents[0]
    what = PHRASES.get(lead.rule, "{count} events of {subject}").format(count=lead.count, subject=lead.subject)
    prefix = {"grew": "Still growing: ", "repeat": "Still going on: ", "resolved": "Ended: ", "digest": "Digest: "}
    more = f", and {len(incidents) - 1} more" if len(incidents) > 1 else ""
    text = f"[pfwatch {lead.host}] {prefix.get(reason, '')}{what}{more}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
