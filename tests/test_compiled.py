"""What is compiled where there is a C compiler does what the same source does as Python."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from pfwatch.parsing.fast import BUILT
from tests.bench.generate import generate
from tests.samples.logs import logs

ROOT = Path(__file__).parent.parent
AS_PYTHON = """
import importlib.util, pathlib, sys
from pfwatch import cli

class AsPython:
    def find_spec(self, name, path=None, target=None):
        if name in ("pfwatch.parsing.compiled", "pfwatch.sources.journal.native", "pfwatch.cli.composing"):
            raise ImportError(name)
        if name in ("pfwatch.parsing.hits", "pfwatch.detection.rows"):
            source = pathlib.Path(path[0], name.rpartition(".")[2] + ".py")
            return importlib.util.spec_from_file_location(name, source)

sys.meta_path.insert(0, AsPython())
cli.main()
"""

pytestmark = pytest.mark.skipif(not BUILT, reason="nothing is compiled: there was no C compiler")


def told(program: Sequence[str], *arguments: str) -> str:
    done = subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


def test_both_tell_the_same_of_an_attack(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(
        b"".join(generate(30_000, "attack", seed=5, distinct_clients=500))
        + logs("3.10")["brute_force_v6.log"]
        + logs("3.7")["relay.log"]
    )
    config = tmp_path / "pfwatch.toml"
    config.write_text("[detection]\nmax_subjects = 40\n")  # so that many are given up with their incidents
    for more in ((), ("--config", str(config))):
        compiled = told(["-m", "pfwatch"], "replay", "--json", *more, str(log))
        as_python = told(["-c", AS_PYTHON], "replay", "--json", *more, str(log))
        assert json.loads(compiled) == json.loads(as_python)
        assert len(json.loads(compiled)["incidents"]) > 100


def test_both_print_the_same_events(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(b"".join(generate(5_000, "attack", seed=6)) + logs("3.10")["tls_errors.rfc3339.log"])
    for more in ((), ("--format", "text")):
        arguments = "events", "--kind", "auth_failed,relay_denied,tls_failed", *more, str(log)
        compiled = told(["-m", "pfwatch"], *arguments)
        assert told(["-c", AS_PYTHON], *arguments) == compiled
        assert len(compiled.splitlines()) > 2_000


def test_without_a_compiler_it_says_so() -> None:
    assert "Python alone" not in told(["-m", "pfwatch"], "version")
    assert "Python alone" in told(["-c", AS_PYTHON], "version")


def test_what_is_compiled_is_what_the_source_says() -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for source in (
        "parsing/compiled.pyx",
        "sources/journal/native.pyx",
        "cli/composing.pyx",
        "parsing/hits.pxd",
        "parsing/hits.py",
        "detection/rows.pxd",
        "detection/rows.py",
    ):
        path = ROOT / "pfwatch" / source
        built = path.with_suffix(suffix)
        assert built.stat().st_mtime >= (ROOT / "pfwatch" / "sums.pxd").stat().st_mtime
        assert built.stat().st_mtime >= path.stat().st_mtime, f"{source} was changed: run `pip install -e .` again"
