"""The courier: sends what is due to one webhook at a time, a few events at once, until nothing more is due."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis

from config.logging import get_logger
from config.settings import Webhook
from jobs.store.times import iso
from jobs.webhooks.outbox import Claimed, Delivery, Result, claim, settle
from worker.drain import Drain, cancel
from worker.webhooks.post import Answer, Poster
from worker.webhooks.retry import wait_before_next_s

#: How long a courier goes on for one webhook before it makes way for another message.
_SLICE_S = 20.0

#: How long a worker that has to stop waits for the receivers of what has left. It is sent again if they are slower.
LAST_ANSWERS_S = 2.0


@dataclass(slots=True)
class Courier:
    """Sends the events of the configured webhooks; each worker has one.

    A webhook that hangs or fails keeps at most `MOST_AT_ONCE` of its own events busy, and nothing else.

    Attributes:
        redis: the connection.
        webhooks: those that are configured, by name.
        drain: says when to stop.
        uniform: returns a random number between two bounds.
    """

    redis: Redis
    webhooks: dict[str, Webhook]
    drain: Drain
    uniform: Callable[[float, float], float] = random.uniform
    _poster: Poster | None = None
    _busy: set[str] = field(default_factory=set)

    async def deliver(self, name: str) -> str:
        """Send what is due to a webhook.

        Returns:
            How it ended, for arq's log.
        """
        webhook = self.webhooks.get(name)
        if webhook is None:
            get_logger().warning("webhook_not_configured", webhook=name)
            return "not_configured"
        if name in self._busy or self.drain.wanted:
            return "busy"
        self._busy.add(name)
        try:
            return await self._deliver(webhook)
        finally:
            self._busy.discard(name)

    async def close(self) -> None:
        """Close all connections; nothing may be under way."""
        if self._poster is not None:
            await self._poster.close()

    async def _deliver(self, webhook: Webhook) -> str:
        self._poster = self._poster or Poster()
        until_s = time.monotonic() + _SLICE_S
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                goes_on = time.monotonic() < until_s and not self.drain.wanted
                for claimed in await claim(self.redis, webhook.name) if goes_on else ():
                    under_way.add(asyncio.create_task(self._send(self._poster, webhook, claimed)))
                if not under_way:
                    return "done"
                ended, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for one in ended:
                    one.result()
        except asyncio.CancelledError:
            # The worker is told to stop: what has left is recorded, if its receiver answers in time.
            if under_way:
                await asyncio.wait(under_way, timeout=LAST_ANSWERS_S)
            raise
        finally:
            for one in under_way:
                await cancel(one)

    async def _send(self, poster: Poster, webhook: Webhook, claimed: Claimed) -> None:
        answer = await poster.post(webhook, claimed.event)
        result, wait_s = self._decide(claimed, answer)
        event = claimed.event
        delivery = Delivery(
            at=iso(time.time_ns() // 1_000_000),
            event=event.type,
            event_id=event.id,
            portal=event.portal_name,
            job=event.job or None,
            attempt=claimed.attempt,
            result=result,
            status=answer.status,
            error=answer.error,
            took_ms=answer.took_ms,
        )
        is_recorded = await settle(self.redis, webhook.name, claimed, delivery, wait_s)
        log = get_logger(webhook=webhook.name, event_type=event.type, event_id=event.id, attempt=claimed.attempt)
        if not is_recorded:
            log.warning("webhook_taken_over")
        elif result is Result.DELIVERED:
            log.info("webhook_delivered", status=answer.status, took_ms=answer.took_ms)
        elif result is Result.GIVEN_UP:
            log.warning("webhook_given_up", status=answer.status, error=answer.error, took_ms=answer.took_ms)
        else:
            log.warning("webhook_failed", status=answer.status, error=answer.error, took_ms=answer.took_ms)

    def _decide(self, claimed: Claimed, answer: Answer) -> tuple[Result, float]:
        if answer.error is None:
            return Result.DELIVERED, 0.0
        wait_s = wait_before_next_s(claimed.attempt, claimed.age_s, answer.status, answer.retry_after_s, self.uniform)
        return (Result.GIVEN_UP, 0.0) if wait_s is None else (Result.FAILED, wait_s)
