"""The configuration as an administrator meets it: files that are right, files that are wrong, and what is said then."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pfwatch.alerting.settings import AlertSettings, MailSettings, Silence, SmtpServer
from pfwatch.cli.check_config import check_config
from pfwatch.config import ConfigError, Settings, defaults, load
from pfwatch.config.environment import VARIABLES
from pfwatch.config.locate import Positions
from pfwatch.config.model import ARRAY_TABLES, TABLES
from pfwatch.config.values import duration_text, seconds
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.sources.settings import JournalSettings, Listen, SourceSettings, SyslogSettings
from pfwatch.store.settings import StoreSettings
from pfwatch.web.settings import WebSettings

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config" / "pfwatch.toml"
RIGHT = ROOT / "tests" / "config" / "right"
WRONG = sorted((ROOT / "tests" / "config" / "wrong").glob("*.toml"))
NOT_SETTABLE = {"block_size", "max_line", "commit_bytes", "message_timeout"}
"""Settings that the tests and the bench vary, and no administrator."""


def problems(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return [str(problem).removeprefix(str(path)) for problem in caught.value.problems]


def written(directory: Path, text: str, mode: int = 0o644) -> Path:
    path = directory / "pfwatch.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


# Right and wrong files


def test_every_right_value_arrives_in_the_settings() -> None:
    shipped = DetectionSettings()
    assert load(RIGHT / "everything.toml", {}) == Settings(
        source=SourceSettings(
            paths=("/var/log/mail.log", "/var/log/mail two.log"),
            time_zone="Europe/Paris",
            first_read=5400,
            syslog=SyslogSettings(
                listen=(
                    Listen("udp", "127.0.0.1", 5514),
                    Listen("tcp", "::1", 5514),
                    Listen("tls", "192.0.2.10", 6514),
                ),
                allow_from=("192.0.2.0/24", "2001:db8::25"),
                certificate="/etc/pfwatch/cert.pem",
                key="/etc/pfwatch/key.pem",
                client_ca="/etc/pfwatch/ca.pem",
                client_names=("mx1.example.org", "*.mail.example.org"),
                max_connections=100,
                idle_timeout=3600.0,
            ),
            journal=JournalSettings(enabled=True, directory="/var/log/journal/remote", verify=False, dovecot=True),
        ),
        store=StoreSettings(path="/srv/pfwatch/state.db", commit_interval=0.5),
        dovecot=True,
        web=WebSettings(host="::1", port=9100),
        detection=DetectionSettings(
            allow=("2001:db8::/32", "192.0.2.7"),
            rules={
                "auth-bruteforce": RuleSettings(
                    threshold=10, window=300, severity="critical", allow=("198.51.100.0/24", "203.0.113.9")
                ),
                "relay-probe": RuleSettings(threshold=5, window=600, severity="warning", simulate=True),
                "tls-client-failures": shipped.rules["tls-client-failures"],
            },
        ),
        alerts=AlertSettings(
            repeat_interval=604_800,
            send_resolved=True,
            silences=(
                Silence(rule="relay-probe", until=1896105600.0),
                Silence(subject="192.0.2.0/24", until=1896105600.0, comment="a scanner of ours"),
            ),
        ),
        mail=MailSettings(
            recipients=("admin@example.org", "root"),
            sender="pfwatch@mx1.example.org",
            server=SmtpServer(host="mail.example.net", port=587, tls="starttls"),
            fallback=SmtpServer(host="2001:db8::25", timeout=5.0),
        ),
    )


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_every_problem_of_a_wrong_file_is_told_with_its_place(path: Path) -> None:
    expected = [line.removeprefix("#! ") for line in path.read_text(encoding="utf-8").splitlines() if line[:2] == "#!"]
    assert [problem.removeprefix(":") for problem in problems(path)] == expected


def test_the_folder_of_wrong_files_is_not_empty() -> None:
    assert len(WRONG) > 10


def test_an_empty_file_means_the_defaults() -> None:
    assert load(RIGHT / "empty.toml", {}) == defaults()


def test_line_ends_and_byte_order_marks_of_windows_are_fine(tmp_path: Path) -> None:
    content = (RIGHT / "line-ends-of-windows.toml").read_bytes()
    assert b"\r\n" in content
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + content)
    for path in (RIGHT / "line-ends-of-windows.toml", marked):
        assert load(path, {}).mail.recipients == ("admin@example.org",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[mail]\nhost = "\xff"\n', ":2:9: byte 0xff is not UTF-8 text; is this a configuration file?"),
        (b"\x7fELF\x00\x01", ":1:1: this is not TOML: invalid statement"),
        (b"#" * (1024 * 1024 + 1), ": is larger than 1024 KiB; is this a configuration file?"),
        (b"[log]\npaths = " + b"[" * 100_000, ": brackets are nested too deeply"),
    ],
    ids=["latin-1", "program", "huge", "deep"],
)
def test_a_file_that_is_no_configuration_is_told_so(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "pfwatch.toml"
    path.write_bytes(content)
    assert problems(path) == [expected]


def test_files_that_cannot_be_read_are_told_with_the_reason(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.toml") == [": there is no such file; pfwatch runs without one, on its defaults"]
    assert problems(tmp_path) == [": is a directory; name the file in it, such as pfwatch.toml"]
    assert problems(written(tmp_path, "") / "below") == [": cannot be read: Not a directory"]


def test_a_file_that_only_others_may_read_is_told_so(tmp_path: Path) -> None:
    path = written(tmp_path, "", 0o000)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        expected = ": cannot be read: permission denied; try as root or as the user of the service"
        assert problems(path) == [expected]
    finally:
        os.seteuid(user)


def test_a_number_too_long_to_be_written_out_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"[mail]\nport = 0x{'f' * 5000}\ntimeout = 0x{'f' * 5000}\n")
    assert problems(path) == [
        ":2:8: mail.port: expected a whole number from 1 to 65535, found a number that is far too large",
        ":3:11: mail.timeout: expected a duration from 1s to 10m, found a number that is far too large",
    ]
    path = written(tmp_path, f"[mail]\nport = {'9' * 5000}\n")
    assert problems(path) == [": a number in it has far too many digits"]


# Defaults


def test_the_example_file_loads_unedited_and_gives_the_defaults() -> None:
    assert load(EXAMPLE, {}) == defaults() == Settings()


def test_the_defaults_of_the_model_are_those_of_the_settings(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), {}) == Settings()


def example_keys(uncomment: bool) -> set[str]:
    text = EXAMPLE.read_text(encoding="utf-8")
    if uncomment:
        text = re.sub(r"^# (?=\[\[?[a-z.]+\]|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    return set(_leaves(tomllib.loads(text), ""))


def _leaves(value: Any, path: str) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0]
    if not isinstance(value, dict):
        return [path]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}.{key}".removeprefix("."))]


def model_keys() -> set[str]:
    return {".".join((*table, key)) for table, keys in TABLES.items() for key, is_table in keys.items() if not is_table}


def test_the_example_file_shows_every_option_and_no_other() -> None:
    assert example_keys(uncomment=True) == model_keys()


def test_every_option_with_a_default_is_active_in_the_example_file() -> None:
    commented = model_keys() - example_keys(uncomment=False)
    assert {key for key in commented if not key.startswith(("alerts.silence.", "mail.fallback."))} == {
        "mail.username",
        "mail.password",
        "mail.password_file",
    }


def test_the_example_file_says_something_about_every_option() -> None:
    uncommented = re.compile(r"[a-z_]+ = ")
    blocks = EXAMPLE.read_text(encoding="utf-8").split("\n\n")
    # The options of [[alerts.silence]] have their words behind them, and later rules say "Keys as above".
    silent = [block for block in blocks if uncommented.search(block) and "# " not in block]
    assert silent == []


def test_every_setting_that_a_part_owns_can_be_configured_or_is_known_not_to_be() -> None:
    renamed = {"host": "listen", "port": "listen", "silences": "silence", "rules": "auth-bruteforce"}
    own_table = {"syslog", "journal"}
    parts: dict[str, type[msgspec.Struct]] = {
        "log": SourceSettings,
        "syslog": SyslogSettings,
        "journal": JournalSettings,
        "state": StoreSettings,
        "web": WebSettings,
        "alerts": AlertSettings,
        "detection": DetectionSettings,
    }
    for section, settings in parts.items():
        names = {field.name for field in msgspec.structs.fields(settings)} - NOT_SETTABLE - own_table
        names -= {"journal": {"dovecot"}}.get(section, set())
        assert {renamed.get(name, name) for name in names} <= set(TABLES[(section,)])
    for rule in DetectionSettings().rules:
        assert {field.name for field in msgspec.structs.fields(RuleSettings)} == set(TABLES[("detection", rule)])
    assert {field.name for field in msgspec.structs.fields(SmtpServer)} <= set(TABLES[("mail",)])
    assert {field.name for field in msgspec.structs.fields(Silence)} == set(TABLES[("alerts", "silence")])


# Durations


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30s", 30),
        ("10m", 600),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_durations_are_numbers_of_seconds_or_text(value: object, expected: float) -> None:
    assert seconds(0, 10**7)(value) == expected


@pytest.mark.parametrize(
    "value", ["", "s", "30", "30 s", "30S", "1m1h", "-5s", "\u0663s", True, [], float("nan"), -1, "9" * 5000]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        seconds(0, 10**7)(value)


@given(st.integers(min_value=0, max_value=10**7))
def test_a_duration_that_is_shown_can_be_written_into_the_file(duration: int) -> None:
    assert seconds(0, 10**7)(duration_text(duration)) == duration


# The environment


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[mail]\nhost = "mail.example.org"\nport = "not looked at"\n')
    settings = load(
        path,
        {
            "PFWATCH_MAIL__HOST": "192.0.2.25",
            "PFWATCH_MAIL__PORT": "587",
            "PFWATCH_MAIL__TO": '["admin@example.org"]',
            "PFWATCH_DETECTION__AUTH_BRUTEFORCE__THRESHOLD": "20",
            "PFWATCH_ALERTS__GROUP_WAIT": "1m",
            "PFWATCH_ALERTS__SILENCE": '[{ rule = "relay-probe" }]',
            "PFWATCH_MAIL__FALLBACK__HOST": "mail.example.net",
            "PFWATCH_CONFIG": "one underscore is not ours",
        },
    )
    assert settings.mail.server == SmtpServer(host="192.0.2.25", port=587)
    assert settings.mail.recipients == ("admin@example.org",)
    assert settings.detection.rules["auth-bruteforce"].threshold == 20
    assert settings.alerts.group_wait == 60
    assert settings.alerts.silences == (Silence(rule="relay-probe"),)
    assert settings.mail.fallback == SmtpServer(host="mail.example.net")


def test_problems_of_the_environment_name_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            written(tmp_path, ""),
            {
                "PFWATCH_MAIL__PORT": "smtp",
                "PFWATCH_MAIL__TO": '["a b"]',
                "PFWATCH_MAIL__HOTS": "mail.example.org",
                "PFWATCH_MAIL__FALLBACK__PORT": "25",
                "PFWATCH_LOG__FIRST_READ": "1h\n[mail]",
            },
        )
    assert str(caught.value).splitlines() == [
        "environment:PFWATCH_LOG__FIRST_READ: expected a duration such as '30s', '10m', '24h', '7d' or '1h30m', "
        "or a number of seconds without quotes, found '1h\\n[mail]'",
        "environment:PFWATCH_MAIL__FALLBACK__PORT: 'host' is missing from [mail.fallback]; it has no default",
        "environment:PFWATCH_MAIL__HOTS: no setting has this name; did you mean 'PFWATCH_MAIL__HOST'?",
        "environment:PFWATCH_MAIL__PORT: expected a whole number from 1 to 65535 (without quotes), found text",
        "environment:PFWATCH_MAIL__TO: expected one mail address alone, such as 'admin@example.org', found 'a b'",
    ]


def test_a_variable_sets_its_own_key_and_no_other(tmp_path: Path) -> None:
    found = problems(written(tmp_path, ""), {"PFWATCH_MAIL__PORT": "26\nhost = 'mail.example.org'"})
    assert found == [
        "environment:PFWATCH_MAIL__PORT: expected a whole number from 1 to 65535 (without quotes), found text"
    ]


def test_a_password_in_the_environment_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (found,) = problems(written(tmp_path, ""), {"PFWATCH_MAIL__PASSWORD": "correct horse"})
    assert found == (
        "environment:PFWATCH_MAIL__PASSWORD: others can see the environment; keep the password in a file and name that "
        "with PFWATCH_MAIL__PASSWORD_FILE"
    )


def test_every_option_has_its_variable() -> None:
    keys = {key for key in model_keys() if not key.startswith("alerts.silence.")}
    assert {".".join(path) for path in VARIABLES.values()} == keys | {".".join(table) for table in ARRAY_TABLES}


# Passwords

LOGIN = '[mail]\nhost = "mail.example.org"\nusername = "pfwatch"\n'


def test_a_password_comes_from_its_file_without_the_last_line_break(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(" correct horse \n", encoding="utf-8")
    settings = load(written(tmp_path, f'{LOGIN}password_file = "{secret}"\n'), {})
    assert settings.mail.server.password == " correct horse "


def test_passwords_come_from_the_credentials_that_systemd_hands_over(tmp_path: Path) -> None:
    (tmp_path / "smtp-password").write_text("first\n", encoding="utf-8")
    (tmp_path / "smtp-fallback-password").write_text("second", encoding="utf-8")
    text = f'{LOGIN}[mail.fallback]\nhost = "mail.example.net"\nusername = "other"\n'
    settings = load(written(tmp_path, text), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert settings.mail.server.password == "first"
    assert settings.mail.fallback
    assert settings.mail.fallback.password == "second"


def test_a_credential_that_is_not_set_is_no_password(tmp_path: Path) -> None:
    (tmp_path / "smtp-password").write_text("@unset", encoding="utf-8")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load(written(tmp_path, "[mail]\n"), environ).mail.server.password is None
    (found,) = problems(written(tmp_path, LOGIN), environ)
    assert found.startswith(":3:1: mail.username: there is no password for this user name")


def test_a_credential_without_a_user_name_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "smtp-password").write_text("correct horse", encoding="utf-8")
    found = problems(written(tmp_path, "\n[mail]\nport = 25\n"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert found == [":2:1: mail: systemd hands over the credential smtp-password, but [mail] has no username"]


def test_a_written_password_above_a_credential_is_taken(tmp_path: Path) -> None:
    (tmp_path / "smtp-password").write_text("handed over", encoding="utf-8")
    path = written(tmp_path, f'{LOGIN}password = "written"\n', 0o600)
    assert load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).mail.server.password == "written"


def test_a_password_in_two_places_is_a_problem(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse", encoding="utf-8")
    text = f'{LOGIN}password = "battery"\npassword_file = "{secret}"\n'
    found = problems(written(tmp_path, text, 0o600))
    assert found == [":4:1: mail.password: there is a password_file too; keep one of the two"]


def test_a_password_in_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    text = f'{LOGIN}password = "correct horse"\n'
    assert load(written(tmp_path, text, 0o640), {}).mail.server.password == "correct horse"
    assert problems(written(tmp_path, text, 0o644)) == [
        ":4:1: mail.password: everybody on this machine can read this file; make it private (chmod 0600), or move the "
        "password to a file of its own and name that with password_file"
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "the file cannot be read: No such file or directory; it must be readable for the user that"),
        (b"", "the password is empty"),
        (b"\n", "the password is empty"),
        (b"correct\nhorse\n", "the password has more than one line"),
        (b"\xff\xfe", "the file is not UTF-8 text"),
        (b"correct horse " * 1000, "the file is larger than 4096 bytes"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_a_problem_at_its_key(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    (found,) = problems(written(tmp_path, f'{LOGIN}password_file = "{secret}"\n'))
    assert found.startswith(f":4:17: mail.password_file: {expected}")


def test_a_password_file_that_would_never_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        (found,) = problems(written(tmp_path, f'{LOGIN}password_file = "{path}"\n'))
        assert found == ":4:17: mail.password_file: names something that is not a regular file"


def test_a_password_never_shows_itself_in_settings_or_messages(tmp_path: Path) -> None:
    text = f'{LOGIN}password = "correct horse"\n[mail.fallback]\nhost = "x.example.org"\nusername = "u"\n'
    settings = load(written(tmp_path, text + 'password = "battery"\n', 0o600), {})
    assert settings.mail.server.password == "correct horse"
    assert "correct" not in repr(settings) + str(settings) + f"{settings}" + repr(settings.mail.server)
    assert "battery" not in repr(settings)
    wrong = [
        LOGIN + 'password = "correct horse\\n"\n',
        LOGIN + 'password = ["correct horse"]\n',
        LOGIN + 'password_file = "correct horse"\n',
        LOGIN + 'password_fil = "correct horse"\n',
        LOGIN + 'password = "correct horse\n',
        LOGIN + 'passwords.mail = "correct horse"\n',
    ]
    for each in wrong:
        with pytest.raises(ConfigError) as caught:
            load(written(tmp_path, each), {})
        everything = f"{caught.value}{caught.value!r}{caught.value.problems}{caught.value.__context__!r}"
        assert "correct" not in everything


# Places


def test_places_are_found_through_every_form_of_toml() -> None:
    text = (RIGHT / "everything.toml").read_text(encoding="utf-8")
    positions = Positions(text)
    lines = text.splitlines()

    def line(words: str) -> int:
        return next(number for number, line in enumerate(lines, 1) if words in line)

    assert positions.value(("log", "paths", 1)) == (1, lines[0].index("'") + 1)
    assert positions.key(("web",)) == (line('["web"]'), 1)
    assert positions.key(("detection", "relay-probe", "simulate")) == (line("simulate"), 32)
    assert positions.value(("detection", "auth-bruteforce", "allow", 1)) == (line("203.0.113.9"), 5)
    assert positions.key(("alerts", "silence", 1, "comment")) == (line("comment"), 1)
    assert positions.value(("mail", "port")) == (line("port = 587"), 8)


def test_the_places_in_arrays_of_tables_are_those_of_the_right_item() -> None:
    positions = Positions("[[a]]\n[a.b]\nc = 1\n[[a]]\n  [a.b]\n  c = 2\n  [[a.d]]\n  [[a.d]]\n  e = 3\n")
    assert positions.value(("a", 0, "b", "c")) == (3, 5)
    assert positions.value(("a", 1, "b", "c")) == (6, 7)
    assert positions.key(("a", 1, "d", 1, "e")) == (9, 3)
    assert positions.key(("a", 1)) == (4, 1)


def test_a_place_that_is_not_there_is_that_of_the_table_around_it() -> None:
    positions = Positions("[mail]\nhost = 'x'\n\n[mail.fallback]\n")
    assert positions.key(("mail", "fallback", "host")) == (4, 1)
    assert positions.value(("mail", "to", 3)) == (1, 1)
    assert positions.key(("web", "listen")) == (1, 1)


TOML_PIECES = st.sampled_from(
    ["[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", "\r\n", " ", "#", '"', "'", '"""', "'''", "\\", "a", "mail",
     "1", "inf", "2030-01-01 10:00:00Z", "é"]
)  # fmt: skip


