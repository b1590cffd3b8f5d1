"""The script a contributor starts with, as far as it can be tried without making an environment."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_help_makes_no_environment_and_works_from_anywhere_through_a_link(tmp_path: Path) -> None:
    copy = tmp_path / "a folder"
    copy.mkdir()
    shutil.copy(ROOT / "dev", copy)
    (tmp_path / "link").symlink_to(copy / "dev")
    done = subprocess.run([tmp_path / "link"], cwd="/", capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ./dev COMMAND")
    assert list(copy.iterdir()) == [copy / "dev"]


def test_an_unknown_command_is_named_and_answered_with_the_usage() -> None:
    done = subprocess.run([ROOT / "dev", "tset"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("pfwatch: there is no command 'tset'\nUsage:")


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is missing (Debian: apt-get install shellcheck)"
)
@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_the_scripts_have_no_traps(script: str) -> None:
    done = subprocess.run(["shellcheck", ROOT / script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
