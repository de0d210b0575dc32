"""Waking couriers through arq. A message contains only the webhook's name: a lost one, or one too many, is harmless."""

from collections.abc import Sequence

from arq.connections import ArqRedis

from jobs.lanes.wake import wake
from jobs.webhooks.outbox import due_webhooks

DELIVER = "deliver_webhooks"
"""The name of the arq function that sends the events of one webhook."""


async def wake_couriers(redis: ArqRedis, names: Sequence[str]) -> None:
    """Ask the workers to send what is due.

    Args:
        redis: the connection.
        names: the configured webhooks.
    """
    for name in await due_webhooks(redis, names) if names else ():
        await wake(redis, DELIVER, name)
