"""Trying the failed contact IDs of a completed job again, within the same job and ledger."""

from collections.abc import Iterator

from arq.connections import ArqRedis
from ulid import ULID

from jobs.lanes.wake import wake_lanes
from jobs.ledger.items import Call, Item
from jobs.ledger.records import Record
from jobs.ledger.rows import Rows, read_rows
from jobs.store import keys
from jobs.store.keys import known_key
from jobs.store.scripts import Argument, Script
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State, move, refused

RETRY_FAILED = Script("retry_failed", replicated=True)

#: Contact IDs per item. They failed together with others before, so they are retried in small groups.
_TOGETHER = 100

_FAILED = {code for code in Code if code.outcome is Outcome.FAILED}


async def retry_failed(redis: ArqRedis, job_id: str, *, by: str, lanes: int = 1) -> tuple[State, int]:
    """Try the failed contact IDs again; everything else that is decided stays as it is.

    Args:
        redis: the connection.
        job_id: the ID of a completed job.
        by: who asks; kept with the job.
        lanes: how many lanes to wake.

    Returns:
        The job's state now, and how many contact IDs are tried again; if none, nothing has changed.

    Raises:
        UnknownJob: no such job.
        IllegalMove: it has not ended, or was cancelled.
    """
    key, token = known_key(job_id), str(ULID())
    while True:
        facts = await redis.execute_command("HMGET", key, "portal", "state", "n:failed", "retry_token", "finished_ms")
        portal, state, failed, before, finished_ms = facts
        if portal is None:
            raise UnknownJob(job_id)
        move(State(state.decode()), Event.RETRY_FAILED)
        if not int(failed or 0):
            return State(state.decode()), 0
        groups: list[Argument] = []
        count = segment = 0
        async for rows in read_rows(redis, job_id):
            for item in _failed(rows, segment):
                count += len(item.positions)
                groups += [segment, len(item.positions), _taken_back(item).encode(), item.encode()]
            segment += 1
        job_keys = [key, keys.portal(portal.decode())]
        reply = await RETRY_FAILED(
            redis, job_keys, [job_id, token, count, before or "", by, finished_ms or "", *groups]
        )
        match reply[0]:
            case b"ok":
                await wake_lanes(redis, portal.decode(), lanes)
                return State(reply[1].decode()), count
            case b"unknown":
                raise UnknownJob(job_id)
            case b"illegal":
                raise refused(State(reply[1].decode()), Event.RETRY_FAILED)
        # Another request has retried them while the ledger was read, and the job has completed again: start over.


def _failed(rows: Rows, segment: int) -> Iterator[Item]:
    """Group the failed contact IDs of a segment by what they have in common."""
    if _FAILED.isdisjoint(rows.codes):
        return  # as in nearly every segment
    groups: dict[tuple[int, int, int], list[int]] = {}
    for position, (code, attempts, http_status, _) in enumerate(rows.facts()):
        if code in _FAILED:
            groups.setdefault((attempts, http_status, code), []).append(position)
    for (attempts, http_status, code), positions in groups.items():
        for start in range(0, len(positions), _TOGETHER):
            yield Item(
                call=Call.PUT,
                segment=segment,
                positions=positions[start : start + _TOGETHER],
                # The ledger does not say which of them an attempt may have deleted late, so any of them may be gone.
                doubtful=True,
                attempts=attempts,
                http_status=http_status,
                reason=Code(code),
            )


def _taken_back(item: Item) -> Record:
    return Record(
        positions=item.positions,
        codes=bytes([Code.PENDING]) * len(item.positions),
        attempts=item.attempts,
        http_status=item.http_status,
        at_ms=0,
    )
