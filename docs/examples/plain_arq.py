"""Submit a list of contact IDs to crm-sweep through arq. crm-sweep need not be installed: arq is all it takes.

    python plain_arq.py redis://127.0.0.1:6379/0 main ticket-4711 101 102 103

Prints the job's ID, by which the HTTP API, the command line and the page know it immediately.
Exit codes: 0 the request was accepted, 1 it was refused, 2 bad usage.
"""

import asyncio
import json
import sys

from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, SerializationError


def serialize(value: object) -> bytes:
    """Write JSON; arq's own default, pickle, is never read by crm-sweep."""
    return json.dumps(value).encode()


async def hand_in(redis_url: str, portal: str, job_id: str, contact_ids: list[int]) -> None:
    """Submit a list and wait until a worker has accepted it; the deletion continues on its own."""
    redis = await create_pool(
        RedisSettings.from_dsn(redis_url),
        job_serializer=serialize,
        job_deserializer=json.loads,
        default_queue_name="crm-sweep",
    )
    try:
        job = await redis.enqueue_job(
            "delete_contacts",
            portal=portal,
            contact_ids=contact_ids,
            label="from billing",
            # Chosen by us, so that sending twice is safe: the same list stays one job. Without it, arq chooses one.
            _job_id=job_id,
        )
        if job is None:
            # arq has a request with this ID, waiting or answered in the last day. Ours was not sent: that one counts.
            sys.stderr.write(f"{job_id} was submitted before; its first list counts\n")
            job = Job(job_id, redis, _queue_name="crm-sweep", _deserializer=json.loads)
        sys.stdout.write(f"{job.job_id}\n")
        await job.result(timeout=60)
    except SerializationError as refusal:  # how arq raises an error that is only text, as all errors are in JSON
        sys.exit(f"refused: {refusal}")
    finally:
        await redis.aclose(close_connection_pool=True)


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.stderr.write(__doc__)
        sys.exit(2)
    url, portal, job_id, *ids = sys.argv[1:]
    asyncio.run(hand_in(url, portal, job_id, [int(contact_id) for contact_id in ids]))
