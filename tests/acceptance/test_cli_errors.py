"""Exit codes and error lines: one clear line, never a traceback, never a secret."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.home import Home

COMMANDS = (
    "run", "submit", "status", "watch", "list", "results", "pause", "resume", "cancel", "approve", "worker", "check",
    "simulator", "demo", "retry-failed", "priority", "why", "portals", "limits", "select",
)  # fmt: skip
WITH_ID = ("status", "watch", "results", "pause", "resume", "cancel", "approve", "retry-failed", "why")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(home: Home, command: str) -> None:
    result = home.cli(command, "--help")
    assert result.code == 0
    assert f"crm-sweep {command}" in result.stdout
    assert "xamples:" in result.stdout


def test_version_and_help(home: Home) -> None:
    assert re.fullmatch(r"crm-sweep \d+\.\d+\.\d+\n", home.cli("--version").stdout)
    overview = home.cli("--help").stdout
    assert all(command in overview for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("run",),
        ("run", "ids.txt"),
        ("status",),
        ("status", "x", "--nonsense"),
        ("results", "x", "--format", "xml"),
        ("results", "x", "--outcome", "gone"),
        ("list", "--limit", "0"),
        ("simulator", "--contacts", "many"),
        ("--config", "no-such-file.toml", "list"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_exit_code_2(home: Home, arguments: tuple[str, ...]) -> None:
    home.configure()
    result = home.cli(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr


def test_no_such_job_or_portal_is_exit_code_4(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    for command in WITH_ID:
        result = home.cli(command, "no-such-job")
        assert (result.code, result.stdout) == (4, "")
        assert len(result.stderr.splitlines()) == 1
        assert "no-such-job" in result.stderr
    for command in ("run", "submit"):
        result = home.cli(command, home.ids(1), "--portal", "nowhere")
        assert (result.code, result.stdout) == (4, "")
        assert "nowhere" in result.stderr
        assert "main" in result.stderr


def test_results_of_no_job_leave_an_older_file_alone(home: Home) -> None:
    home.configure()
    home.write("out.csv", "precious")
    assert home.cli("results", "no-such-job", "-o", "out.csv").code == 4
    assert (home.directory / "out.csv").read_text() == "precious"
    assert len(list(home.directory.glob(".out*"))) == 0


def test_redis_that_is_away_is_exit_code_5_without_its_password(home: Home) -> None:
    home.configure(redis="redis://:hush-hush@127.0.0.1:9/0", main={"url": "http://127.0.0.1:9"})
    commands = ("submit", home.ids(1), "--portal", "main"), ("worker",)
    # In parallel: each keeps trying for some seconds.
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda arguments: home.cli(*arguments), commands))
    for result in results:
        assert (result.code, result.stdout) == (5, "")
        assert len(result.stderr.splitlines()) == 1
        assert "Redis cannot be reached" in result.stderr
        assert "hush-hush" not in result.stderr


def test_a_bad_configuration_lists_what_is_wrong(home: Home) -> None:
    home.configure(main={"url": "nonsense", "token": "top-secret", "requests_per_second": 5000.0, "speed": 1})
    result = home.cli("list")
    assert result.code == 2
    for word in ("url", "requests_per_second", "5000", "speed"):
        assert word in result.stderr
    assert "top-secret" not in result.stderr


def test_the_configuration_can_be_named_on_the_command_line_or_by_environment(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    (home.directory / "crm-sweep.toml").rename(home.directory / "mine.toml")
    submit = ("submit", home.ids(1), "--portal", "main")
    assert home.cli(*submit).code == 4
    assert home.cli("--config", "mine.toml", *submit).code == 0
    assert home.cli(*submit, env={"CRM_SWEEP_CONFIG": "mine.toml"}).code == 0
