"""Reference pages made from the tables of the code: events, grammar, detection, commands, configuration.

Enters: the tables. Leaves: Markdown. This file must never know where pages are kept.
"""

import ast
import inspect
import itertools
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from pfwatch import cli, events
from pfwatch.alerting.advice import ADVICE, steps
from pfwatch.config.environment import VARIABLES
from pfwatch.config.values import duration_text
from pfwatch.detection.rules import RULES
from pfwatch.detection.settings import SHIPPED
from pfwatch.parsing.dovecot import RULES as DOVECOT
from pfwatch.parsing.fragments import TEXT_LENGTH
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.rule import Rule

CONFIGURATION = Path(__file__).parent.parent / "config" / "pfwatch.toml"

COUNTS = {
    "auth-bruteforce": "each `auth_failed` with cause `credentials`, the attempts of each `auth_probed`, and, with "
    "`[dovecot] enabled`, those of each `dovecot_auth_failed` with cause `credentials`. Exchanges that were broken off "
    "and protocol errors (causes `aborted`, `protocol`) do not count, nor does a login that failed because our own "
    "authentication server was down (`auth_backend_failed`).",
    "relay-probe": "each `relay_denied`, refused for good (554) or for now (454).",
    "tls-client-failures": "each `tls_failed` of an inbound connection.",
}
"""Rule -> which events it counts, in words."""


def _rules() -> dict[str, tuple[Rule, tuple[str, ...]]]:
    """Every rule of Postfix, and behind them those of Dovecot."""
    return every_rule() | {rule.name: (rule, ("dovecot",)) for rule in DOVECOT}


def events_page() -> str:
    """docs/reference/events.md."""
    kinds = "\n".join(_kind(kind) for kind in events.KINDS)
    envelope = _fields(events.Envelope, leave_out=("at", "stamp", "derived", "record"))
    return f"""# Events

What a log line means to pfwatch. `pfwatch events` prints finished events, `pfwatch explain --json` one object per line.
Kinds and field names are public: what you build on them goes on working.

## Every event

{envelope}
`kind` and `at` (RFC 3339 with offset) come first. `derived` (true) is there only where several lines together say it
and none alone. Where a client can be known there are always `client_ip` (canonical text), `client_name` and
`client_port`, null where unknown.

**Untrusted** text was typed by a client, a remote server or a user: at most {TEXT_LENGTH} characters, to be escaped
before it is shown, never a place to read an address from.

## Kinds

{kinds}"""


def _kind(kind: type[events.Event]) -> str:
    makers = [f"[`{name}`](grammar.md#{name})" for name, (rule, _) in _rules().items() if kind in _kinds_of(rule)]
    made = f"\nRead by: {', '.join(makers)}.\n" if makers else ""
    return f"### {kind.kind}\n\n{_sentence(kind)}\n\n{_fields(kind)}{made}"


def _fields(kind: type[msgspec.Struct], leave_out: tuple[str, ...] = ()) -> str:
    notes, hints = _notes(kind), typing.get_type_hints(kind)
    names = [name for name in kind.__struct_fields__ if name not in {"envelope", "client", *leave_out}]
    rows = [f"| `{name}` | {_type(name, hints[name])} | {notes.get(name, '')} |" for name in names]
    if "client" in kind.__struct_fields__:
        rows.insert(0, "| `client_ip`, `client_name`, `client_port` | text, text, number; or null | |")
    return "| field | value | |\n|---|---|---|\n" + "\n".join(rows) + "\n" if rows else ""


_CLOSED = {"category": events.CATEGORIES, "error": events.TLS_ERRORS, "status": events.STATUSES}
_TYPES = {str: "text", int: "number", float: "number", bool: "true or false", events.Untrusted: "untrusted text"}


