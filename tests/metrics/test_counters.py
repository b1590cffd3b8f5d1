"""Counters grow, are bounded, and go on after a restart."""

import math
from functools import reduce
from operator import add

import pytest

from pfwatch.metrics.counters import Counters

REJECTS = "postfix_rejects_total"
DELAY = "postfix_smtp_delivery_delay_seconds"


def test_every_series_with_closed_labels_is_there_at_zero_from_the_start() -> None:
    counters = Counters().shown().counters
    assert counters["postfix_smtpd_connects_total"] == {(): 0}
    assert counters[REJECTS]["postfix", "RCPT", "rbl"] == 0
    assert counters["postfix_tls_errors_total"]["inbound", "http_request"] == 0
    assert sum(map(len, counters.values())) < 3000


def test_a_new_service_brings_all_its_other_series_at_zero() -> None:
    counters = Counters()
    counters.add(REJECTS, ("postfix/submission", "RCPT", "rbl"), 3)
    series = counters.shown().counters[REJECTS]
    assert series["postfix/submission", "RCPT", "rbl"] == 3
    assert series["postfix/submission", "MAIL", "size"] == 0


def test_a_value_outside_a_closed_set_counts_as_other() -> None:
    counters = Counters()
    counters.add(REJECTS, ("postfix", "X\nY", "rbl"))
    counters.add(REJECTS, ("postfix", "ETRN", "rbl"))
    assert counters.shown().counters[REJECTS]["postfix", "other", "rbl"] == 2


def test_a_value_outside_a_closed_set_without_other_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"pfwatch_lines_total: 'eaten' is no value of its label fate"):
        Counters().add("pfwatch_lines_total", ("stdin", "eaten"))


def test_ten_thousand_services_stay_within_the_cap_and_none_is_lost() -> None:
    counters = Counters()
    for number in range(10_000):
        counters.add("postfix_relay_denied_total", (f"service{number}",))
    series = counters.shown().counters["postfix_relay_denied_total"]
    assert len(series) == 51
    assert sum(series.values()) == 10_000
    assert series[("other",)] == 10_000 - 49


def test_invented_ciphers_fold_into_one_other() -> None:
    counters = Counters()
    for number in range(200):
        labels = ("Anonymous", "TLSv1.3", f"CIPHER{number}", "256", str(number))
        counters.add("postfix_smtpd_tls_connections_total", labels)
    series = counters.shown().counters["postfix_smtpd_tls_connections_total"]
    assert len(series) == 51
    assert series["Anonymous", "TLSv1.3", "other", "other", "other"] == 150


def test_a_gauge_is_not_shown_before_its_value_is_known() -> None:
    counters = Counters()
    assert counters.gauges()["pfwatch_source_up"] == {}
    counters.set("pfwatch_source_up", ("/var/log/mail.log",), 1)
    counters.set("pfwatch_source_up", ("/var/log/mail.log",), 0)
    assert counters.gauges()["pfwatch_source_up"] == {("/var/log/mail.log",): 0}


def test_a_histogram_counts_a_value_in_the_first_bucket_that_holds_it() -> None:
    counters = Counters()
    for value in (0.001, 0.0011, 1, 1_000_000):
        counters.observe(DELAY, ("transmission",), value)
    *buckets, total = counters.shown().histograms[DELAY][("transmission",)]
    assert buckets == [1, 1, 0, 1, 0, 0, 0, 0, 0, 1]
    assert total == 1_000_001_002_100


def test_a_sum_is_the_same_in_whatever_steps_it_grew() -> None:
    once, often = Counters(), Counters()
    once.observe(DELAY, ("transmission",), 0.1, 30)
    for _ in range(30):
        often.observe(DELAY, ("transmission",), 0.1)
    assert once.changed() == often.changed()
    assert reduce(add, [0.1] * 30) != 3  # what the sum would be otherwise


def test_changes_are_absolute_and_told_once() -> None:
    counters = Counters()
    assert counters.changed() == {}
    counters.add("postfix_smtpd_connects_total", (), 5)
    counters.observe("postfix_qmgr_messages_inserted_recipients", (), 3)
    counters.set("pfwatch_incidents_open", ("relay-probe",), 1)
    assert counters.changed() == {
        ("postfix_smtpd_connects_total", ()): 5,
        ("postfix_qmgr_messages_inserted_recipients_bucket", ("4.0",)): 1,
        ("postfix_qmgr_messages_inserted_recipients_sum", ()): 3,
    }
    counters.add("postfix_smtpd_connects_total")
    assert counters.changed() == {("postfix_smtpd_connects_total", ()): 6}
    assert counters.changed() == {}


def test_restored_counters_go_on() -> None:
    before = Counters()
    fill(before)
    saved = before.changed()
    after = Counters()
    after.restore(saved)
    assert after.shown() == before.shown()
    assert after.changed() == {}
    fill(before)
    fill(after)
    assert after.shown() == before.shown()
    assert after.changed() == before.changed()


def fill(counters: Counters) -> None:
    counters.add("postfix_relay_denied_total", ("postfix/submission",), 2)
    for number in range(70):
        counters.add("postfix_sasl_probes_total", (f"s{number}",))
        counters.observe("postfix_pipe_delivery_delay_seconds", (f"r{number}", "transmission"), 0.3, 7)
    counters.observe("postfix_qmgr_messages_inserted_size_bytes", (), math.pi * 1e8)
    counters.observe("postfix_qmgr_messages_inserted_size_bytes", (), 1e12)


def test_what_another_version_saved_does_no_harm() -> None:
    counters = Counters()
    counters.restore(
        {
            ("postfix_gone_total", ("x",)): 5,
            ("pfwatch_lines_total", ("stdin", "eaten")): 5,
            ("postfix_smtpd_connects_total", ("too", "many")): 5,
            (DELAY + "_bucket", ()): 5,
            (DELAY + "_bucket", ("transmission", "none")): 5,
            ("postfix_smtpd_disconnects_total", ()): 7,
        }
    )
    assert counters.shown().counters["postfix_smtpd_disconnects_total"] == {(): 7}
    assert counters.shown().counters["postfix_smtpd_connects_total"] == {(): 0}
    assert not any(counters.shown().histograms[DELAY][("transmission",)])


def test_only_what_is_durable_is_shown_once_there_is_a_store() -> None:
    counters = Counters()
    counters.add("postfix_smtpd_connects_total", (), 1)
    counters.changed()
    counters.committed()
    counters.add("postfix_smtpd_connects_total", (), 1)
    counters.changed()  # read, but its transaction may still fail
    assert counters.shown().counters["postfix_smtpd_connects_total"] == {(): 1}
    counters.committed()
    assert counters.shown().counters["postfix_smtpd_connects_total"] == {(): 2}
