"""What an upload through the page can cost the server: too slow, or without end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from config.settings import Api
from jobs.store import keys
from tests.support.browsing import Person, settings_with
from tests.support.serving import serving
from web.http.limits import Limits

HEAD = '--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n--x\r\n'
LIST = HEAD + 'Content-Disposition: form-data; name="file"; filename="ids"\r\n\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@contextlib.asynccontextmanager
async def visitor(server: EmbeddedServer, redis: ArqRedis, **limits: float) -> AsyncIterator[Person]:
    """Run a server with small limits, and yield a user of it."""
    settings = settings_with(server, api=Api(max_body_mb=1))
    tight = Limits(lingering_s=0.3, ending_s=1.0, **limits)  # type: ignore[arg-type]  # those given here are floats
    async with serving(settings, redis, limits=tight) as api:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(api.url, cookie_jar=jar) as client:
            yield Person(api.url, client)


async def test_a_form_that_trickles_is_given_up(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visitor(server, redis, body_silence_s=0.5, body_bytes_per_s=5000) as person:
        csrf = await person.csrf()

        async def trickle() -> AsyncIterator[bytes]:
            yield LIST.format(csrf=csrf).encode()
            while True:
                yield b"1"
                await asyncio.sleep(0.02)

        async with asyncio.timeout(20):
            screen = await person.ask("POST", "/new", data=trickle(), headers=FORM)
    assert screen.status == 408
    assert "did not arrive in time" in screen.text
    assert not await redis.keys(keys.staging("*"))


async def test_a_form_of_parts_without_end_is_refused(redis: ArqRedis, server: EmbeddedServer) -> None:
    """It is refused however little is in the parts, and whether or not they are wanted."""
    async with visitor(server, redis) as person:
        csrf = await person.csrf()

        async def parts() -> AsyncIterator[bytes]:
            yield HEAD.format(csrf=csrf).encode()
            while True:
                yield b"Content-Disposition: form-data; name=other\r\n\r\nsomething\r\n--x\r\n"
                await asyncio.sleep(0.001)

        async with asyncio.timeout(20):
            screen = await person.ask("POST", "/new", data=parts(), headers=FORM)
    assert screen.status == 400
    assert "too many parts" in screen.text


async def test_a_part_that_nobody_wants_is_not_read_without_end(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visitor(server, redis) as person:
        csrf = await person.csrf()

        async def part() -> AsyncIterator[bytes]:
            yield HEAD.format(csrf=csrf).encode()
            yield b"Content-Disposition: form-data; name=other\r\n\r\n"
            while True:
                yield b"something\r\n" * 5000

        async with asyncio.timeout(20):
            screen = await person.ask("POST", "/new", data=part(), headers=FORM)
    assert screen.status == 413
