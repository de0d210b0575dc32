"""`crm-sweep api` as a process, with a worker and a portal: what other services and their operators see of it."""

import hashlib
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.home import Home, until
from tests.support.portal_process import Portal

KEY = "a-key-of-the-billing-service"
KEYS = f"""[[api.keys]]
name = "billing"
key_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
scopes = ["read", "submit", "control"]
"""


def log_of(home: Home, command: str, number: int) -> str:
    return (home.directory / f"{command}.{number}.log").read_text()


def started(home: Home, *options: str) -> str:
    """Start an API, and return its address once it listens."""
    number = len(home.running)
    process = home.start("api", "--port", "0", *options)
    until(lambda: "listening on " in log_of(home, "api", number) or process.poll() is not None)
    [line] = [line for line in log_of(home, "api", number).splitlines() if line.startswith("listening on ")]
    return line.removeprefix("listening on ")


def call(url: str, body: bytes | None = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
    """Send a request with the key; return the status and the JSON."""
    headers = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_service_submits_a_list_and_polls_until_it_is_done(home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", "300")
    home.configure(main={"url": crm.url}, more=KEYS)
    url = started(home)
    home.start("worker")
    lines = "".join(f"{contact_id}\n" for contact_id in range(1, 401)).encode()
    status, job = call(f"{url}/v1/jobs?portal=main&id=order-1", lines, Content_Type="text/plain")
    assert (status, job["total"]) == (202, 400)
    job_url = f"{url}/v1/jobs/order-1"
    until(lambda: call(job_url)[1]["state"] == "completed")
    job = call(job_url)[1]
    assert (job["counts"]["deleted"], job["counts"]["not_found"], job["progress"]) == (300, 100, 1.0)
    assert len(crm.contacts("deleted")) == 300
    assert job["actions"][0] | {"at": None} == {"at": None, "by": "billing", "action": "submit", "detail": None}
    assert call(f"{url}/v1/jobs?portal=main&id=order-1", lines, Content_Type="text/plain")[0] == 200
    assert home.job("order-1") == job
    status, problem = call(f"{job_url}/pause", method="POST")
    assert (status, problem["state"], problem["allowed"]) == (409, "completed", ["retry-failed"])
    assert KEY not in log_of(home, "api", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_an_orderly_way_and_leaves_the_port(home: Home, number: signal.Signals) -> None:
    home.configure(main={"url": "http://127.0.0.1:1"})
    url = started(home)
    assert call(f"{url}/healthz") == (200, {"status": "ok"})
    process = home.running[0]
    process.send_signal(number)
    assert process.wait(20) == 0
    log = log_of(home, "api", 0)
    assert "api_started" in log
    assert "api_stopped" in log
    assert "Traceback" not in log


def test_it_starts_and_waits_while_redis_is_away(home: Home) -> None:
    home.configure(redis="redis://127.0.0.1:1/0", main={"url": "http://127.0.0.1:1"})
    url = started(home)
    assert call(f"{url}/healthz")[0] == 200
    status, readiness = call(f"{url}/readyz")
    assert (status, readiness["ready"]) == (503, False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - to be refused
def test_without_keys_it_refuses_to_be_reached_from_elsewhere(home: Home, host: str) -> None:
    home.configure(main={"url": "http://127.0.0.1:1"})
    result = home.cli("api", "--host", host, "--port", "0")
    assert result.code == 2
    assert "there are no api.keys" in result.stderr
    assert result.stdout == ""


def test_a_port_in_use_is_said_in_one_line(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:1"})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = home.cli("api", "--port", str(port))
    assert result.code == 2
    assert (
        result.stderr.splitlines()[-1] == f"crm-sweep: cannot listen on 127.0.0.1 port {port}: address already in use"
    )


def test_a_key_may_name_configured_portals_only(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:1"}, more=KEYS + 'portals = ["mian"]')
    result = home.cli("api", "--port", "0")
    assert result.code == 2
    assert "given 'mian' among the portals of key 'billing', expected names of configured portals" in result.stderr
