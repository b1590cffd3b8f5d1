"""The names that users build dashboards on."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pfwatch.metrics.catalogue import METRICS, NOT_EXPORTED, Metric

ROOT = Path(__file__).parents[2]
BY_NAME = {metric.name: metric for metric in METRICS}

# postfix_exporter's names with their labels, as its 0.20 has them.
POSTFIX_EXPORTER = {
    "postfix_up": ("path",),
    "postfix_showq_message_size_bytes": ("queue",),
    "postfix_showq_message_age_seconds": ("queue",),
    "postfix_showq_queue_depth": ("queue",),
    "postfix_cleanup_messages_processed_total": (),
    "postfix_cleanup_messages_rejected_total": (),
    "postfix_cleanup_messages_not_accepted_total": (),
    "postfix_lmtp_delivery_delay_seconds": ("stage",),
    "postfix_pipe_delivery_delay_seconds": ("relay", "stage"),
    "postfix_qmgr_messages_inserted_receipients": (),
    "postfix_qmgr_messages_inserted_recipients": (),
    "postfix_qmgr_messages_inserted_size_bytes": (),
    "postfix_qmgr_messages_removed_total": (),
    "postfix_qmgr_messages_expired_total": (),
    "postfix_smtp_delivery_delay_seconds": ("stage",),
    "postfix_smtp_tls_connections_total": ("trust", "protocol", "cipher", "secret_bits", "algorithm_bits"),
    "postfix_smtp_deferred_messages_total": (),
    "postfix_smtp_messages_processed_total": ("status",),
    "postfix_smtp_deferred_messages_by_dsn_total": ("dsn",),
    "postfix_smtp_bounced_messages_by_dsn_total": ("dsn",),
    "postfix_smtp_status_deferred": (),
    "postfix_smtp_connection_timed_out_total": (),
    "postfix_smtpd_connects_total": (),
    "postfix_smtpd_disconnects_total": (),
    "postfix_smtpd_forward_confirmed_reverse_dns_errors_total": (),
    "postfix_smtpd_connections_lost_total": ("after_stage",),
    "postfix_smtpd_messages_processed_total": ("sasl_method",),
    "postfix_smtpd_messages_rejected_total": ("code",),
    "postfix_smtpd_sasl_authentication_failures_total": (),
    "postfix_smtpd_tls_connections_total": ("trust", "protocol", "cipher", "secret_bits", "algorithm_bits"),
    "postfix_bounce_non_delivery_notification_total": (),
    "postfix_virtual_delivered_total": (),
    "postfix_unsupported_log_entries_total": ("service", "level"),
    "opendkim_signatures_added_total": ("subject", "domain"),
    "postfix_postscreen_connects_total": (),
    "postfix_postscreen_hangups_total": (),
    "postfix_postscreen_connects_rejected_total": ("reason",),
    "postfix_postscreen_passes_total": ("type",),
    "postfix_postscreen_dnsbl_rank": (),
    "postfix_postscreen_messages_rejected_total": ("code",),
    "postfix_postscreen_tests_failed_total": ("test",),
    "postfix_postscreen_access_list_matches_total": ("action",),
}
BUCKETS = {
    "delay_seconds": (0.001, 0.01, 0.1, 1, 10, 60, 3600, 86400, 172800),
    "size_bytes": (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9),
    "dnsbl_rank": (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15),
    "recipients": (1, 2, 4, 8, 16, 32, 64, 128),
    "receipients": (1, 2, 4, 8, 16, 32, 64, 128),
}


@pytest.mark.parametrize("name", POSTFIX_EXPORTER)
def test_every_name_of_postfix_exporter_is_kept_or_left_out_with_a_reason(name: str) -> None:
    assert (name in BY_NAME) != (name in NOT_EXPORTED)
    if name in BY_NAME:
        assert tuple(label.name for label in BY_NAME[name].labels) == POSTFIX_EXPORTER[name]
        assert BY_NAME[name].drop_in


def test_the_buckets_of_postfix_exporter_are_kept() -> None:
    histograms = [metric for metric in METRICS if metric.type == "histogram" and metric.drop_in]
    assert len(histograms) == 7
    for metric in histograms:
        assert metric.buckets == next(bounds for end, bounds in BUCKETS.items() if metric.name.endswith(end))


def test_names_are_unique_and_of_the_classic_character_set() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch("[a-z][a-z0-9_]*", metric.name)
        assert all(re.fullmatch("[a-z][a-z0-9_]*", label.name) for label in metric.labels)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_label_can_take_text_from_outside(metric: Metric) -> None:
    named_by_the_administrator = {"service", "source", "rule", "relay", "channel", "reason", "version", "python"}
    negotiated = {"cipher", "secret_bits", "algorithm_bits"}
    for label in metric.labels:
        assert label.values is not None or label.name in named_by_the_administrator | negotiated
    assert metric.cap <= 50


def test_the_reference_page_is_what_the_catalogue_makes() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert page == _generator().metrics_page(), "run python -m docs.generate"
    assert all(f"`{metric.name}`" in page for metric in METRICS)


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