@given(st.lists(TOML_PIECES, max_size=40).map("".join))
def test_the_search_for_places_never_fails(text: str) -> None:
    assert Positions(text).value(("mail", "a", 0)) >= (1, 1)


TOML_VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(min_value=-(2**70), max_value=2**70),
        st.floats(),
        st.text(max_size=12),
        st.datetimes(),
        st.sampled_from(["1h", "192.0.2.1", "a@example.org", "/x", "127.0.0.1:1", "relay-probe"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from([".".join((*table, key)) for table, keys in TABLES.items() for key in keys])


def as_toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
        case list():
            return "[" + ", ".join(map(as_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{as_toml(key)} = {as_toml(inner)}" for key, inner in value.items()) + "}"
        case float() | int():
            return str(value)
        case _:
            return value.isoformat()  # type: ignore[attr-defined, no-any-return]


@given(KEYS, TOML_VALUES)
def test_any_value_under_any_key_is_taken_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-value.toml"
    path.write_text(f"{key} = {as_toml(value)}\n", encoding="utf-8")
    try:
        load(path, {})
    except ConfigError as error:
        for problem in error.problems:
            assert str(problem).isprintable()
            assert problem.line == 1
            assert problem.message


# The command


def run(*arguments: str) -> tuple[int, list[str], list[str]]:
    result = CliRunner().invoke(check_config, arguments)
    return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()


def test_check_config_shows_what_the_example_file_puts_in_force() -> None:
    assert run(str(EXAMPLE)) == (
        0,
        [
            f"{EXAMPLE}: fine",
            "  logs:     found by pfwatch itself; times without a zone are in this machine's time zone",
            "  state:    /var/lib/pfwatch/state.db, on disk after 1s at most",
            "  web:      http://127.0.0.1:19154/metrics",
            "  rules:    auth-bruteforce, relay-probe, tls-client-failures",
            "  mail:     off",
            "  note:     no [mail] to: incidents are shown on /metrics and in the log only",
        ],
        [],
    )


def test_check_config_shows_where_mail_goes_and_what_may_surprise(tmp_path: Path) -> None:
    text = """
        web.listen = "0.0.0.0:9100"
        dovecot.enabled = true
        detection.relay-probe.enabled = false
        detection.auth-bruteforce.simulate = true
        [mail]
        to = ["admin@example.org", "root"]
        host = "mail.example.org"
        port = 465
        username = "pfwatch"
        password = "correct horse"
        fallback.host = "2001:db8::25"
        [[alerts.silence]]
        """
    code, out, err = run(str(written(tmp_path, text, 0o600)))
    assert (code, err) == (0, [])
    assert out[2:] == [
        "  dovecot:  its failed logins count, too",
        "  state:    /var/lib/pfwatch/state.db, on disk after 1s at most",
        "  web:      http://0.0.0.0:9100/metrics",
        "  rules:    auth-bruteforce (simulated), tls-client-failures; off: relay-probe",
        "  mail:     to admin@example.org, root; from pfwatch@ and this host's name; through mail.example.org:465, "
        "STARTTLS if offered, certificate not checked, login as pfwatch",
        "  fallback: [2001:db8::25]:25, STARTTLS if offered, certificate not checked",
        "  note:     /metrics has no login and listens beyond loopback: let only your monitoring reach it",
        "  note:     a silence without rule and subject matches everything: nobody is told about any incident",
        "  note:     the password may reach somebody else than mail.example.org: set tls to starttls or implicit",
        '  note:     port 465 of mail.example.org expects TLS from the first byte: set tls = "implicit"',
    ]


def test_check_config_shows_who_may_send_syslog_and_what_may_surprise(tmp_path: Path) -> None:
    text = """
        [syslog]
        listen = ["udp://192.0.2.10:5514", "tls://[::]:6514"]
        allow_from = ["192.0.2.0/24"]
        certificate = "/etc/pfwatch/cert.pem"
        key = "/etc/pfwatch/key.pem"
        """
    shown = "udp://192.0.2.10:5514, tls://[::]:6514; from 192.0.2.0/24"
    code, out, _ = run(str(written(tmp_path, text)))
    assert (code, out[1:3]) == (
        0,
        [
            "  logs:     none but what is received by syslog; times without a zone are in this machine's time zone",
            f"  syslog:   {shown}",
        ],
    )
    assert [line[12:].partition(":")[0] for line in out if "note:" in line][1:] == [
        "over udp lines can be lost and their senders be forged",
        "without [syslog] client_ca whoever allow_from lets in can send lines over tls, and make up what is in them",
    ]
    text += 'client_ca = "/etc/pfwatch/ca.pem"\n'
    assert f"  syslog:   {shown} with a certificate from /etc/pfwatch/ca.pem" in run(str(written(tmp_path, text)))[1]
    text += 'client_names = ["mx1.example.org"]\n'
    assert f"  syslog:   {shown} with a certificate for mx1.example.org" in run(str(written(tmp_path, text)))[1]


def test_check_config_shows_the_journal_and_says_what_counts_twice(tmp_path: Path) -> None:
    _, out, _ = run(str(written(tmp_path, 'log.paths = ["/var/log/mail.log"]\njournal.enabled = true\n')))
    assert out[1].startswith("  logs:     /var/log/mail.log, the journal; ")
    assert "  note:     log files and the journal of this machine: what is written to both counts twice" in out
    _, out, _ = run(str(written(tmp_path, 'journal.directory = "/var/log/journal/remote"\n')))
    assert "  note:     journal:/var/log/journal/remote is named, and not read: [journal] enabled is false" in out


def test_check_config_tells_every_problem_on_standard_error_and_exits_with_2(tmp_path: Path) -> None:
    path = written(tmp_path, "[mail]\nport = 0\nprot = 1\n")
    assert run(str(path)) == (
        2,
        [],
        [
            f"{path}:2:8: mail.port: expected a whole number from 1 to 65535, found 0",
            f"{path}:3:1: mail.prot: 'prot' is not a key of [mail]; did you mean 'port'?",
        ],
    )


def test_check_config_survives_every_kind_of_file(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(256)))
    for path in (tmp_path, tmp_path / "none", binary, Path("/dev/null/x")):
        code, out, err = run(str(path))
        assert (code, out, len(err)) == (2, [], 1)
        assert err[0].startswith(str(path))
    assert run("/dev/null")[0] == 0


def test_help_and_import_of_the_command_do_not_pay_for_pydantic() -> None:
    program = "import sys, pfwatch.cli.check_config; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_check_config_runs_as_a_program() -> None:
    program = "from pfwatch.cli.check_config import check_config; check_config()"
    done = subprocess.run(
        [sys.executable, "-c", program, str(RIGHT / "everything.toml")],
        cwd=ROOT, env={}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{RIGHT / 'everything.toml'}: fine\n")
