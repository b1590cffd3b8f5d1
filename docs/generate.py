"""Writes the reference pages that are made from the tables in the code, and the output that other pages show.

Run from the checkout: `python -m docs.generate` writes, `python -m docs.generate --check` only says which are stale.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.shown import ROOT, refreshed
from docs.tables import commands_page, configuration_page, detection_page, events_page, grammar_page
from pfwatch.metrics.catalogue import DROP_IN, NOT_EXPORTED, OWN, POSTFIX, Metric

REFERENCE = ROOT / "docs" / "reference"
GENERATED = "<!-- Made by docs/generate.py from the tables in the code. Change those, not this page. -->\n"


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    left_out = "\n".join(f"| `{name}` | {reason} |" for name, reason in NOT_EXPORTED.items())
    return f"""{GENERATED}
# Metrics

What `/metrics` serves (by default `http://127.0.0.1:19154/metrics`), as Prometheus text or OpenMetrics, whichever the
scraper asks for. Counters survive a restart: they go on where the state database has them.

* No label takes an address, an account, a HELO name or other text from outside.
* A label with a closed set of values has all of them from the start, at zero. A value outside the set counts as
  `other`.
* A label that is named by the administrator (`service`, `source`, `rule`, `relay` …) takes at most as many values as
  its metric says; whatever comes later counts as `other`.
* `service` is Postfix's own name for it, the log's tag without the daemon: `postfix`, `postfix/submission`.
* A gauge appears when its value is known.

## What Postfix does

{_table(POSTFIX)}
## What Postfix does, under the names of postfix_exporter

Names, labels and buckets are those of Hsn723/postfix_exporter 0.20, so its dashboards go on working.

{_table(DROP_IN)}
Its names that are left out:

| name | reason |
|---|---|
{left_out}

## What pfwatch does

{_table(OWN)}
The usual `process_*` and `python_*` metrics of the Prometheus client library are there too.
"""


def _table(metrics: tuple[Metric, ...]) -> str:
    rows = "\n".join(f"| `{m.name}` | {m.type} | {_labels(m)} | {_meaning(m)} |" for m in metrics)
    return f"| name | type | labels | meaning |\n|---|---|---|---|\n{rows}\n"


def _labels(metric: Metric) -> str:
    parts = []
    for label in metric.labels:
        values = label.values or ()
        if len(values) > 30:
            parts.append(f"`{label.name}`: {len(values)} values, `{values[0]}` to `{values[-2]}` and `{values[-1]}`")
        elif values:
            parts.append(f"`{label.name}`: " + " ".join(f"`{value}`" for value in values))
        else:
            parts.append(f"`{label.name}`: at most {metric.cap}")
    return "<br>".join(parts)


def _meaning(metric: Metric) -> str:
    buckets = "Buckets: " + ", ".join(f"{bound:g}" for bound in metric.buckets) + "." if metric.buckets else ""
    return " ".join(filter(None, (metric.help, metric.note, buckets)))


def _with_head(page: Callable[[], str]) -> Callable[[], str]:
    return lambda: f"{GENERATED}\n{page().rstrip()}\n"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": _with_head(commands_page),
    "configuration.md": _with_head(configuration_page),
    "detection.md": _with_head(detection_page),
    "events.md": _with_head(events_page),
    "grammar.md": _with_head(grammar_page),
    "metrics.md": metrics_page,
}


def written() -> Iterator[tuple[Path, str]]:
    """Every page that this program has a part in, as it should be."""
    for name, page in PAGES.items():
        yield REFERENCE / name, page()
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*/*.md"))):
        if path.parent != REFERENCE:
            yield path, refreshed(path.read_text(encoding="utf-8"))


def main() -> int:
    """Write every page, or with --check name the stale ones and answer 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = 0
    for path, text in written():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
