"""The systemd units without systemd: what they start, with what, and that it stops in time."""

import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from config.settings import load_settings
from tests.support.documents import ROOT
from tests.support.home import PROGRAM, Home, until
from tests.support.portal_process import Portal
from web.http.limits import Limits

UNITS = {path.stem: path for path in sorted((ROOT / "deploy" / "systemd").iterdir())}
CREDENTIALS = {"crm-token": "simulator-token\n", "redis-password": "secret\n"}

Section = list[tuple[str, str]]


def sections(unit: str) -> dict[str, Section]:
    """Read a unit: each section with its directives, in order."""
    found: dict[str, Section] = {}
    lines: Section = []
    for line in UNITS[unit].read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            lines = found.setdefault(match[1], [])
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            lines.append((name, value))
    return found


def values(unit: str, name: str) -> list[str]:
    """Return the values of a directive of the service."""
    return [value for given, value in sections(unit)["Service"] if given == name]


def value(unit: str, name: str) -> str:
    [only] = values(unit, name)
    return only


def environment(unit: str, directory: Path) -> dict[str, str]:
    """Return the variables that a unit sets, with its credentials and its configuration in a directory here."""
    words = [word for line in values(unit, "Environment") for word in shlex.split(line)]
    variables = dict(word.replace("%d", str(directory)).split("=", 1) for word in words)
    assert variables["CRM_SWEEP_CONFIG"] == "/etc/crm-sweep/crm-sweep.toml"
    return variables | {"CRM_SWEEP_CONFIG": str(directory / "crm-sweep.toml")}


def command(unit: str) -> list[str]:
    """Return what a unit starts, with the program of this machine."""
    program, *arguments = shlex.split(value(unit, "ExecStart"))
    assert program == "/opt/crm-sweep/bin/crm-sweep"
    return [PROGRAM, *arguments]


def test_there_is_a_unit_for_workers_and_one_for_the_api() -> None:
    assert [command(unit)[1:] for unit in UNITS] == [["api"], ["worker"]]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_knows_every_directive_and_finds_little_exposed(unit: str, tmp_path: Path) -> None:
    copy = tmp_path / f"{unit}.service"
    copy.write_text(UNITS[unit].read_text().replace("/opt/crm-sweep/bin/crm-sweep", PROGRAM))
    verified = subprocess.run(
        ["/usr/bin/env", "systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    exposed = subprocess.run(
        ["/usr/bin/env", "systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert exposed.returncode == 0, exposed.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_every_secret_is_a_credential_and_its_file_a_setting(unit: str, tmp_path: Path) -> None:
    loaded = [line.partition(":") for line in values(unit, "LoadCredential")]
    assert {name: path for name, _, path in loaded} == {name: f"/etc/crm-sweep/{name}" for name in CREDENTIALS}
    for name, content in CREDENTIALS.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "crm-sweep.toml").write_text('[portals.main]\nurl = "https://crm.example.com"\n')
    variables = environment(unit, tmp_path)
    assert not any("%" in variable for variable in variables.values())
    settings = load_settings(Path(variables.pop("CRM_SWEEP_CONFIG")), variables)
    assert settings.redis.url.address.password == "secret"
    assert settings.portal("main").token_file == tmp_path / "crm-token"
    assert settings.log.format == "json"


def test_there_is_time_to_finish(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    grace_s = load_settings(tmp_path / "empty.toml", {}).worker.shutdown_grace_s
    assert int(value("crm-sweep-worker", "TimeoutStopSec")) >= grace_s + 15
    assert int(value("crm-sweep-api", "TimeoutStopSec")) >= Limits().ending_s + 15


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_restarted_unless_only_a_person_can_help(unit: str) -> None:
    assert (value(unit, "Restart"), value(unit, "KillSignal")) == ("always", "SIGTERM")
    assert int(value(unit, "RestartPreventExitStatus")) == ExitCode.BAD_INPUT
    limits = dict(sections(unit)["Unit"])
    # At one start in six seconds at most, the limit is reached in about a minute.
    assert int(value(unit, "RestartSec")) * int(limits["StartLimitBurst"]) < int(limits["StartLimitIntervalSec"])


def test_a_worker_of_the_unit_stops_in_time_and_leaves_nothing_in_doubt(
    home: Home, portal: Callable[..., Portal]
) -> None:
    crm = portal("--contacts", 2000, "--base-ms", 200)
    for name, content in CREDENTIALS.items():
        home.write(name, content)
    home.configure(main={"url": crm.url})
    file = home.directory / "crm-sweep.toml"
    file.write_text(file.read_text().replace('token = "simulator-token"\n', ""))
    variables = environment("crm-sweep-worker", home.directory)
    del variables["CRM_SWEEP_REDIS__PASSWORD_FILE"]  # the tests' server wants none
    submitted = home.cli("submit", home.ids(*range(1, 2001)), "--portal", "main", "--yes", env=variables)
    assert submitted.code == 0, submitted.stderr
    job_id = submitted.stdout.strip()
    with (home.directory / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command("crm-sweep-worker"), cwd=home.directory, env=home.environment(**variables), stderr=log
        )
    home.running.append(worker)
    until(lambda: crm.contacts("deleted"))
    worker.send_signal(getattr(signal, value("crm-sweep-worker", "KillSignal")))
    assert worker.wait(int(value("crm-sweep-worker", "TimeoutStopSec"))) == 0
    counts = json.loads(home.cli("status", job_id, "--json", env=variables).stdout)["counts"]
    assert (counts["deleted"], counts["presumed_deleted"]) == (len(crm.contacts("deleted")), 0)
    assert counts["pending"], "it stopped in the middle"


def test_the_api_of_the_unit_starts_without_redis_and_stops_in_time(home: Home) -> None:
    for name, content in CREDENTIALS.items():
        home.write(name, content)
    home.write("crm-sweep.toml", '[redis]\nurl = "redis://127.0.0.1:1/0"\n[portals.main]\nurl = "http://127.0.0.1:1"\n')
    variables = environment("crm-sweep-api", home.directory) | {"CRM_SWEEP_API__PORT": "0"}
    with (home.directory / "api.log").open("wb") as log:
        api = subprocess.Popen(
            command("crm-sweep-api"),
            cwd=home.directory,
            env=home.environment(**variables),
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    home.running.append(api)
    until(lambda: "api_started" in (home.directory / "api.log").read_text())
    api.send_signal(getattr(signal, value("crm-sweep-api", "KillSignal")))
    assert api.wait(int(value("crm-sweep-api", "TimeoutStopSec"))) == 0
