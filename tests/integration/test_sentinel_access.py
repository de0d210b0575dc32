"""Who may ask Sentinels and servers: TLS, logins and certificates of both, and what is said when something is wrong."""

import shlex
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from config.settings import RedisConfig, RedisUrl
from jobs.store.connection import connect
from jobs.store.trouble import Reason, Trouble, trouble_of
from tests.support.authority import Authority
from tests.support.documents import ROOT
from tests.support.sentinels import SentinelGroup, sentinel_group
from tests.support.tls_front import tls_front
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(90)

PASSWORD = "servers-password"
OWN = "sentinels-password"


def documented_rights() -> list[str]:
    """Return the words of the documented line, after the user's name."""
    page = (ROOT / "docs" / "high-availability.md").read_text()
    line = page.partition("ACL SETUSER crm-sweep ")[2].partition("\n$ ")[0]
    return [word.replace(">PASSWORD", f">{OWN}") for word in shlex.split(line.replace("\\\n", " "))]


async def give_rights(group: SentinelGroup, *rights: str) -> None:
    for sentinel in group.sentinels:
        async with sentinel.client() as admin:
            await admin.execute_command("ACL", "SETUSER", "crm-sweep", *rights)


def front_of(tls: ssl.SSLContext, port: int) -> AbstractAsyncContextManager[int]:
    return tls_front(port, tls)


async def trouble_with(config: RedisConfig) -> Trouble:
    """Return why there is no connection."""
    redis = connect(config, patience_s=-5)
    try:
        with pytest.raises((RedisError, OSError)) as caught:
            await redis.ping()
        return trouble_of(caught.value)
    finally:
        await redis.aclose(close_connection_pool=True)


async def test_tls_logins_and_certificates_hold_for_servers_and_sentinels(tmp_path: Path) -> None:
    servers, clients, strangers = Authority(tmp_path), Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    front = partial(front_of, servers.server(clients))
    async with sentinel_group(replicas=1, sentinels=1, password=PASSWORD, front=front) as group:
        await give_rights(group, *documented_rights())
        config: dict[str, Any] = {
            "url": RedisUrl(group.url("rediss+sentinel", db=1)),
            "sentinel_username": "crm-sweep",
            "sentinel_password": SecretStr(OWN),
            "tls_ca_file": servers.file,
            "tls_cert_file": clients.certificate_file,
            "tls_key_file": clients.key_file,
        }
        redis = connect(RedisConfig(**config), patience_s=60)
        await redis.set("key", "value")
        new = await group.promote()

        async def goes_on() -> bool:
            return bool(await redis.set("key", "value") and (await redis.info("server"))["tcp_port"] == new.port)

        assert await until(goes_on)
        await redis.aclose(close_connection_pool=True)
        async with group.sentinels[0].client() as admin:
            assert await admin.execute_command("ACL", "LOG") == []
        # A server that wants a certificate may hang up before its reason arrives.
        without = {name: value for name, value in config.items() if name not in {"tls_cert_file", "tls_key_file"}}
        of_others = {"tls_cert_file": strangers.certificate_file, "tls_key_file": strangers.key_file}
        for wrong in (without, config | of_others):
            assert (await trouble_with(RedisConfig(**wrong))).reason in {Reason.CLIENT_CERTIFICATE, Reason.NO_SENTINEL}
        trouble = await trouble_with(RedisConfig(**config | {"tls_ca_file": strangers.file}))
        assert trouble.reason is Reason.UNTRUSTED


async def test_a_server_is_known_by_the_host_that_sentinel_announces(tmp_path: Path) -> None:
    authority = Authority(tmp_path, hosts=["localhost"])
    front = partial(front_of, authority.server())
    async with sentinel_group(replicas=0, sentinels=1, front=front) as group:
        url = RedisUrl(group.url("rediss+sentinel", host="localhost"))
        trouble = await trouble_with(RedisConfig(url=url, tls_ca_file=authority.file))
        assert trouble.reason is Reason.UNTRUSTED
        assert "IP address mismatch" in trouble.detail  # it is announced as 127.0.0.1


@pytest.fixture
async def group() -> AsyncIterator[SentinelGroup]:
    async with sentinel_group(replicas=0, sentinels=2, password=PASSWORD) as group:
        await give_rights(group, *documented_rights())
        yield group


async def test_what_sentinels_refuse_is_said_with_what_to_do(group: SentinelGroup) -> None:
    url = group.url()
    ours = {"sentinel_username": "crm-sweep", "sentinel_password": SecretStr(OWN)}
    first = f"127.0.0.1:{group.sentinels[0].port}"

    def config(url: str, **more: Any) -> RedisConfig:
        return RedisConfig(url=RedisUrl(url), **more)

    trouble = await trouble_with(config(url))
    assert trouble.reason is Reason.SENTINEL_PASSWORD
    assert f"{first} does not accept the user name or password, " in trouble.detail
    trouble = await trouble_with(config(url, sentinel_username="crm-sweep", sentinel_password=SecretStr("wrong")))
    assert trouble.reason is Reason.SENTINEL_PASSWORD
    trouble = await trouble_with(config(url.replace("/ledger/", "/elsewhere/"), **ours))
    assert trouble.reason is Reason.UNKNOWN_TO_SENTINELS
    trouble = await trouble_with(config(url.replace(PASSWORD, "wrong"), **ours))
    assert trouble.reason is Reason.WRONG_PASSWORD  # of the server: the Sentinels were right
    trouble = await trouble_with(config(url.replace("redis+", "rediss+"), **ours))
    assert trouble.reason is Reason.TLS_UNKNOWN
    for right in documented_rights():
        if right[0] == "+":
            await give_rights(group, f"-{right[1:]}")
            assert (await trouble_with(config(url, **ours))).reason is Reason.SENTINEL_PERMISSION
            await give_rights(group, right)
    trouble = await trouble_with(config("redis+sentinel://127.0.0.1:1,sentinel.invalid/ledger"))
    assert trouble.reason is Reason.NO_SENTINEL
    assert trouble.detail.startswith("127.0.0.1:1 connection refused, sentinel.invalid:26379 ")
    assert str(trouble).startswith("Redis cannot be found, because no Sentinel names it: 127.0.0.1:1 ")
    for said in (trouble, await trouble_with(config(url))):
        assert PASSWORD not in str(said)
        assert OWN not in str(said)


async def test_what_is_no_sentinel_is_told_from_one(group: SentinelGroup) -> None:
    url = f"redis+sentinel://127.0.0.1:{group.primary.port}/ledger"
    trouble = await trouble_with(RedisConfig(url=RedisUrl(url), sentinel_password=SecretStr(PASSWORD)))
    assert trouble.reason is Reason.NO_SENTINEL
    assert trouble.detail == f"127.0.0.1:{group.primary.port} answers with an error"
