"""Receivers of webhooks on real sockets, with a switch for each misbehaviour, and looks into the outbox."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from arq.connections import ArqRedis
from standardwebhooks import Webhook as Verifier

from config.settings import Webhook
from jobs.store import keys
from jobs.webhooks.events import Event, decode_event
from jobs.webhooks.outbox import Claimed, Delivery, Result
from tests.support.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#: Takes an event as the receiver got it, and answers.
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def webhook(url: str, **settings: Any) -> Webhook:
    return Webhook.model_validate({"url": url, "name": "hook", "secret": SECRET} | settings)


def delivery_of(claimed: Claimed, result: Result = Result.DELIVERED) -> Delivery:
    return Delivery(
        at="2026-01-01T00:00:00.000Z",
        event=claimed.event.type,
        event_id=claimed.event.id,
        portal=claimed.event.portal_name,
        job=claimed.event.job or None,
        attempt=claimed.attempt,
        result=result,
        status=200 if result is Result.DELIVERED else 500,
        error=None,
        took_ms=1,
    )


@dataclass
class Received:
    """A request that a receiver got."""

    id: str
    type: str
    data: dict[str, Any]
    headers: dict[str, str]
    body: bytes

    @property
    def job(self) -> str | None:
        """The job that it is about."""
        return self.data.get("id")


@dataclass
class Receiver:
    """A running receiver. It verifies the signature of everything that it gets.

    Attributes:
        url: where it listens.
        received: what it got, in order, whatever it answered.
        answers: what it answers; by default, 204 to everything.
        open: requests that are not answered yet; and the most there have been.
    """

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: Answering | None = None
    open: int = 0
    most_open: int = 0
    runner: web.AppRunner | None = None

    @property
    def types(self) -> list[str]:
        """The types of what it got, in order."""
        return [one.type for one in self.received]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Verify an event, keep it, and answer."""
        body = await request.read()
        document = Verifier(SECRET).verify(body, dict(request.headers))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(headers["webhook-id"], document["type"], document["data"], headers, body))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self.answers(request) if self.answers else web.Response(status=204)
        finally:
            self.open -= 1

    async def close(self) -> None:
        """Stop listening, and close what is open."""
        if self.runner is not None:
            await self.runner.cleanup()

    async def gets(self, count: int, timeout_s: float = 30.0) -> list[Received]:
        """Wait until it has got so many requests; return all."""

        async def look() -> bool:
            return len(self.received) >= count

        await until(look, timeout_s)
        return self.received


@contextlib.asynccontextmanager
async def receiving(answers: Answering | None = None, *, port: int = 0, tls: Any = None) -> AsyncIterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver(answers=answers)
    app = web.Application()
    app.router.add_post("/events", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    receiver.runner = runner
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{port}/events"
    try:
        yield receiver
    finally:
        await receiver.close()


def answering(*statuses: int, headers: dict[str, str] | None = None) -> Answering:
    """Answer with these statuses, one after another; the last one stays."""
    left = list(statuses)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], headers=headers)

    return answer


async def hanging(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def waiting_events(redis: ArqRedis, name: str, stream: str) -> list[Event]:
    """Return the events of a job or portal that wait for a webhook."""
    return [decode_event(data) for data in await redis.execute_command("LRANGE", keys.events(name, stream), 0, -1)]


async def nothing_waits(redis: ArqRedis, name: str = "hook", timeout_s: float = 30.0) -> None:
    """Wait until everything has been delivered or given up."""

    async def look() -> bool:
        return bool(await redis.zcard(keys.unsent(name)) == 0)

    await until(look, timeout_s)


async def let_time_pass(redis: ArqRedis, seconds: float, name: str = "hook") -> None:
    """Make everything in the outbox older, as if time had passed."""
    by_ms = round(seconds * 1000)
    for key in (keys.due_events(name), keys.sending(name), keys.unsent(name)):
        for member, score in await redis.zrange(key, 0, -1, withscores=True):
            await redis.zadd(key, {member: score - by_ms})
    for stream in await redis.zrange(keys.due_events(name), 0, -1):
        key = keys.events(name, stream.decode())
        for at, event in enumerate(await redis.execute_command("LRANGE", key, 0, -1)):
            older = event.replace(b'"at_ms":%d' % (ms := decode_event(event).at_ms), b'"at_ms":%d' % (ms - by_ms))
            assert older != event
            await redis.execute_command("LSET", key, at, older)
