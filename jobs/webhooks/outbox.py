"""The outbox: announcing webhooks, so that events are kept for them, and taking events out of it one by one.

Per webhook and job, one event is not sent before its predecessor has been delivered or given up. A worker that dies
while it sends one keeps it for `CLAIM_TTL_S`; then it is sent again, with the same ID.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from redis.asyncio import Redis

from config.settings import Webhook
from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.scripts import Script
from jobs.webhooks.events import Event, decode_event

ANNOUNCE = Script("announce_webhooks")
CLAIM = Script("claim_events", replicated=True)
SETTLE = Script("settle_event")

GIVE_UP_AFTER_S = 86_400.0
"""An event that was not delivered within this time is given up."""

LONGEST_WAIT_S = 7200.0
"""The longest time between two tries."""

MOST_AT_ONCE = 4
"""How many events are sent to one webhook at a time, by all workers together."""

CLAIM_TTL_S = 30.0
"""How long a worker has an event, which is longer than a try can take."""

#: A webhook that no worker has named for this long is no longer configured.
_ANNOUNCED_FOR_S = 86_400.0


class Result(StrEnum):
    """What a try came to. Each is also the name of a counter."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It is tried again."""
    GIVEN_UP = "given_up"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A try to send an event, for people. Neither the address nor the answer is kept."""

    at: str
    """When it ended."""
    event: str
    """Type of the event."""
    event_id: str
    """The event's ID, which receivers got as `webhook-id`."""
    portal: str
    """Name of the portal; empty for a refused request that named none."""
    job: str | None
    """ID of the job; None for an event about a portal."""
    attempt: int
    """How many tries there have been, this one included."""
    result: Result
    """`delivered`; `failed` and to be tried again; or `given_up`."""
    status: int | None
    """HTTP status of the answer; None if there was none."""
    error: str | None
    """Why it failed, in a few words; None if it was delivered."""
    took_ms: int
    """How long it took."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that this worker is to send.

    Attributes:
        event: what is sent.
        stream: the job or portal whose events are sent one after another.
        attempt: how many tries there have been, this one included.
        age_s: time since it happened.
    """

    event: Event
    stream: str
    attempt: int
    age_s: float


async def announce(redis: Redis, webhooks: Iterable[Webhook]) -> list[str]:
    """Have events kept for these webhooks from now on, for a day.

    Webhooks that nobody has announced for a day are forgotten, with the events that wait for them.

    Returns:
        The names of those that were forgotten.
    """
    args: list[str] = []
    for webhook in webhooks:
        wanted = {"events": webhook.events, "portals": webhook.portals}
        told = {name: words for name, words in wanted.items() if words is not None}
        args += [webhook.name, msgspec.json.encode(told).decode()]
    reply = await ANNOUNCE(redis, [keys.WEBHOOKS], [round(_ANNOUNCED_FOR_S * 1000), *args])
    return [name.decode() for name in reply]


async def due_webhooks(redis: Redis, names: Sequence[str]) -> list[str]:
    """Return which of the webhooks have events that are due now."""
    pipe = redis.pipeline(transaction=False)
    Clocks.ask(pipe)
    for name in names:
        pipe.zrange(keys.due_events(name), 0, 0, withscores=True)
    replies = iter(await pipe.execute())
    now_ms = Clocks.take(replies).steady_ms
    return [name for name, first in zip(names, replies, strict=True) if first and first[0][1] <= now_ms]


async def is_busy(redis: Redis, names: Sequence[str]) -> bool:
    """Check whether events of the webhooks are due now, or being sent."""
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.zcard(keys.sending(name))
    return any(await pipe.execute()) or bool(await due_webhooks(redis, names))


async def count_waiting(redis: Redis, names: Sequence[str]) -> int:
    """Return how many events wait for the webhooks."""
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.zcard(keys.unsent(name))
    return sum(await pipe.execute())


async def claim(redis: Redis, name: str) -> list[Claimed]:
    """Take events of a webhook to send them, no more than may be sent to it at a time."""
    args = [MOST_AT_ONCE, round(CLAIM_TTL_S * 1000)]
    now_ms, *claimed = await CLAIM(redis, [keys.webhook(name)], args)
    return [_claimed(now_ms, *one) for one in claimed]


def _claimed(now_ms: int, stream: bytes, attempt: int, data: bytes) -> Claimed:
    event = decode_event(data)
    return Claimed(event, stream.decode(), attempt, (now_ms - event.at_ms) / 1000)


async def settle(redis: Redis, name: str, claimed: Claimed, delivery: Delivery, delay_s: float = 0.0) -> bool:
    """Record what became of an event.

    Args:
        redis: the connection.
        name: the webhook's name.
        claimed: the event.
        delivery: how the try ended.
        delay_s: seconds until a failed one is sent again.

    Returns:
        False if another worker had taken the event over, or the outbox was emptied.
    """
    args: list[bytes | str | int] = [claimed.stream, claimed.event.id, claimed.attempt, delivery.result]
    args += [round(delay_s * 1000), msgspec.json.encode(delivery)]
    [state] = await SETTLE(redis, [keys.webhook(name)], args)
    return bool(state == b"ok")