def _type(name: str, hint: typing.Any) -> str:
    if hint in (str, str | None) and name in _CLOSED:
        words = " ".join(f"`{value}`" for value in _CLOSED[name])
        return words + ("" if hint is str else " or null")
    if hint in _TYPES:
        return _TYPES[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " ".join(f"`{value}`" for value in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _type(name, part) for part in parts)
    if origin is list:
        return f"list of {_type(name, parts[0])}s"
    return f"object: {_type(name, parts[0])} to {_type(name, parts[1])}"


def _notes(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The texts that stand below the fields of a class."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    return {
        ast.unparse(field.target): " ".join(text.value.value.split())
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


def _kinds_of(rule: Rule) -> set[type[events.Event]]:
    """What a rule's `build` can make: the kinds that it names."""
    names = {kind.__name__: kind for kind in events.KINDS}
    found = {names[name] for name in rule.build.__code__.co_names if name in names}
    return found | {kind for kind in (rule.kind, _EXAMPLES.get(rule.name)) if kind}


def _examples() -> dict[str, type[events.Event]]:
    """Rule -> the kind that its example is read as."""
    return {
        name: type(rule.build(_ENVELOPE, found))
        for name, (rule, _) in every_rule().items()
        if (found := rule.compiled.match(rule.example.partition("]: ")[2].encode()))
    }


_ENVELOPE = events.Envelope(0.0, "", "", None, None, None, "info", 1, False, None)
_EXAMPLES = _examples()


def grammar_page() -> str:
    """docs/reference/grammar.md."""
    rows = "\n".join(_rule(rule, daemons) for rule, daemons in _rules().values())
    return f"""# Grammar

Every wording of Postfix that pfwatch reads: {len(every_rule())} rules. A line of Postfix that none of them fits is
`unsupported`: counted in `postfix_unsupported_log_entries_total`, never guessed at. `pfwatch explain` says which rule
reads a line; how to add one is in [CONTRIBUTING](../../CONTRIBUTING.md).

"Counted" means that the daemon only counts such lines, because nothing is decided by them; `pfwatch events` makes
events of them all the same.

The rules of `dovecot` stand at the end. They are asked only with `[dovecot] enabled` or `--dovecot`; every other line
of Dovecot is foreign.

{rows}"""


def _rule(rule: Rule, daemons: tuple[str, ...]) -> str:
    kinds = ", ".join(f"[{kind.kind}](events.md#{kind.kind})" for kind in events.KINDS if kind in _kinds_of(rule))
    since = "always" if rule.since == "2.10" else f"Postfix {rule.since} and later"
    until = f", until {rule.until}" if rule.until else ""
    counted = "; counted" if rule.tally is not None else ""
    return f"""## {rule.name}

{", ".join(f"`{daemon}`" for daemon in daemons)} · makes {kinds}{counted} · {since}{until} · `{rule.source}`

    {rule.example}
"""


def detection_page() -> str:
    """docs/reference/detection.md."""
    rules = "\n".join(_detection(rule.name) for rule in RULES)
    numbers = "\n".join(
        f"| [{name}](#{name}) | {one.threshold} | {duration_text(one.window)} | {one.severity} "
        f"| {duration_text(one.cooldown)} |"
        for name, one in SHIPPED.items()
    )
    return f"""# Detection rules

A rule counts events of one subject, a client's IPv4 address or IPv6 /64. Reaching the threshold within the window opens
an incident. It ends when nothing has been counted for a whole window.

| rule | threshold | window | severity | cooldown |
|---|---|---|---|---|
{numbers}

`warning` and `critical` are mailed at once, `info` in a digest. In the cooldown after an incident's end, a new one of
the same subject is shown but not mailed. Addresses in `[detection] allow` are counted by no rule. All keys:
[configuration](configuration.md#detection). `pfwatch replay --config FILE LOG` shows what other numbers would have
done.

{rules}"""


def _detection(name: str) -> str:
    advice, shipped = ADVICE[name], SHIPPED[name]
    told = "\n\n".join(
        f"{number}. {step.text}" + ("\n\n" + _indented(step.commands, 7) if step.commands else "")
        for number, step in enumerate(steps(name, "192.0.2.7", ["192.0.2.7"]), 1)
    )
    return f"""## {name}

**Counts** {COUNTS[name]}

**Opens an incident** at {shipped.threshold} within {duration_text(shipped.window)}, severity {shipped.severity}.

**Means:** {advice.meaning}

**What the mail says to do**, here for 192.0.2.7:

{told}

**To hear less of it:** a silence for one subject, an allow list for addresses that the rule shall not count at all, or
`simulate` to see incidents on `/metrics` and in the log without being told.

```toml
[detection.{name}]
allow = ["198.51.100.0/24"]
simulate = true

[[alerts.silence]]
rule = "{name}"
subject = "192.0.2.7"
until = 2030-01-31T18:00:00Z
```
"""


def commands_page() -> str:
    """docs/reference/commands.md."""
    group = cli._pfwatch
    root = click.Context(group, info_name="pfwatch", terminal_width=80, **group.context_settings)
    helps = [f"## pfwatch\n\n```text\n{group.get_help(root)}\n```\n"]
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        assert command is not None  # noqa: S101 - it is on the list
        context = click.Context(command, info_name=name, parent=root, terminal_width=80)
        helps.append(f"## pfwatch {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return """# Commands

| exit code | meaning |
|---|---|
| 0 | fine |
| 1 | findings; only commands that judge, none so far |
| 2 | wrong usage or configuration, or a log that cannot be read |
| 3 | failure at run time |
| 141 | whoever read the output had enough, as with `| head` |

""" + "\n".join(helps)


def configuration_page() -> str:
    """docs/reference/configuration.md."""
    parts = "".join(_paragraphs(CONFIGURATION.read_text(encoding="utf-8")))
    variables = "\n".join(
        f"| `[{'.'.join(path[:-1])}] {path[-1]}` | `{name}` |"
        for name, path in VARIABLES.items()
        if path[-1] != "password"
    )
    return f"""# Configuration

[config/pfwatch.toml](../../config/pfwatch.toml), table by table; every value shown is the default.
`pfwatch check-config FILE` checks a file and says what it puts in force.

{parts}## The environment

A variable stands above the file. Its value is read as in TOML (`25`, `true`, `["a", "b"]`), otherwise as text. There is
none for a password: others can see the environment.

| key | variable |
|---|---|
{variables}
"""


def _paragraphs(text: str) -> Iterator[str]:
    """The file as Markdown: comments become prose, keys become code, tables become headings."""
    for paragraph in re.split(r"\n\n+", text.strip()):
        for comment, code in re.findall(r"((?:^#.*\n?)*)((?:^[^#\n].*\n?)*)", paragraph, re.MULTILINE):
            lines = [line.removeprefix("#").removeprefix(" ") for line in comment.splitlines()]
            unset = next((n for n, line in enumerate(lines) if re.match(r"\[|\w+ = ", line)), len(lines))
            prose, heading = _prose(lines[:unset]), re.match(r"\[+([\w.-]+)\]+\n?", code)
            if heading:
                yield f"## {heading[1]}\n\n"
                code = code[heading.end() :]
            if prose:
                yield prose + "\n\n"
            if lines[unset:]:
                yield "Not set unless you write it:\n\n" + _code(lines[unset:])
            if code:
                yield _code(code.splitlines())


def _prose(lines: list[str]) -> str:
    return "\n".join(f"    {line.strip()}" if line.startswith("After a change:") else line for line in lines)


def _code(lines: list[str]) -> str:
    return "```toml\n" + "\n".join(lines) + "\n```\n\n"


def _indented(lines: tuple[str, ...], blanks: int) -> str:
    return "\n".join(" " * blanks + line for line in lines)


def _sentence(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())
