"""What a commit keeps of subjects is what happened to them, and after a restart they are as if nothing had been."""

import random
from datetime import UTC
from typing import Any

import msgspec
import pytest

from pfwatch.detection import diary, rows
from pfwatch.detection.detector import Detector
from pfwatch.detection.settings import SHIPPED, DetectionSettings
from pfwatch.pipeline import Pipeline, Settings
from tests.samples.logs import REFERENCE

Kept = dict[str, dict[bytes, bytes]]
SUBJECTS = 12
"""For as many there is room: of those seen last in the same second any may make room after a restart."""
WINDOW = 40
SETTINGS = Settings(
    detection=DetectionSettings(
        max_subjects=SUBJECTS,
        rules={name: msgspec.structs.replace(rule, threshold=4, window=WINDOW) for name, rule in SHIPPED.items()},
    ),
    zone=UTC,
    dovecot=True,
)


def line(second: int, body: str, tag: str = "postfix/smtpd[7]") -> bytes:
    return f"Nov 22 09:{50 + second // 60}:{second % 60:02d} mx1 {tag}: {body}\n".encode()


def guess(second: int, ip: str = "192.0.2.1", name: str = "alice") -> bytes:
    client = f"unknown[{ip}]"
    return line(second, f"warning: {client}: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username={name}")


def hostile(seed: int, lines: int = 900) -> list[bytes]:
    """Hits and events of many subjects; now and then all are quiet, and everything ends."""
    dice, log, second = random.Random(seed), list[bytes](), 0.0
    for number in range(lines):
        second += dice.choice((0, 0, 0.2, 0.2, 1)) if number % 300 else WINDOW + 5
        at, ip, name = int(second), f"192.0.2.{dice.randrange(SUBJECTS)}", f"user{dice.randrange(5)}"
        about = f"imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{name}>, method=PLAIN, rip={ip}"
        relay = f"NOQUEUE: reject: RCPT from unknown[{ip}]: 554 5.7.1 <{name}@example.com>: Relay access denied; "
        log.append(
            dice.choice(
                (
                    guess(at, ip, name),
                    guess(at, ip, name + "x" * dice.choice((0, 1200))),
                    line(at, f"{about}, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>", "dovecot"),
                    line(at, f"{relay}from=<{name}@example.net> to=<{name}@example.com> proto=ESMTP helo=<x>"),
                    line(at, f"SSL_accept error from unknown[{ip}]: lost connection"),
                )
            )
        )
    return log


def committed(pipeline: Pipeline, kept: Kept) -> int:
    """Put what changed where a store would have it. Gives how many bytes that was."""
    size = 0
    for part, changed in pipeline.drain().items():
        table = kept.setdefault(part, {})
        for key, value in changed.items():
            size += len(key) + len(value or b"")
            table.pop(key, None)
            table.update({key: value} if value is not None else {})
    return size


def restarted(kept: Kept, settings: Settings = SETTINGS) -> Pipeline:
    pipeline = Pipeline(settings, keep=True)
    pipeline.restore({part: dict(sorted(table.items())) for part, table in kept.items()})
    return pipeline


def known(pipeline: Pipeline) -> dict[str, Any]:
    """All that is known of every subject under every rule."""
    detector = pipeline._detector
    found = {}
    for name, watched in detector._watched.items():
        for row in watched.rows:
            incident = watched.whole(row.subject, watched.settled(row))
            found[f"{name} {row.subject}"] = (incident, row.watch and row.watch.opened, row.last)
    return found


