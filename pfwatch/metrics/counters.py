"""The counters: dictionaries that grow by what happened, and go on after a restart.

Enters: a metric's name, its label values and an amount. Leaves: snapshots for `/metrics`, and the changed values for
the state database. This file must never know events, the exposition format or where values are kept.

A labelled `Counter` of the client library costs 2 microseconds an increment; a dictionary a tenth of it.
"""

from bisect import bisect_left, bisect_right
from itertools import product

import msgspec

from pfwatch.metrics.catalogue import METRICS, OTHER, Label, Metric

Labels = tuple[str, ...]
Key = tuple[str, Labels]
MAX_LABEL_LENGTH = 200


class Snapshot(msgspec.Struct, frozen=True):
    """All series at one moment, by metric and label values. Nobody changes it any more."""

    counters: dict[str, dict[Labels, float]] = {}
    histograms: dict[str, dict[Labels, list[int]]] = {}
    """Observations in each bucket (not cumulative), then those beyond the last, then the sum times the scale."""


class Counters:
    """Every series of the catalogue. Series with closed label sets exist from the start, at zero.

    Its methods belong to one thread; `shown()` and `gauges()` may be called from another.
    """

    def __init__(self, metrics: tuple[Metric, ...] = METRICS) -> None:
        self.metrics = {metric.name: metric for metric in metrics}
        self._counters: dict[str, dict[Labels, float]] = {m.name: {} for m in metrics if m.type == "counter"}
        self._histograms: dict[str, dict[Labels, list[int]]] = {m.name: {} for m in metrics if m.type == "histogram"}
        self._gauges: dict[str, dict[Labels, float]] = {m.name: {} for m in metrics if m.type == "gauge"}
        self._open_values: dict[str, set[Labels]] = {metric.name: set() for metric in metrics}
        self._drained = Snapshot()
        self._shown: Snapshot | None = None
        for metric in metrics:
            if metric.type != "gauge" and metric.precreate:
                for seeds in product(*(label.seeds for label in metric.labels if label.values is None)):
                    self._open_values[metric.name].add(seeds)
                    self._create(metric, seeds)

    def add(self, name: str, labels: Labels = (), amount: float = 1) -> None:
        """Count `amount` more. A value outside a closed set or beyond the cap counts as `other`."""
        try:
            self._counters[name][labels] += amount
        except KeyError:
            self._counters[name][self._admit(name, labels)] += amount

    def set(self, name: str, labels: Labels, value: float) -> None:
        """Set a gauge. A gauge that was never set is not shown: there is no honest value for it."""
        series = self._gauges[name]
        series[labels if labels in series else self._admit(name, labels)] = value

    def withdraw(self, name: str, labels: Labels) -> None:
        """Show a gauge no more, and give its place under the cap to another."""
        self._gauges[name].pop(labels, None)
        metric = self.metrics[name]
        self._open_values[name].discard(
            tuple(value for value, label in zip(labels, metric.labels, strict=True) if label.values is None)
        )

    def observe(self, name: str, labels: Labels, value: float, weight: int = 1) -> None:
        """Count a value into a histogram, `weight` times."""
        try:
            row = self._histograms[name][labels]
        except KeyError:
            row = self._histograms[name][self._admit(name, labels)]
        metric = self.metrics[name]
        row[bisect_left(metric.buckets, value)] += weight
        row[-1] += round(value * metric.scale) * weight

    def observe_all(self, name: str, labels: Labels, values: list[int]) -> None:
        """Count many values, which are sorted meanwhile, into a histogram."""
        rows = self._histograms[name]
        row = rows[labels if labels in rows else self._admit(name, labels)]
        metric, before = self.metrics[name], 0
        values.sort()
        for bucket, bound in enumerate(metric.buckets):
            behind = bisect_right(values, bound)
            row[bucket] += behind - before
            before = behind
        row[-2] += len(values) - before
        row[-1] += sum(values) * metric.scale

    def changed(self, *, whole: bool = False) -> dict[Key, float]:
        """Absolute values of what changed since the last call, or with `whole` of everything that is not zero; flat: a
        histogram as `NAME_bucket` with `le` as last label (not cumulative) and `NAME_sum`. Gauges are not kept.
        """
        before, self._drained = Snapshot() if whole else self._drained, self._snapshot()
        flat: dict[Key, float] = {}
        for name, series in self._drained.counters.items():
            known = before.counters.get(name, {})
            flat.update({(name, labels): value for labels, value in series.items() if value != known.get(labels, 0)})
        for name, rows in self._drained.histograms.items():
            old_rows = before.histograms.get(name, {})
            for labels, row in rows.items():
                old = old_rows.get(labels) or [0] * len(row)
                if row != old:
                    flat.update(self._flat_row(self.metrics[name], labels, row, old))
        return flat

    def committed(self) -> None:
        """What the last `changed()` returned is durable. From the first call on, only durable values are shown.

        After a crash the counters go on from the last commit. Had a scrape seen a higher value before, Prometheus would
        take the step back for a restart from zero, and `increase()` would count the whole total once more.
        """
        self._shown = self._drained

    def restore(self, saved: dict[Key, float]) -> None:
        """Go on from saved values. Names, and histogram parts, that the catalogue no longer has are left out."""
        for (name, labels), value in saved.items():
            try:
                if name in self._counters:
                    self.add(name, labels, value)
                elif name.removesuffix("_bucket") in self._histograms:
                    self._restore_bucket(name.removesuffix("_bucket"), labels, value)
                elif name.removesuffix("_sum") in self._histograms:
                    self._restore_sum(name.removesuffix("_sum"), labels, value)
            except ValueError:  # saved by another version, whose labels were others
                continue
        self._drained = self._snapshot()

    def shown(self) -> Snapshot:
        """What `/metrics` says of counters and histograms."""
        return self._shown or self._snapshot()

    def gauges(self) -> dict[str, dict[Labels, float]]:
        """What `/metrics` says of gauges."""
        return {name: series.copy() for name, series in self._gauges.items()}

    def _snapshot(self) -> Snapshot:
        # dict.copy() and list() are atomic in CPython, so the thread that encodes /metrics may do this meanwhile.
        return Snapshot(
            {name: series.copy() for name, series in self._counters.items()},
            {name: {k: row.copy() for k, row in list(rows.items())} for name, rows in self._histograms.items()},
        )

    def _admit(self, name: str, labels: Labels) -> Labels:
        """The labels that these are counted under, with their series created."""
        metric = self.metrics[name]
        if len(labels) != len(metric.labels):
            raise ValueError(f"{name} has {len(metric.labels)} labels, not {len(labels)}: {labels}")
        labels = tuple(_fold(metric, label, value) for label, value in zip(metric.labels, labels, strict=True))
        values = tuple(v for v, label in zip(labels, metric.labels, strict=True) if label.values is None)
        known = self._open_values[name]
        if values not in known and len(known) >= metric.cap:
            values = (OTHER,) * len(values)
            labels = _join(metric, values, labels)
        if values not in known:
            known.add(values)
            if metric.precreate and metric.type != "gauge":
                self._create(metric, values)
        self._create_one(metric, labels)
        return labels

    def _create(self, metric: Metric, open_values: Labels) -> None:
        """All series with these values of the open labels, at zero: `increase()` sees the first event of each."""
        remaining = iter(open_values)
        for labels in product(*(label.values or (next(remaining),) for label in metric.labels)):
            self._create_one(metric, labels)

    def _create_one(self, metric: Metric, labels: Labels) -> None:
        if metric.type == "histogram":
            self._histograms[metric.name].setdefault(labels, [0] * (len(metric.buckets) + 2))
        elif metric.type == "counter":
            self._counters[metric.name].setdefault(labels, 0)

    def _flat_row(self, metric: Metric, labels: Labels, row: list[int], old: list[int]) -> dict[Key, float]:
        bounds = (*map(repr, map(float, metric.buckets)), "+Inf")
        flat: dict[Key, float] = {
            (f"{metric.name}_bucket", (*labels, bound)): row[i] for i, bound in enumerate(bounds) if row[i] != old[i]
        }
        if row[-1] != old[-1]:
            flat[f"{metric.name}_sum", labels] = row[-1] / metric.scale
        return flat

    def _restore_bucket(self, name: str, labels: Labels, value: float) -> None:
        *own_labels, bound = labels
        row = self._histograms[name][self._admit(name, tuple(own_labels))]
        row[bisect_left(self.metrics[name].buckets, float(bound))] += int(value)

    def _restore_sum(self, name: str, labels: Labels, value: float) -> None:
        self._histograms[name][self._admit(name, labels)][-1] += round(value * self.metrics[name].scale)


def _fold(metric: Metric, label: Label, value: str) -> str:
    if label.values is None:
        return value.encode("utf-8", "replace").decode()[:MAX_LABEL_LENGTH]  # a path may hold bytes that are no text
    if value in label.values:
        return value
    if OTHER in label.values:
        return OTHER
    raise ValueError(f"{metric.name}: {value!r} is no value of its label {label.name}")


def _join(metric: Metric, open_values: Labels, labels: Labels) -> Labels:
    """`labels` with its open ones replaced."""
    remaining = iter(open_values)
    return tuple(
        next(remaining) if label.values is None else value for label, value in zip(metric.labels, labels, strict=True)
    )
