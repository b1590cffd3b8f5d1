"""The documentation says what the program is: pages that are made from it are fresh, and whatever they name exists."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfwatch.config import load
from pfwatch.config.model import TABLES
from pfwatch.metrics.catalogue import METRICS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "sample-logs" / "README.md", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ALERT_MAIL = ROOT / "docs/how-to/alert-mail.md"
FENCE = re.compile(r"(?ms)^```(\w+)\n(.*?)^```$")


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def fenced(path: Path, language: str) -> Iterator[str]:
    for kind, text in FENCE.findall(path.read_text(encoding="utf-8")):
        if kind == language:
            yield text


def anchors(path: Path) -> set[str]:
    """As GitHub and most others make them of headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def keys_in(text: str) -> Iterator[tuple[str, str]]:
    """Every `[section] key` in backticks."""
    yield from re.findall(r"`\[([a-z.-]+)\] (\w+)\b[^`]*`", text)


def test_what_is_made_from_the_code_and_every_shown_output_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "run python -m docs.generate"


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def usages(path: Path) -> Iterator[tuple[str, str]]:
    """Every use of pfwatch in code: the command and what follows it."""
    shell = "\n".join(fenced(path, "sh")).replace("\\\n", " ")
    console = (line[2:] for text in fenced(path, "console") for line in text.splitlines() if line.startswith("$ "))
    code = [*re.findall(r"`([^`\n]+)`", prose(path)), *re.findall(r"(?m)^    (.*)", prose(path)), *shell.splitlines()]
    for line in (*code, *console):
        yield from re.findall(r"(?:^|&& |sudo |\./dev )(?:env )?(?:\w+=\S+ +)*pfwatch ([a-z][a-z-]+)\b([^|&#]*)", line)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_command_and_option_that_is_named_exists(path: Path) -> None:
    for command, rest in usages(path):
        help_text = HELP.get(command)
        assert help_text, f"pfwatch {command}: no such command"
        for option in re.findall(r"(?<= )--[a-z]+\b", re.sub(r"'[^']*'", "", rest)):
            assert option in re.findall(r"--[a-z]+", help_text), f"pfwatch {command} has no {option}"


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_configuration_key_that_is_named_exists(path: Path) -> None:
    for section, key in keys_in(path.read_text(encoding="utf-8")):
        assert key in TABLES.get(tuple(section.split(".")), {}), f"[{section}] {key}: no such key"


def test_the_checks_see_what_they_check() -> None:
    assert list(keys_in("`[mail] to`, `[detection] allow = []`")) == [("mail", "to"), ("detection", "allow")]
    tutorial = [command for command, _ in usages(ROOT / "docs/tutorial/first-ten-minutes.md")]
    assert {"replay", "events", "explain", "check-config"} <= set(tutorial)
    assert ("run", "--config") in {(command, rest.split()[0]) for command, rest in usages(ALERT_MAIL) if rest.split()}


@pytest.mark.parametrize("path", [path for path in PAGES if list(fenced(path, "toml"))], ids=page_name)
def test_every_piece_of_configuration_is_accepted(path: Path, tmp_path: Path) -> None:
    password, file = tmp_path / "password", tmp_path / "pfwatch.toml"
    password.write_text("secret\n")
    credentials = tmp_path / "smtp-password"
    credentials.write_text("secret\n")
    for text in tables_of(path):
        usable = re.sub(r'password_file = ".*?"', f'password_file = "{password}"', text)
        file.write_text(usable)
        given = "username" in tomllib.loads(usable).get("mail", {})
        load(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)} if given else {})


def tables_of(path: Path) -> Iterator[str]:
    """The blocks that stand alone; the reference shows keys apart from their table."""
    yield from (text for text in fenced(path, "toml") if text.startswith("[") and 'password = ""' not in text)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    if path.name == "metrics.md":  # made from the catalogue; it names those that are left out, too
        return
    known = {metric.name for metric in METRICS}
    for name in re.findall(
        r"\b(?:postfix|pfwatch)_\w+?_(?:total|seconds|bytes|up|open|info)\b", prose_and_queries(path)
    ):
        assert name in known, f"{name}: no such metric"


def prose_and_queries(path: Path) -> str:
    return "\n".join((prose(path), *fenced(path, "promql"), *fenced(path, "yaml")))


def test_the_mail_in_the_readme_is_one_that_the_tests_of_the_mail_hold() -> None:
    golden = (ROOT / "tests/alerting/golden/bruteforce.txt").read_text(encoding="utf-8")
    mail = next(text for text in fenced(ROOT / "README.md", "text") if text.startswith("Subject: "))
    body = mail.partition("\n\n")[2].removesuffix("…\n")
    assert len(body) > 500
    assert golden.startswith(body.rstrip("\n") + "\n")


def command_helps() -> dict[str, str]:
    page = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    return dict(re.findall(r"(?s)## pfwatch ([a-z-]+)\n\n```text\n(.*?)```", page))


HELP = command_helps()
"""Of each command; that the page is fresh is tested above."""


def test_the_reference_of_commands_has_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pfwatch", "--help"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    commands = set(re.findall(r"(?m)^  ([a-z][a-z-]+)  ", done.stdout.partition("Commands:")[2]))
    assert commands == HELP.keys()
