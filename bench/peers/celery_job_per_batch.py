"""Celery, one task per batch: prefork with two processes (one per core of the usual machine), requests, JSON.

Prefork is Celery's default and holds one call per process, so `concurrency` does not apply: the two processes hold two
portal slots. The chatter between workers (gossip, mingle, heartbeat) is off; tasks are published over one producer.
"""

import asyncio
import sys

import requests
from celery import Celery
from celery.signals import worker_ready
from redis.asyncio import Redis

from bench.load import Load

_PROCESSES = 2
_QUEUE = "celery"

app = Celery("bench")
_session = requests.Session()


def _configure(load: Load) -> None:
    url = load.redis_url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
    app.conf.update(broker_url=url, result_backend=url, worker_redirect_stdouts=False, portal_url=load.portal_url)


@app.task(name="delete_batch")  # type: ignore[untyped-decorator]  # Celery publishes no types
def delete_batch(contact_ids: list[int]) -> list[int]:
    """Run as the task: one PUT, which returns the deleted IDs."""
    url = f"{app.conf.portal_url}/api/2.0/crm/contact"
    response = _session.put(url, params={"fields": "id"}, json={"contactids": contact_ids}, timeout=60)
    response.raise_for_status()
    deleted = [contact["id"] for contact in response.json()["response"]]
    if set(deleted) != set(contact_ids):
        raise RuntimeError("the portal did not delete exactly what it was asked to")
    return deleted


async def enqueue(load: Load) -> None:
    """Publish every batch as a task whose argument is its IDs."""
    _configure(load)
    await asyncio.to_thread(_publish, load)


def _publish(load: Load) -> None:
    with app.producer_or_acquire() as producer:
        for batch in load.batches():
            delete_batch.apply_async((batch,), producer=producer)
    app.close()


async def is_finished(load: Load) -> bool:
    """Check whether every task has stored its result."""
    async with Redis.from_url(load.redis_url) as redis:
        results = sum([1 async for _ in redis.scan_iter("celery-task-meta-*", count=1000)])
    return results >= len(load.batches())


@worker_ready.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def _say_ready(**_: object) -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    _configure(Load.from_argument(sys.argv[1]))
    quiet = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", "--pool", "prefork", "--concurrency", str(_PROCESSES), *quiet])
