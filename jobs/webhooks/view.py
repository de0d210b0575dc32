"""Webhooks as people see them: what waits, what was delivered, and the last tries. Never an address or a secret."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from config.settings import Webhook
from jobs.store import keys
from jobs.store.times import iso_or_none, server_ms
from jobs.webhooks.outbox import Delivery, Result


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A configured webhook."""

    name: str
    host: str
    """Host of its address; the rest may be a secret."""
    events: tuple[str, ...] | None
    """The events that it gets; None for all."""
    portals: tuple[str, ...] | None
    """The portals whose events it gets, of those that the reader may see; None for all."""
    waiting: int
    """Events that are still to be delivered."""
    oldest_waiting_at: str | None
    """When the oldest of them happened; None if nothing waits."""
    oldest_waiting_s: float
    """Seconds since then; 0 if nothing waits."""
    delivered: int
    """Events delivered, ever."""
    failed: int
    """Tries that failed and were, or are, repeated."""
    given_up: int
    """Events given up, ever."""
    last_delivered_at: str | None
    """When an event was last delivered."""
    deliveries: tuple[Delivery, ...]
    """The last 20 tries, newest first."""


_decode = msgspec.json.Decoder(Delivery).decode


async def read_webhooks(
    redis: Redis, webhooks: Sequence[Webhook], sees: Callable[[str], bool] = lambda _: True
) -> list[WebhookView]:
    """Read webhooks in one round trip.

    Args:
        redis: the connection.
        webhooks: those that are configured.
        sees: whether the reader may see a portal of this name; names of others, and tries about them, are left out.
    """
    pipe = redis.pipeline(transaction=False)
    pipe.time()
    for webhook in webhooks:
        pipe.hmget(keys.webhook(webhook.name), [*Result, "delivered_ms"])
        pipe.zcard(keys.unsent(webhook.name))
        pipe.zrange(keys.unsent(webhook.name), 0, 0, withscores=True)
        pipe.lrange(keys.deliveries(webhook.name), 0, -1)
    time, *replies = await pipe.execute()
    now_ms = server_ms(time)
    of_each = (replies[at : at + 4] for at in range(0, len(replies), 4))
    return [_view(webhook, answers, now_ms, sees) for webhook, answers in zip(webhooks, of_each, strict=True)]


def _view(webhook: Webhook, answers: Sequence[Any], now_ms: int, sees: Callable[[str], bool]) -> WebhookView:
    counts, waiting, oldest, deliveries = answers
    delivered, failed, given_up, delivered_ms = (int(count or 0) for count in counts)
    oldest_ms = int(oldest[0][1]) if oldest else 0
    return WebhookView(
        name=webhook.name,
        host=webhook.host,
        events=webhook.events,
        portals=None if webhook.portals is None else tuple(filter(sees, webhook.portals)),
        waiting=waiting,
        oldest_waiting_at=iso_or_none(oldest_ms),
        oldest_waiting_s=max((now_ms - oldest_ms) / 1000, 0.0) if oldest_ms else 0.0,
        delivered=delivered,
        failed=failed,
        given_up=given_up,
        last_delivered_at=iso_or_none(delivered_ms),
        deliveries=tuple(one for one in map(_decode, deliveries) if sees(one.portal)),
    )
