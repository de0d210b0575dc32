"""Without keys: only programs on this machine, and the page in a browser, get in."""

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from config.settings import ApiKey, Portal, Settings
from tests.conftest import settings_for
from tests.support.serving import Api, serving
from web.http.address import BadAddress, check_host, is_loopback

BODY = {"portal": "main", "contact_ids": [1]}


def settings_with(server: EmbeddedServer, *keys: ApiKey) -> Settings:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"))
    return settings_for(server, portal, api=ApiSettings(keys=keys))


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    async with serving(settings_with(server), redis) as api:
        yield api


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "crm.localhost."])
async def test_a_loopback_name_is_answered(api: Api, host: str) -> None:
    assert await api.json("GET", "/v1/portals", headers={"Host": host})


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "::"]
)
@pytest.mark.parametrize("path", ["/v1/portals", "/healthz", "/metrics", "/nothing"])
async def test_another_name_for_this_machine_is_not(api: Api, host: str, path: str) -> None:
    problem = await api.json("GET", path, status=403, headers={"Host": host})
    assert problem["type"] == "urn:crm-sweep:problem:foreign-origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_change_anything(redis: ArqRedis, api: Api, headers: dict[str, str]) -> None:
    problem = await api.json("POST", "/v1/jobs", status=403, json=BODY, headers=headers)
    assert problem["type"] == "urn:crm-sweep:problem:foreign-origin"
    assert await redis.dbsize() == 0


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}])
async def test_the_page_itself_can(api: Api, headers: dict[str, str]) -> None:
    await api.json("POST", "/v1/jobs", status=202, json=BODY, headers={"Origin": api.url, **headers})


async def test_with_keys_the_name_does_not_matter(server: EmbeddedServer, redis: ArqRedis) -> None:
    key = ApiKey.model_validate({"name": "a", "key_sha256": "0" * 64, "scopes": ["read"]})
    async with serving(settings_with(server, key), redis) as api:
        await api.json("GET", "/v1/portals", status=401, headers={"Host": "sweep.example.com"})
        assert await api.json("GET", "/healthz", headers={"Host": "sweep.example.com"})


LOOPBACK = ("localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]")
ELSEWHERE = ("0.0.0.0", "::", "", "10.1.2.3", "example.com", "localhost.com")  # noqa: S104 - to be refused


@pytest.mark.parametrize("host", [*LOOPBACK, *ELSEWHERE])
def test_without_keys_it_listens_on_loopback_only(server: EmbeddedServer, host: str) -> None:
    key = ApiKey.model_validate({"name": "a", "key_sha256": "0" * 64, "scopes": ["read"]})
    check_host(settings_with(server, key), host)
    assert is_loopback(host) is (host in LOOPBACK)
    if host in LOOPBACK:
        check_host(settings_with(server), host)
        return
    with pytest.raises(BadAddress, match=r"there are no api\.keys"):
        check_host(settings_with(server), host)
