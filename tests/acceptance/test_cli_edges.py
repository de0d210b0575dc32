"""What the surroundings put in the way: other services' variables, companies' proxies, files from other editors."""

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.home import Home
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]
MakeProxy = Callable[..., str]

ROOT = Path(__file__).parents[2]
PASSWORD = "hush-proxy-77"

#: What Kubernetes says about services called crm-sweep, crm-sweep-api and crm-sweep-redis.
LINKS = {
    "CRM_SWEEP_SERVICE_HOST": "10.96.0.10",
    "CRM_SWEEP_SERVICE_PORT": "80",
    "CRM_SWEEP_SERVICE_PORT_HTTP": "80",
    "CRM_SWEEP_PORT": "tcp://10.96.0.10:80",
    "CRM_SWEEP_PORT_80_TCP": "tcp://10.96.0.10:80",
    "CRM_SWEEP_PORT_80_TCP_PROTO": "tcp",
    "CRM_SWEEP_PORT_80_TCP_PORT": "80",
    "CRM_SWEEP_PORT_80_TCP_ADDR": "10.96.0.10",
    "CRM_SWEEP_API_SERVICE_HOST": "10.96.0.11",
    "CRM_SWEEP_API_PORT": "tcp://10.96.0.11:80",
    "CRM_SWEEP_API_PORT_80_TCP_ADDR": "10.96.0.11",
    "CRM_SWEEP_REDIS_SERVICE_HOST": "10.96.0.12",
    "CRM_SWEEP_REDIS_PORT": "tcp://10.96.0.12:6379",
    "CRM_SWEEP_REDIS_PORT_6379_TCP": "tcp://10.96.0.12:6379",
}


@pytest.fixture
def proxy() -> Iterator[MakeProxy]:
    """Start proxies in processes of their own, and return their addresses: `proxy("user:password")`."""
    with ExitStack() as stack:

        def start(*credentials: str) -> str:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.forward_proxy", *credentials],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], 30)
            assert readable, "the proxy did not start"
            return process.stdout.readline().decode().removeprefix("listening on ").strip()

        yield start


def about_portal(home: Home, name: str, **environment: str) -> tuple[int, list[str]]:
    """Return what `check` says about a portal: its exit code, and each finding with its level."""
    result = home.cli("check", "--json", env=environment)
    assert PASSWORD not in result.stdout + result.stderr
    findings = json.loads(result.stdout)["findings"]
    return result.code, [f"{one['level']} {one['message']}" for one in findings if one["about"] == f"portal {name}"]


def test_variables_of_services_next_door_are_left_alone_by_every_command(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 10)
    home.configure(main={"url": crm.url})
    for command in (
        ("check",),
        ("list",),
        ("portals",),
        ("submit", home.ids(1, 2, 3), "--portal", "main"),
        ("run", home.ids(4, 5), "--portal", "main"),
    ):
        result = home.cli(*command, env=LINKS)
        assert result.code == 0, (command, result.stderr)
        assert "CRM_SWEEP_SERVICE" not in result.stderr
    assert "14 variables of services in the same namespace are left alone" in home.cli("check", env=LINKS).stdout
    misspelt = home.cli("list", env=LINKS | {"CRM_SWEEP_API_PROT": "8080"})
    assert misspelt.code == 2
    assert misspelt.stderr.strip() == (
        "crm-sweep: configuration: environment variable CRM_SWEEP_API_PROT: matches no setting; "
        "did you mean CRM_SWEEP_API__PORT?"
    )


def test_a_list_is_deleted_through_a_proxy_that_asks_who_is_calling(
    home: Home, portal: MakePortal, proxy: MakeProxy
) -> None:
    crm = portal("--contacts", 30)
    home.write("proxy-password", b"\xef\xbb\xbf" + PASSWORD.encode() + b"\r\n")
    who = {"proxy": proxy(f"ann:{PASSWORD}"), "proxy_username": "ann", "proxy_password_file": "proxy-password"}
    home.configure(main={"url": crm.url, **who})
    code, findings = about_portal(home, "main")
    assert code == 0
    assert f"ok calls go through the proxy {who['proxy']} (named by proxy) as the user ann" in findings
    assert "ok answers, and the account may use the CRM" in findings
    result = home.cli("run", home.ids(*range(1, 21)), "--portal", "main")
    assert result.code == 0, result.stderr
    assert len(crm.contacts("deleted")) == 20
    assert PASSWORD not in result.stdout + result.stderr


def test_check_names_the_proxy_of_the_environment(home: Home, portal: MakePortal, proxy: MakeProxy) -> None:
    crm = portal()
    address = proxy(f"ann:{PASSWORD}")
    home.configure(main={"url": crm.url, "proxy_from_environment": True}, straight={"url": crm.url})
    given = {"http_proxy": address.replace("://", f"://ann:{PASSWORD}@"), "no_proxy": ""}
    code, findings = about_portal(home, "main", **given)
    assert code == 0
    assert f"ok calls go through the proxy {address} (named by HTTP_PROXY) as the user ann" in findings
    assert about_portal(home, "straight", **given)[1] == [
        "ok answers, and the account may use the CRM",
        "ok no guards are set; docs/guards.md tells what there is",
    ]
    code, findings = about_portal(home, "main", **given | {"no_proxy": "127.0.0.1"})
    assert code == 0
    assert "ok the environment names no proxy for its address: calls go straight to the portal" in findings


def test_check_tells_the_troubles_of_proxies_apart(home: Home, portal: MakePortal, proxy: MakeProxy) -> None:
    crm = portal()
    open_to_all = proxy()
    home.configure(
        unknown={"url": crm.url, "proxy": proxy(f"ann:{PASSWORD}")},
        away={"url": crm.url, "proxy": "http://127.0.0.1:9"},
        beyond={"url": "https://127.0.0.1:9", "proxy": open_to_all},
        cipher={"url": crm.url.replace("http:", "https:"), "proxy": open_to_all},
    )
    for name, begins in {
        "unknown": "error portal_proxy: the proxy asks for valid credentials; ",
        "away": "error portal_unreachable: no connection to the proxy; ",
        "beyond": "error portal_unreachable: the proxy cannot reach the portal; ",
        "cipher": "error portal_unreachable: no TLS connection to the portal; ",
    }.items():
        code, findings = about_portal(home, name)
        assert code == 5
        assert findings[0].startswith("ok calls go through the proxy http://127.0.0.1:")
        assert findings[-1].startswith(begins)
        assert findings[-1].count(";") == 1, "what to do is said once"


def test_check_warns_of_a_blank_around_a_password(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.write("password", "simulator-password \n")
    home.configure(main={"url": crm.url, "username": "admin@example.com", "password_file": "password"})
    stdout = home.cli("check").stdout
    assert "portals.main.password begins or ends with a blank; take it out" in " ".join(stdout.split())
    assert "simulator-password" not in stdout


def test_files_of_a_windows_editor_are_read(home: Home, portal: MakePortal) -> None:
    crm = portal()
    home.write("token", b"\xef\xbb\xbfsimulator-token\r\n")
    home.configure(main={"url": crm.url})
    text = (home.directory / "crm-sweep.toml").read_text()
    text = text.replace('token = "simulator-token"', 'token_file = "token"').replace("\n", "\r\n")
    home.write("crm-sweep.toml", b"\xef\xbb\xbf" + text.encode())
    assert home.cli("check").code == 0
    home.write("crm-sweep.toml", text.encode("utf-16"))
    result = home.cli("list")
    assert result.code == 2
    assert result.stderr.strip().endswith("crm-sweep.toml: not UTF-8 text: it is UTF-16; save it as UTF-8")
