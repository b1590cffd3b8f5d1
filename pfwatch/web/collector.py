"""The counters in the exposition formats of Prometheus.

Enters: `Counters`. Leaves: the body and content type of `/metrics`, in the format that the scraper asks for.
This file must never know HTTP connections, or what a metric means.
"""

import gzip
import platform
import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, registry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

import pfwatch
from pfwatch.metrics import catalogue
from pfwatch.metrics.counters import Counters, Labels

_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:$|,|;(?!\s*q=0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)


class Collector(registry.Collector):
    """All series of `Counters`, read anew at each scrape."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        counters.set("pfwatch_build_info", (pfwatch.__version__, platform.python_version()), 1)

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read all series."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family per metric, in the order of the catalogue."""
        snapshot, gauges = self._counters.shown(), self._counters.gauges()
        for metric in self._counters.metrics.values():
            if metric.type == "gauge":
                yield _gauge(metric, gauges[metric.name])
            elif metric.type == "histogram":
                yield _histogram(metric, snapshot.histograms[metric.name])
            else:
                yield _counter(metric, snapshot.counters[metric.name])


class Exposition:
    """What `/metrics` answers: our series and those of the process and its Python."""

    def __init__(self, counters: Counters) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Collector(counters))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def encode(self, accept: str, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers for a scraper that accepts these formats and encodings. May run in any thread."""
        encoder, content_type = choose_encoder(accept)
        body, headers = encoder(self._registry), {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if _GZIP.search(accept_encoding):
            return gzip.compress(body, compresslevel=1, mtime=0), headers | {"Content-Encoding": "gzip"}
        return body, headers


def _counter(metric: catalogue.Metric, series: dict[Labels, float]) -> Metric:
    names = [label.name for label in metric.labels]
    if not metric.name.endswith("_total"):  # a drop-in name that the formats do not allow for a counter
        family = Metric(metric.name, metric.help, "unknown")
    else:
        family = CounterMetricFamily(metric.name, metric.help, labels=names)
    for labels, value in series.items():
        family.samples.append(Sample(metric.name, dict(zip(names, labels, strict=True)), value))
    return family


def _gauge(metric: catalogue.Metric, series: dict[Labels, float]) -> Metric:
    family = GaugeMetricFamily(metric.name, metric.help, labels=[label.name for label in metric.labels])
    for labels, value in series.items():
        family.add_metric(labels, value)
    return family


def _histogram(metric: catalogue.Metric, series: dict[Labels, list[int]]) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=[label.name for label in metric.labels])
    bounds = [floatToGoString(bound) for bound in (*metric.buckets, float("inf"))]  # type: ignore[no-untyped-call]
    for labels, row in series.items():
        total, buckets = 0, []
        for bound, count in zip(bounds, row, strict=False):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, row[-1] / metric.scale)
    return family
