"""A coverage-guided fuzzer on the core: libFuzzer chooses what to try next by the lines of Python that ran.

Enters: seconds, and a folder for the corpus. Leaves: one file for each kind of broken promise, the smallest input that
broke it. Half of the inputs are logs as they are, half are what strangers typed into lines of `tests.fuzz.typed`.

Nothing of pfwatch is imported here before its lines are counted: compiled modules can be imported only once.
"""

import importlib
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

MISSING = (
    "atheris is not installed, and comes as a package for some releases of Python only (see pypi.org/project/atheris): "
    "`./dev fuzz growth` and `./dev fuzz memory` work without it"
)
_INSTRUMENTED = [
    "pfwatch.records",
    "pfwatch.parsing",
    "pfwatch.sessions",
    "pfwatch.detection",
    "pfwatch.metrics.record",
]
LONGEST = 1500
"""Bytes: a dozen lines. Longer inputs find less in the same time."""


def run(seconds: int, directory: Path) -> int:
    """Fuzz in a process of its own, which libFuzzer ends; 1 when something was found, 2 when it could not begin."""
    findings = directory / "findings"
    findings.mkdir(exist_ok=True)
    program = "import sys; from pathlib import Path; from tests.fuzz.guided import fuzz; "
    program += "fuzz(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))"
    command = [sys.executable, "-c", program, str(seconds), str(directory / "corpus"), str(findings)]
    status = subprocess.run(command, check=False).returncode
    for finding in sorted(findings.glob("*.txt")):
        sys.stdout.write(f"{finding.stem}:\n{finding.read_text()[:2000]}\n")
        log = (findings / f"{finding.stem}.log").read_bytes()
        sys.stdout.write(f"the log: {log!r}\n\n")
    if status:
        return 2
    return 1 if any(findings.iterdir()) else 0


def fuzz(seconds: int, corpus: Path, findings: Path) -> None:
    """Try inputs for so long. Does not return: libFuzzer ends the process."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError as missing:
        raise SystemExit(MISSING) from missing
    with atheris.instrument_imports(include=_INSTRUMENTED):
        properties, typed, seeds = (
            importlib.import_module(f"tests.fuzz.{name}") for name in ("properties", "typed", "seeds")
        )

    def once(data: bytes) -> None:
        log, has_typed = log_of(data, typed)
        try:
            properties.check(log, typed=has_typed)
        except Exception as error:
            _keep(findings, data, log, error)

    with tempfile.NamedTemporaryFile("w", suffix=".dict", encoding="latin-1") as words:
        words.writelines(seeds.dictionary())
        words.flush()
        options = (f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-dict={words.name}", "-timeout=60")
        atheris.Setup([sys.argv[0], str(corpus), *options, "-print_final_stats=1"], once)
        atheris.Fuzz()


def log_of(data: bytes, typed: Any) -> tuple[bytes, bool]:
    """What the fuzzer's bytes stand for: a log, or texts typed into templates (number, text, line feed, and again)."""
    if not data or data[0] < 128:
        return data[1:], False
    texts = data[1:].split(b"\n")
    lines = [typed.line(text[0], [part.replace(b"@@", typed.INJECTED.encode()) for part in text[1:].split(b"\t")])
             for text in texts if text]  # fmt: skip
    return b"".join(lines), True


def _keep(findings: Path, data: bytes, log: bytes, error: Exception) -> None:
    """Write a finding down; of each kind only the smallest."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"{type(error).__name__}-{Path(where.filename).stem}-{where.lineno}"
    file = findings / kind
    if file.exists() and len(file.read_bytes()) <= len(data):
        return
    file.write_bytes(data)
    (findings / f"{kind}.log").write_bytes(log)
    (findings / f"{kind}.txt").write_text(f"{error}"[:6000], encoding="utf-8", errors="backslashreplace")
    sys.stderr.write(f"\nfound: {kind}, {len(data)} bytes\n")