@pytest.fixture(params=["roomy", "narrow"])
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for every page, and with so little that subjects are kept whole again and again."""
    if request.param == "narrow":
        monkeypatch.setattr(diary, "_MOST_ON_PAGES", 40)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("seed", range(4))
def test_a_restart_after_any_commit_leaves_everybody_as_he_was(seed: int) -> None:
    log, dice = hostile(seed), random.Random(seed)
    pipeline, kept, place, most = Pipeline(SETTINGS, keep=True), Kept(), 0, 0
    undisturbed = Pipeline(SETTINGS)
    while place < len(log):
        block = b"".join(log[place : place + dice.choice((1, 2, 5, 30))])
        place += block.count(b"\n")
        before = undisturbed.feed(block, "log", REFERENCE)
        after = pipeline.feed(block, "log", REFERENCE)
        assert [(one.what, one.key, one.at) for one in after.changes] == [
            (one.what, one.key, one.at) for one in before.changes
        ]
        committed(pipeline, kept)
        if dice.random() < 0.2:
            pipeline = restarted(kept)
        most = max(most, len(kept["diary"]))
        if dice.random() < 0.2:
            assert known(pipeline) == known(undisturbed)
    assert known(restarted(kept)) == known(pipeline) == known(undisturbed)
    assert most > 5


def test_one_more_hit_costs_a_commit_the_same_however_much_is_known_of_its_subject() -> None:
    pipeline, kept = Pipeline(SETTINGS, keep=True), Kept()
    pipeline.feed(b"".join(guess(0, name=f"user{number}") for number in range(500)), "log", REFERENCE)
    first = committed(pipeline, kept)
    pipeline.feed(guess(1), "log", REFERENCE)
    assert committed(pipeline, kept) < 700 < 5_000 < first


def test_pages_do_not_heap_up_and_nobody_on_them_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diary, "_MOST_PAGES", 10)
    pipeline, kept = Pipeline(SETTINGS, keep=True), Kept()
    pipeline.feed(guess(0, "192.0.2.200"), "log", REFERENCE)
    committed(pipeline, kept)
    for second in range(1, 30):
        pipeline.feed(guess(second), "log", REFERENCE)
        committed(pipeline, kept)
        assert len(kept["diary"]) <= 11
    assert known(restarted(kept)) == known(pipeline)
    assert len(known(pipeline)) == 2


def test_what_waits_for_a_disk_that_does_not_answer_has_a_limit_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, kept = Pipeline(SETTINGS, keep=True), Kept()
    log = hostile(1)
    pipeline.feed(b"".join(log[:100]), "log", REFERENCE)
    committed(pipeline, kept)
    monkeypatch.setattr(rows, "_MOST_NEWS", 2_000)
    waiting = [one.rows for one in pipeline._detector._watched.values()]
    for one in log[100:]:
        pipeline.feed(one, "log", REFERENCE)
        assert max(len(each.news) for each in waiting) < 25
        assert max(len(each.changed) + len(each.ended) for each in waiting) <= 2 * SUBJECTS
    committed(pipeline, kept)
    assert known(restarted(kept)) == known(pipeline)


def test_what_an_earlier_version_kept_of_everybody_goes_on() -> None:
    log = hostile(2)
    pipeline = Pipeline(SETTINGS, keep=True)
    pipeline.feed(b"".join(log[:250]), "log", REFERENCE)
    whole = pipeline.drain(whole=True)
    kept = {part: {key: value for key, value in table.items() if value} for part, table in whole.items()}
    for part in list(kept):
        if part.startswith("watch:"):  # each was kept whole, and there were no pages
            for key, value in kept[part].items():
                watch = msgspec.msgpack.decode(value)
                del watch["page"]
                kept[part][key] = msgspec.msgpack.encode(watch)
    del kept["diary"]
    again = restarted(kept)
    assert known(again) == known(pipeline)
    for one in (pipeline, again):
        one.feed(b"".join(log[250:280]), "log", REFERENCE)
    committed(again, kept)
    assert known(restarted(kept)) == known(pipeline)


def test_hits_of_a_wording_that_this_version_does_not_know_are_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, kept = Pipeline(SETTINGS, keep=True), Kept()
    for second in range(6):
        pipeline.feed(guess(second), "log", REFERENCE)
        committed(pipeline, kept)
    monkeypatch.setattr(diary, "hits_of", lambda _kind: None)
    (incident,) = restarted(kept)._detector.open_incidents()
    assert (incident.count, incident.first, incident.last) == (6, incident.last - 5, incident.last)
    assert incident.opened == incident.first + 3


def test_a_rule_that_is_switched_off_meanwhile_does_not_disturb_the_others() -> None:
    pipeline, kept = Pipeline(SETTINGS, keep=True), Kept()
    pipeline.feed(b"".join(hostile(3)[:100]), "log", REFERENCE)
    committed(pipeline, kept)
    fewer = {name: rule for name, rule in SETTINGS.detection.rules.items() if name != "relay-probe"}
    settings = msgspec.structs.replace(SETTINGS, detection=msgspec.structs.replace(SETTINGS.detection, rules=fewer))
    expected = {key: one for key, one in known(pipeline).items() if not key.startswith("relay-probe")}
    assert known(restarted(kept, settings)) == expected
    assert expected
    assert isinstance(pipeline._detector, Detector)
