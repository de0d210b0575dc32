"""Runs the HTTP API: listens, enforces limits, and stops gracefully."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from config.logging import get_logger
from config.settings import Settings
from jobs.store.connection import AWAY, connect
from jobs.store.format_number import check_format
from web.app import make_app
from web.http.address import BadAddress, check_host
from web.http.context import LIMITS
from web.http.protocol import Protocol

_BACKLOG = 128
#: How often a Redis that was away at the start is asked for its format number.
_ASK_EVERY_S = 1.0
#: So that a poll during an outage is answered after about two seconds, not minutes.
_REDIS_PATIENCE_S = 0.0


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application while the block lasts.

    Args:
        app: of `make_app`.
        host: name or address to listen on.
        port: 0 takes any free one.

    Yields:
        The base address under which it is reached, `http://127.0.0.1:8080`.

    Raises:
        BadAddress: the address is taken, or is not one of this machine.
    """
    limits = app[LIMITS]
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=limits.ending_s)
    await runner.setup()
    server = runner.server
    if server is None:
        raise RuntimeError("aiohttp has set up no server")

    options: dict[str, Any] = {
        "access_log": None,  # web/http/middleware.py writes one
        # aiohttp starts this clock with the connection, and again after each answer: it ends idle connections and
        # those whose headers never come to an end.
        "keepalive_timeout": limits.connection_idle_s,
        "lingering_time": limits.lingering_s,
        "max_line_size": limits.header_bytes,
        "max_field_size": limits.header_bytes,
        "max_headers": limits.header_count,
        "auto_decompress": False,  # web/http/body.py unpacks, with a bound on what comes out
    }

    listener: asyncio.Server | None = None
    try:
        try:
            listener = await loop.create_server(
                lambda: Protocol(server, loop=loop, **options), host, port, backlog=_BACKLOG, reuse_address=True
            )
        except OSError as error:
            number = error.errno or 0  # the loop writes words of its own around the system's
            why = os.strerror(number) if number > 0 else error.strerror or str(error)
            raise BadAddress(f"cannot listen on {host} port {port}: {why.lower()}") from None
        yield _address(listener.sockets[0])
    finally:
        if listener is not None:
            listener.close()
        await runner.cleanup()


async def serve(settings: Settings, host: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Run the API until SIGTERM or SIGINT; requests in progress may finish.

    Args:
        settings: the whole configuration.
        host: name or address to listen on.
        port: 0 takes any free one.
        on_listening: called once, with the base address.

    Raises:
        BadAddress: it must not or cannot listen there.
        UnsuitableServer: Redis holds data of a newer version; if Redis is away at the start, when it is back.
    """
    check_host(settings, host)
    log = get_logger()
    redis = connect(settings.redis, patience_s=_REDIS_PATIENCE_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    knowing, stopping = asyncio.create_task(_until_known(redis)), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({knowing}, timeout=_ASK_EVERY_S / 2)
        if knowing.done():
            knowing.result()
        async with listening(make_app(settings, redis), host, port) as address:
            log.info("api_started", address=address, keys=len(settings.api.keys))
            on_listening(address)
            await asyncio.wait({knowing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if knowing.done():
                knowing.result()
            await stopping
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)  # a second one ends the process immediately
        log.info("api_stopped")
    finally:
        for task in (knowing, stopping):
            task.cancel()
        await asyncio.wait({knowing, stopping})
        await redis.aclose(close_connection_pool=True)


async def _until_known(redis: ArqRedis) -> None:
    """Ask for the format number until Redis answers.

    Raises:
        UnsuitableServer: Redis holds data of a newer version.
    """
    while True:
        try:
            return await check_format(redis)
        except (*AWAY, RedisError):
            await asyncio.sleep(_ASK_EVERY_S)


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
