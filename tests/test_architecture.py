"""The rules of the house, read from the source with `ast`: who may import whom, and what the core never touches.

Each rule is a function from the modules of a house to its violations. The real house must have none; beside each rule
stands a small house that breaks it, so that a rule which no longer sees anything fails as well.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CORE = (
    "table",
    "position",
    "loss",
    "events",
    "records",
    "parsing",
    "sessions",
    "detection",
    "alerting",
    "metrics",
    "reports",
    "pipeline",
)
"""In this order: each may import what stands before it."""

SHELL_OF_ALERTING = {"outbox", "channels"}
"""Deciding and writing a mail is core; keeping and sending it is the part "channels" of the shell."""

PARTS = ("sources", "store", "channels", "web", "queue", "fleet", "systemd")
"""Of the shell. They do not know each other; the wiring does."""

WIRING = ("finished", "replay", "daemon", "cli")
"""May import everything. config stands between: above the parts, below the wiring. audit is a wing of its own."""

BANNED_IN_CORE = {
    "asyncio", "ctypes", "fcntl", "fileinput", "glob", "http", "importlib", "io", "mmap", "multiprocessing", "os",
    "pathlib", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess",
    "tempfile", "threading", "time",
}  # fmt: skip
CLOCKS_AND_FILES = {
    "open", "__import__", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip

MAY_IMPORT_IN_FUNCTIONS = ("cli", "daemon")
OPTIONAL_EXTRAS = {"sources": {"systemd"}}
"""Part -> packages that may be missing, and are therefore imported where they are needed."""
RARELY_NEEDED = {
    "pfwatch.finished": {"pfwatch.sources.journal.finished"},
    "pfwatch.replay": {"tempfile"},
    "pfwatch.sources.compression": {"bz2", "lzma", "zlib", "compression", "backports"},
}
"""Module -> what few logs need, and a sixth of the start of a command would be spent on."""

LONGEST_MODULE = 350
MAY_BE_LONGER = {"pfwatch.events"}
"""One struct per public kind of event: a list to look up in, not a program to follow."""

Rule = Callable[["House"], list[str]]


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int
    in_function: bool


class House:
    """Modules by dotted name, as source."""

    def __init__(self, modules: Mapping[str, str], packages: frozenset[str] = frozenset()) -> None:
        self.modules = modules
        self.trees = {name: ast.parse(source, name) for name, source in modules.items()}
        self.packages = packages
        self.imports = [found for name, tree in self.trees.items() for found in self._imports(name, tree, False)]

    @classmethod
    def of_this_project(cls) -> "House":
        modules, packages = {}, set()
        for path in sorted((ROOT / "pfwatch").rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
                packages.add(".".join(parts))
            modules[".".join(parts)] = path.read_text(encoding="utf-8")
        return cls(modules, frozenset(packages))

    def core(self) -> Iterator[tuple[str, ast.Module]]:
        return ((name, tree) for name, tree in self.trees.items() if part(name) in CORE)

    def _imports(self, module: str, node: ast.AST, in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, child.lineno, in_function)
            elif isinstance(child, ast.ImportFrom):
                base = self._base(module, child)
                for alias in child.names:
                    name = f"{base}.{alias.name}"
                    yield Import(module, name if name in self.modules else base, child.lineno, in_function)
            yield from self._imports(module, child, inside)

    def _base(self, module: str, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        parts = module.split(".")
        kept = parts[: len(parts) - node.level + (module in self.packages)]
        return ".".join(kept + ([node.module] if node.module else []))


def part(module: str) -> str:
    """The part of the house that a module of ours belongs to; "pfwatch" is the version that anybody may ask for."""
    names = module.split(".")
    if names[0] != "pfwatch":
        return ""
    if names[1:] in ([], ["__main__"]):
        return "cli" if names[1:] else "pfwatch"
    if names[1] == "alerting" and SHELL_OF_ALERTING & set(names[2:3]):
        return "channels"
    return names[1]


def may_import(importer: str, imported: str) -> bool:
    if imported in {importer, "pfwatch"} or importer in WIRING:
        return True
    if importer in CORE:
        return imported in CORE[: CORE.index(importer)]
    if importer in PARTS:
        return imported in CORE
    return importer == "config" and imported in CORE + PARTS


def at(found: Import) -> str:
    return f"{found.importer}:{found.line}"


def every_module_has_its_place(house: House) -> list[str]:
    known = {"pfwatch", "config", "audit", *CORE, *PARTS, *WIRING}
    return [f"{name}: which part of the house is it?" for name in house.modules if part(name) not in known]


def imports_follow_the_order(house: House) -> list[str]:
    return [
        f"{at(found)} imports {found.imported}: {part(found.importer)} must not know {part(found.imported)}"
        for found in house.imports
        if part(found.imported) and not may_import(part(found.importer), part(found.imported))
    ]


def the_core_imports_no_machinery(house: House) -> list[str]:
    return [
        f"{at(found)} imports {found.imported}: the core has no clock, socket or file"
        for found in house.imports
        if part(found.importer) in CORE and found.imported.split(".")[0] in BANNED_IN_CORE
    ]


def the_core_opens_nothing_and_reads_no_clock(house: House) -> list[str]:
    return [
        f"{name}:{node.lineno} calls {ast.unparse(node.func)}: hand the value in"
        for name, tree in house.core()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CLOCKS_AND_FILES
    ]


def no_circles(house: House) -> list[str]:
    graph: dict[str, set[str]] = {name: set() for name in house.modules}
    for found in house.imports:
        if found.imported in house.modules and found.imported != found.importer and not found.in_function:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["circle: " + " <- ".join(error.args[1])]
    return []


def no_import_inside_a_function(house: House) -> list[str]:
    return [
        f"{at(found)} imports {found.imported} inside a function"
        for found in house.imports
        if found.in_function
        and part(found.importer) not in MAY_IMPORT_IN_FUNCTIONS
        and found.imported.split(".")[0] not in OPTIONAL_EXTRAS.get(part(found.importer), set())
        and found.imported not in RARELY_NEEDED.get(found.importer, set())
    ]


def names_say_what_a_thing_is(house: House) -> list[str]:
    modules = [(name, name.rpartition(".")[2]) for name in house.modules]
    inside = [
        (f"{name}:{node.lineno}", node.name)
        for name, tree in house.trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    empty = {"util", "utils", "helper", "helpers", "common", "misc"}
    return [
        f"{where} is called {name}: what is it?"
        for where, name in modules + inside
        if name.lower().strip("_") in empty or "utils" in name.lower() or "helper" in name.lower()
    ]


def a_module_is_one_thing(house: House) -> list[str]:
    lengths = {name: source.count("\n") for name, source in house.modules.items()}
    return [
        f"{name} has {lines} lines: is it one thing?"
        for name, lines in lengths.items()
        if lines > LONGEST_MODULE and name not in MAY_BE_LONGER
    ]


# (rule, a house that breaks it, what the rule says about it)
BROKEN_HOUSES: list[tuple[Rule, dict[str, str], str]] = [
    (every_module_has_its_place, {"pfwatch.stuff": ""}, "pfwatch.stuff: which part"),
    (imports_follow_the_order, {"pfwatch.events": "import pfwatch.records"}, "events must not know records"),
    (imports_follow_the_order, {"pfwatch.parsing.smtpd": "from ..detection import windows"}, "must not know detection"),
    (imports_follow_the_order, {"pfwatch.pipeline": "from pfwatch import store", "pfwatch.store": ""}, "know store"),
    (imports_follow_the_order, {"pfwatch.alerting.decide": "import pfwatch.alerting.outbox"}, "not know channels"),
    (
        imports_follow_the_order,
        {"pfwatch.alerting.message": "import pfwatch.metrics"},
        "alerting must not know metrics",
    ),
    (imports_follow_the_order, {"pfwatch.web.pages": "def f():\n import pfwatch.store"}, "web must not know store"),
    (imports_follow_the_order, {"pfwatch.store": "from pfwatch.config import x"}, "store must not know config"),
    (imports_follow_the_order, {"pfwatch.config": "import pfwatch.daemon"}, "config must not know daemon"),
    (imports_follow_the_order, {"pfwatch.audit.checks": "import pfwatch.events"}, "audit must not know events"),
    (the_core_imports_no_machinery, {"pfwatch.records.bsd": "import time"}, "imports time"),
    (the_core_imports_no_machinery, {"pfwatch.reports": "from os.path import join"}, "imports os.path"),
    (the_core_imports_no_machinery, {"pfwatch.pipeline": "if 1:\n import asyncio as a"}, "imports asyncio"),
    (the_core_opens_nothing_and_reads_no_clock, {"pfwatch.metrics": "x = open('f').read()"}, "calls open"),
    (the_core_opens_nothing_and_reads_no_clock, {"pfwatch.sessions": "datetime.now(UTC)"}, "calls datetime.now"),
    (no_circles, {"pfwatch.a": "import pfwatch.b", "pfwatch.b": "from pfwatch import a"}, "circle: pfwatch."),
    (no_import_inside_a_function, {"pfwatch.store": "def f():\n import json"}, "imports json inside"),
    (no_import_inside_a_function, {"pfwatch.sources.archive": "def f():\n import zlib"}, "imports zlib inside"),
    (no_import_inside_a_function, {"pfwatch.web": "class A:\n async def f(s):\n  import systemd.journal"}, "inside"),
    (names_say_what_a_thing_is, {"pfwatch.web.utils": ""}, "is called utils"),
    (names_say_what_a_thing_is, {"pfwatch.web": "class A:\n def _parse_helper(self): ..."}, "is called _parse_helper"),
    (a_module_is_one_thing, {"pfwatch.web": "\n" * 351}, "is it one thing?"),
]

# What the rules let pass, with reason.
SOUND_HOUSE = {
    "pfwatch": "__version__ = '1'",
    "pfwatch.__main__": "from pfwatch.cli import main",
    "pfwatch.events": "from datetime import UTC, datetime\ndatetime.fromtimestamp(1, UTC)",
    "pfwatch.records": "from . import bsd",
    "pfwatch.records.bsd": "import pfwatch.events\nfrom pfwatch import __version__",
    "pfwatch.alerting.message": "from pfwatch.alerting.decide import x\nfrom pfwatch.detection import y",
    "pfwatch.alerting.decide": "",
    "pfwatch.alerting.channels.smtp": "import asyncio\nfrom pfwatch.alerting.message import x",
    "pfwatch.sources.compression": "def f():\n import zlib",
    "pfwatch.sources.journal.source": "import os\ndef f():\n from systemd import journal",
    "pfwatch.config": "import pfwatch.store, pfwatch.sources.journal.source",
    "pfwatch.daemon": "import time\ndef f():\n import pfwatch.web",
    "pfwatch.cli": "def main():\n from pfwatch.cli import run",
    "pfwatch.cli.run": "from pfwatch.cli import main\nimport pfwatch.daemon",
}
PACKAGES = frozenset({"pfwatch", "pfwatch.records", "pfwatch.cli"})

RULES = list(dict.fromkeys(rule for rule, _, _ in BROKEN_HOUSES))


@pytest.fixture(scope="module")
def house() -> House:
    return House.of_this_project()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule, house: House) -> None:
    assert rule(house) == []


@pytest.mark.parametrize(("rule", "modules", "said"), BROKEN_HOUSES)
def test_a_broken_rule_is_seen(rule: Rule, modules: dict[str, str], said: str) -> None:
    violations = rule(House(modules))
    assert len(violations) == 1
    assert said in violations[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_sound_passes(rule: Rule) -> None:
    assert rule(House(SOUND_HOUSE, PACKAGES)) == []


LINE = "Oct 19 19:56:07 mx1 postfix/smtpd[2309]: connect from unknown[192.0.2.7]"
HEAVY = {"pydantic", "starlette", "uvicorn", "jinja2"}
_STORY = {"pipeline", "replay", "store", "web", "daemon"}
_RARELY = {"bz2", "lzma", "pfwatch.sources.journal.reader", "socket", "subprocess", "tempfile", "zoneinfo"}
NOT_NEEDED: dict[str, set[str]] = {
    "explain": {*_STORY, "pfwatch.alerting.planner", "pfwatch.detection.detector", *_RARELY - {"bz2", "lzma"}},
    "events": {*_STORY, "detection", "metrics", "reports", "pfwatch.alerting.planner", *_RARELY},
    "replay": {"store", "web", "daemon", "reports", *_RARELY},
    "unread": {*_STORY, "detection", "metrics", "pfwatch.alerting.planner", *_RARELY},
}
"""Parts and modules that a command has no use for: whoever reads a short log waits for the start alone."""


@pytest.mark.skipif(not (ROOT / "pfwatch" / "__main__.py").exists(), reason="there is no command line yet")
@pytest.mark.parametrize(
    "arguments",
    [["explain", LINE], ["events", "mail.log"], ["replay", "mail.log"], ["unread", "mail.log"]],
    ids=lambda words: words[0],
)
def test_reading_a_log_loads_only_what_it_needs(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(LINE + "\n")
    command = [sys.executable, "-X", "importtime", "-m", "pfwatch", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    report = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("import time:"))
    assert done.returncode == 0, said
    modules = {line.rpartition("|")[2].strip() for line in report}
    assert "pfwatch.events" in modules
    assert {module.split(".")[0] for module in modules} & HEAVY == set()
    not_needed = NOT_NEEDED[arguments[0]]
    assert {module for module in modules if part(module) in not_needed or module in not_needed} == set()
