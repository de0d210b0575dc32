"""`worker`, `check`, `simulator` and `demo` as processes."""

import json
import signal
import urllib.request
from collections.abc import Callable

import psutil
import pytest
import redis as sync_redis

from cli.embedded import EmbeddedServer
from tests.support.home import Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


def test_worker_logs_json_and_finishes_its_batch_on_sigterm(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 2000, "--base-ms", 300)
    home.configure(main={"url": crm.url, "batch_size_start": 20, "batch_size_max": 20})
    worker = home.start("worker")
    job_id = home.submit("main", *range(1, 1001))
    until(crm.has_committed)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    lines = [json.loads(line) for line in (home.directory / "worker.0.log").read_text().splitlines()]
    assert {"worker_started", "batch", "worker_stopped"} <= {line["event"] for line in lines}
    assert not [line for line in lines if "redis_version" in line["event"] or "Starting worker" in line["event"]]
    assert "simulator-token" not in (home.directory / "worker.0.log").read_text()
    job = home.job(job_id)
    assert job["counts"]["deleted"] == len(crm.contacts("deleted")) > 0
    assert job["counts"]["presumed_deleted"] == 0


def test_worker_refuses_a_redis_that_may_drop_the_ledger(home: Home, server: EmbeddedServer) -> None:
    home.configure(main={"url": "http://127.0.0.1:9"})
    client = sync_redis.Redis.from_url(server.url.get_secret_value())
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        for command in ("worker", "check"):
            result = home.cli(command)
            assert result.code in ({2} if command == "worker" else {2, 5})
            assert "noeviction" in result.stdout + result.stderr
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.close()


def test_check_finds_everything_in_order(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.configure(
        main={"url": crm.url},
        login={"url": crm.url, "username": "admin@example.com", "password": "simulator-password"},
    )
    result = home.cli("check")
    assert result.code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "configuration:"],
        ["ok", "api:"],
        ["ok", "redis:"],
        ["warning", "redis:"],
        ["warning", "workers:"],
        ["ok", "queue:"],
        ["ok", "portal"],
        ["ok", "portal"],
        ["ok", "portal"],
        ["ok", "portal"],
    ]
    assert sum("no guards are set" in line for line in lines) == 2
    assert f"file {home.directory / 'crm-sweep.toml'}; portals login, main" in lines[0]
    assert "127.0.0.1 port 8080, without keys" in lines[1]
    assert "noeviction" in lines[2]
    assert "crm-sweep worker" in lines[4]
    findings = json.loads(home.cli("check", "--json").stdout)["findings"]
    levels = ["ok", "ok", "ok", "warning", "warning", "ok", "ok", "ok", "ok", "ok"]
    assert [finding["level"] for finding in findings] == levels
    assert not crm.contacts("sent")


def findings_of(home: Home, **environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code of `check`, and its findings by subject; where there are several, the last one."""
    result = home.cli("check", "--json", env=environment)
    return result.code, {finding["about"]: finding for finding in json.loads(result.stdout)["findings"]}


def test_check_says_where_the_configuration_comes_from(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.configure(main={"url": crm.url})
    _, findings = findings_of(home, CRM_SWEEP_CONFIG="crm-sweep.toml")
    assert "crm-sweep.toml (named by CRM_SWEEP_CONFIG)" in findings["configuration"]["message"]
    (home.directory / "crm-sweep.toml").unlink()
    given = {"URL": crm.url, "TOKEN": "simulator-token", "REQUESTS_PER_SECOND": "200"}
    portal_settings = {f"CRM_SWEEP_PORTALS__MAIN__{name}": value for name, value in given.items()}
    code, findings = findings_of(home, CRM_SWEEP_REDIS__URL=home.redis_url, **portal_settings)
    assert code == 0
    assert "no file" in findings["configuration"]["message"]


def test_check_refuses_an_api_that_everybody_could_reach(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.configure(more='[api]\nhost = "0.0.0.0"', main={"url": crm.url})
    code, findings = findings_of(home)
    assert code == 2
    assert findings["api"]["level"] == "error"
    assert "api.keys" in findings["api"]["message"]
    key = f'[[api.keys]]\nname = "billing"\nkey_sha256 = "{"a1" * 32}"\nscopes = ["read", "submit"]'
    home.configure(more=f'[api]\nhost = "0.0.0.0"\n{key}', main={"url": crm.url})
    code, findings = findings_of(home)
    assert code == 0
    assert "billing (read, submit)" in findings["api"]["message"]
    assert "a1a1" not in str(findings)


def test_check_counts_workers_and_finds_jobs_that_nobody_can_work_on(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.configure(main={"url": crm.url}, former={"url": crm.url})
    home.submit("former", 1, 2, 3)
    home.configure(main={"url": crm.url})
    home.start("worker")
    until(lambda: "1 alive" in findings_of(home)[1]["workers"]["message"])
    code, findings = findings_of(home)
    assert code == 0
    assert findings["queue"]["level"] == "warning"
    assert "1 job for the portal former" in findings["queue"]["message"]


def test_check_says_which_portal_is_wrong_and_why(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.configure(
        good={"url": crm.url},
        away={"url": "http://127.0.0.1:9"},
        locked={"url": crm.url, "token": "wrong-secret"},
        elsewhere={"url": f"{crm.url}/some/page"},
    )
    result = home.cli("check", "--json")
    assert result.code == 5
    portals = {finding["about"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert portals["portal good"]["level"] == "ok"
    for name, reason in (("away", "portal_unreachable"), ("locked", "portal_auth"), ("elsewhere", "portal_protocol")):
        assert portals[f"portal {name}"]["level"] == "error"
        assert reason in portals[f"portal {name}"]["message"]
    assert "wrong-secret" not in result.stdout + result.stderr


def test_check_explains_a_configuration_that_cannot_be_used(home: Home) -> None:
    home.configure()
    assert home.cli("check").code == 2  # no portal
    home.configure(more="confirm_abov = 1", main={"url": "http://127.0.0.1:9"})
    result = home.cli("check")
    assert result.code == 2
    assert "confirm_abov" in result.stdout


def test_simulator_listens_until_it_is_told_to_stop(home: Home) -> None:
    process = home.start("simulator", "--contacts", "5")
    log = home.directory / "simulator.0.log"
    until(lambda: "listening on" in log.read_text())
    url = log.read_text().split()[-1]
    with urllib.request.urlopen(f"{url}/truth/summary", timeout=10) as answer:  # noqa: S310
        assert json.loads(answer.read())["existed"] == 5
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_demo_leaves_nothing(home: Home, number: signal.Signals) -> None:
    process = home.start("demo")
    log = home.directory / "demo.0.log"
    until(lambda: b"deleted" in log.read_bytes())
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    process.send_signal(number)
    assert process.wait(30) == 130
    assert "Traceback" not in log.read_text()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    assert len(gone) == len(children)
