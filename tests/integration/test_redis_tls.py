"""Redis over TLS, with a certificate of a private authority."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cli.embedded import EmbeddedServer
from cli.errors import ExitCode, explain
from config.redis_url import RedisUrl
from jobs.connection import connect, untrusted_certificate
from tests.authority import Authority


@asynccontextmanager
async def over_tls(server: EmbeddedServer, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Put TLS before a server, as stunnel does, and give the port."""
    path = server.url.address.socket_path
    assert path is not None
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            from_redis, to_redis = await asyncio.open_unix_connection(path)
            with contextlib.closing(to_redis):
                await asyncio.gather(_forward(reader, to_redis), _forward(from_redis, writer))
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def ping(url: str, ca_file: Path | None) -> bool:
    redis = connect(RedisUrl(url), patience_s=0, tls_ca_file=ca_file)
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
            assert message.startswith("the certificate of Redis is not trusted (")
            assert message.endswith("name its authority in redis.tls_ca_file")


async def test_a_certificate_for_another_host_is_not_enough(server: EmbeddedServer, tmp_path: Path) -> None:
    """redis-py by itself would talk to anybody who has any certificate of the authority."""
    authority = Authority(tmp_path, hosts=["elsewhere.example"])
    async with over_tls(server, authority.server()) as port:
        with pytest.raises(RedisConnectionError) as caught:
            await ping(f"rediss://127.0.0.1:{port}/0", authority.file)
    assert "IP address mismatch" in (untrusted_certificate(caught.value) or "")
