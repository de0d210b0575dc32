"""Lanes without a portal: tests take batches from the real ledger and decide themselves what becomes of them."""

from typing import Any

from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from config.settings import Portal
from jobs.accept.submit import submit
from jobs.lanes.grants import Batch, Terms
from jobs.lanes.lease import LaneLedger
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call, Item
from jobs.ledger.rows import Line, read_results
from jobs.store import keys
from tests.support.submitting import request
from worker.decide import Decider
from worker.portal_answers import Deleted, Failure, LookedUp, Remedy, Visible

PORTAL = "main"

#: No pacing to speak of.
FAST: dict[str, Any] = {
    "requests_per_second": 1e6,
    "burst": 1000,
    "batch_size": 10,
    "batch_size_max": 1000,
    "look_up_size": 100,
    "linger_s": 0.0,
    "max_wait_s": 60.0,
}


def terms(**limits: Any) -> Terms:
    return Terms(**(FAST | limits))


DECIDER = Decider(
    Portal(name=PORTAL, url="http://127.0.0.1", token=SecretStr("t"), max_attempts=3), uniform=lambda _low, _high: 0.0
)

LOST = Failure(
    action=Remedy.RETRY, may_have_deleted=True, reason="timeout", http_status=None, message="staged", settle_s=0.0
)


def lane(
    redis: ArqRedis, name: str = "lane", ttl_s: float = 600.0, portal: str = PORTAL, configuration: str = ""
) -> LaneLedger:
    return LaneLedger(redis, portal, name, ttl_s, configuration)


async def start_lane(redis: ArqRedis, name: str = "lane", ttl_s: float = 600.0, configuration: str = "") -> LaneLedger:
    started = lane(redis, name, ttl_s, configuration=configuration)
    assert await started.acquire(1000)
    return started


async def accept(redis: ArqRedis, ids: Any, **facts: Any) -> str:
    accepted = await submit(redis, request(portal=PORTAL, ids=BitMap(ids), lanes=0, **facts))
    return accepted.job_id


async def take(ledger: LaneLedger, limits: Terms | None = None) -> Batch:
    grant = await ledger.next_batch(limits or terms())
    assert isinstance(grant, Batch), grant
    return grant


def forget_reply(ledger: LaneLedger, batch: Batch) -> None:
    """Let a lane ask for its last batch again, as if the reply had been lost."""
    ledger._free_place = batch.place
    ledger._request -= 1


async def ids_of(redis: ArqRedis, batch: Batch) -> list[list[int]]:
    lists = []
    for item in batch.items:
        data = await redis.execute_command("HGET", keys.segments(batch.job_id), str(item.segment))
        segment = BitMap.deserialize(data)
        lists.append([segment[position] for position in item.positions])
    return lists


async def answer(
    redis: ArqRedis, ledger: LaneLedger, batch: Batch, *, gone: Any = None, visible: dict[int, Visible] | None = None
) -> Settlement:
    """Record a good answer: a PUT deletes `gone` (by default all), a look-up sees `visible` (by default nothing)."""
    ids = await ids_of(redis, batch)
    everything = [one for item_ids in ids for one in item_ids]
    reply: Deleted | LookedUp
    if batch.call is Call.PUT:
        listed = frozenset(everything if gone is None else set(everything) & set(gone))
        reply = Deleted(listed, unlisted_doubtful=False, http_status=200)
    else:
        reply = LookedUp({one: right for one, right in (visible or {}).items() if one in everything}, everything, 200)
    settlement = DECIDER.settle(batch, ids, reply, batch.server_ms())
    assert await ledger.settle(batch, settlement)
    return settlement


async def lose(redis: ArqRedis, ledger: LaneLedger, batch: Batch, failure: Failure = LOST) -> None:
    settlement = DECIDER.settle(batch, await ids_of(redis, batch), failure, batch.server_ms())
    assert await ledger.settle(batch, settlement)


async def read_items(redis: ArqRedis, job_id: str) -> list[Item]:
    return [Item.decode(data) for data in await redis.execute_command("HVALS", keys.items(job_id))]


async def lapse(redis: ArqRedis, ledger_name: str, portal: str = PORTAL) -> None:
    """Make a lane's lease one that lapsed a moment ago."""
    seconds, _ = await redis.time()
    await redis.zadd(keys.leases(portal), {ledger_name: seconds * 1000 - 1})


async def lines_of(redis: ArqRedis, job_id: str, **filters: Any) -> list[Line]:
    return [line async for lines in read_results(redis, job_id, **filters) for line in lines]


def positions(batch: Batch) -> list[list[int]]:
    return [list(item.positions) for item in batch.items]


async def field(redis: ArqRedis, key: str, name: str) -> bytes | None:
    """Return one field of a hash."""
    value: bytes | None = await redis.execute_command("HGET", key, name)
    return value
