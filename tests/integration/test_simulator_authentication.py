"""Tokens, log-in, and what keeps an account out."""

import base64
from typing import Any

import pytest

import simulator
from simulator import Behaviour, Portal, World
from tests.support.simulator_caller import Reply, call, control, delete

PATH = "/api/2.0/crm/contact/1"
RIGHT = {"userName": "admin@example.com", "password": "simulator-password"}
WRONG = {"userName": "admin@example.com", "password": "guess"}


async def read(portal: Portal, **headers: str) -> Reply:
    return await call(portal, "GET", PATH, authenticated=False, headers=headers)


async def log_in(portal: Portal, credentials: Any, path: str = "authentication", **headers: str) -> Reply:
    return await call(portal, "POST", f"/api/2.0/{path}", credentials, authenticated=False, headers=headers)


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


async def test_header_forms() -> None:
    async with simulator.running(World(1)) as portal:
        token = portal.behaviour.token
        for header in (token, f"Bearer {token}", basic("admin@example.com:simulator-password")):
            reply = await read(portal, Authorization=header)
            assert reply.status == 200
            assert reply.headers["set-cookie"].startswith("asc_auth_key=")
        for header in (f"bearer {token}", "x", basic("admin@example.com:x"), "Basic ?", basic("a:b:c"), basic("ü:b")):
            reply = await read(portal, Authorization=header)
            assert (reply.status, reply.body, reply.headers["content-type"]) == (401, b"Unauthorized", "text/html")
            assert reply.headers["www-authenticate"] == "Basic"
            assert "set-cookie" not in reply.headers


async def test_without_a_header_no_scheme_is_named() -> None:
    async with simulator.running(World(1)) as portal:
        reply = await read(portal)
        assert reply.status == 401
        assert "www-authenticate" not in reply.headers


async def test_a_bad_header_falls_back_to_the_cookie() -> None:
    async with simulator.running(World(1)) as portal:
        cookie = f"asc_auth_key={portal.behaviour.token}"
        assert (await read(portal, Authorization="bad", Cookie=cookie)).status == 200
        assert (await read(portal, Cookie=cookie)).status == 200
        assert (await read(portal, Cookie="asc_auth_key=bad")).status == 401


async def test_log_in_earns_a_token() -> None:
    async with simulator.running(World(1)) as portal:
        reply = await log_in(portal, RIGHT)
        assert (reply.status, reply.json["statusCode"]) == (201, 201)
        assert set(reply.json["response"]) == {"token", "expires"}
        assert (await read(portal, Authorization=reply.json["response"]["token"])).status == 200


@pytest.mark.parametrize("credentials", [WRONG, {}, {"userName": "", "password": ""}])
async def test_wrong_credentials_are_a_500(credentials: object) -> None:
    async with simulator.running(World(1)) as portal:
        reply = await log_in(portal, credentials)
        assert reply.status == 500
        assert reply.json["error"] == {"message": "User authentication failed", "hresult": -2146233087, "data": {}}


async def test_the_lock_out() -> None:
    async with simulator.running(World(1)) as portal:
        for _ in range(5):
            assert (await log_in(portal, WRONG)).json["error"]["message"] == "User authentication failed"
        for credentials in (WRONG, RIGHT):
            reply = await log_in(portal, credentials)
            assert (reply.status, reply.json["error"]["message"]) == (500, "Login Fail. Too many attempts")
        assert (await log_in(portal, RIGHT, **{"X-Forwarded-For": "192.0.2.1"})).status == 201
        assert (await read(portal, Authorization=portal.behaviour.token)).status == 200


async def test_a_success_gives_its_try_back() -> None:
    async with simulator.running(World(1)) as portal:
        assert [(await log_in(portal, RIGHT)).status for _ in range(12)] == [201] * 12


async def test_the_lock_out_ends() -> None:
    async with simulator.running(World(1), Behaviour(lockout_attempts=1, lockout_block_s=0.0)) as portal:
        assert [(await log_in(portal, WRONG)).json["error"]["message"] for _ in range(3)] == [
            "User authentication failed"
        ] * 3


@pytest.mark.parametrize("factor", ["sms", "tfa"])
async def test_a_second_factor(factor: Any) -> None:
    async with simulator.running(World(1), Behaviour(second_factor=factor)) as portal:
        reply = await log_in(portal, RIGHT)
        assert reply.status == 201
        assert reply.json["response"]["token"] is None
        assert reply.json["response"][factor] is True
        assert (await log_in(portal, RIGHT, "authentication/999999")).status == 500
        done = await log_in(portal, RIGHT, "authentication/123456")
        assert (await read(portal, Authorization=done.json["response"]["token"])).status == 200


async def test_tokens_die_of_age_and_of_a_log_out_everywhere() -> None:
    async with simulator.running(World(1)) as portal:
        fresh = (await log_in(portal, RIGHT)).json["response"]["token"]
        await control(portal, "log-out-everywhere", {})
        assert (await read(portal, Authorization=fresh)).status == 401
        assert (await read(portal, Authorization=portal.behaviour.token)).status == 401
        again = (await log_in(portal, RIGHT)).json["response"]["token"]
        assert (await read(portal, Authorization=again)).status == 200
        portal.behaviour.token_lifetime_s = 0
        assert (await read(portal, Authorization=again)).status == 401


@pytest.mark.parametrize(
    ("switch", "status", "empty"),
    [
        ({"ip_restricted": True}, 403, True),
        ({"module_denied": True}, 403, False),
        ({"unpaid": "licence"}, 402, True),
        ({"unpaid": "tariff"}, 402, False),
        ({"suspended": True}, 404, True),
        ({"in_maintenance": True}, 503, True),
    ],
)
async def test_what_keeps_an_account_out(switch: dict[str, object], status: int, empty: bool) -> None:
    async with simulator.running(World(3)) as portal:
        await control(portal, "behaviour", switch)
        reply = await delete(portal, [1])
        assert (reply.status, reply.body == b"") == (status, empty)
        if not empty:
            assert reply.json["error"]["message"] in ("Forbidden", "PaymentRequired")
        assert len(portal.truth.alive) == 3
