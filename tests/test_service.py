"""What systemd itself says about the unit and the user that are shipped."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parent.parent / "systemd"
UNIT = SYSTEMD / "pfwatch.service"

MOST_EXPOSURE = 1.5
"""Of 10; what remains is what a network service that reads a log cannot do without."""

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (Debian: apt-get install systemd)"
)
needs_sysusers = pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is missing (Debian: apt-get install systemd)"
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def settings(name: str) -> list[str]:
    return re.findall(rf"(?m)^{name}=(.*)$", UNIT.read_text())


@needs_analyze
def test_the_sandbox_leaves_little_exposed() -> None:
    analysis = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    overall = re.search(r"Overall exposure level for pfwatch\.service: ([\d.]+)", analysis.stdout)
    assert overall, analysis.stdout + analysis.stderr
    assert float(overall[1]) <= MOST_EXPOSURE, analysis.stdout


@needs_analyze
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "pfwatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / "pfwatch.service"
    # The program need not be installed where the tests run.
    copy.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/pfwatch", f"ExecStart={program}"))
    verdict = run("systemd-analyze", "verify", "--man=no", copy)
    about_the_unit = [line for line in verdict.stderr.splitlines() if "pfwatch" in line]
    assert (verdict.returncode, about_the_unit) == (0, [])


@needs_sysusers
def test_the_user_may_read_the_mail_log_and_the_journal_and_cannot_log_in(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "pfwatch.sysusers.conf")
    assert made.returncode == 0, made.stderr
    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("pfwatch:"))
    assert user.endswith(":/var/lib/pfwatch:/usr/sbin/nologin")
    groups = [line.split(":") for line in (tmp_path / "etc/group").read_text().splitlines()]
    assert {name for name, _, _, members in groups if members == "pfwatch"} == {"adm", "systemd-journal"}


def test_the_service_starts_without_a_configuration_or_a_password() -> None:
    assert settings("ExecStart") == ["/usr/bin/pfwatch run"]
    optional = {value.split(":")[0] for value in settings("SetCredential") if value.endswith(":@unset")}
    assert {value.split(":")[0] for value in settings("LoadCredential")} <= optional


def test_the_unit_works_with_the_oldest_systemd_that_is_supported() -> None:
    assert settings("Type") == ["notify"], "252 does not know notify-reload"


def test_process_metrics_are_not_hidden_from_their_own_process() -> None:
    assert settings("ProcSubset") == [], "the Prometheus client reads /proc/stat"
