"""arq's messages as they are in Redis, read without executing any of their content.

Other services submit jobs with plain arq. Only messages in JSON are read: a pickle, arq's own default, would run
whatever its sender put into it.
"""

import secrets
from dataclasses import dataclass
from typing import Annotated

import msgspec
from arq.constants import in_progress_key_prefix, job_key_prefix, result_key_prefix, retry_key_prefix
from arq.jobs import serialize_result
from redis.asyncio import Redis

from config.errors import CrmSweepError
from jobs.store.connection import encode_payload
from jobs.store.keys import QUEUE
from jobs.store.times import server_ms
from jobs.words.errors import BadSubmission
from jobs.words.job_ids import check_job_id

FUNCTION = "delete_contacts"
"""Name of the arq function through which jobs are submitted."""

KEEP_RESULT_S = 86_400
"""How long arq's result of such a message is kept, seconds."""

#: 9999-12-31: a time that Python's datetime cannot represent would crash arq's main loop.
_LAST_MS = 253_402_300_799_000


class Envelope(msgspec.Struct):
    """The parts of a message, the arguments still unread."""

    function: str = msgspec.field(name="f")
    args: msgspec.Raw = msgspec.field(name="a")
    kwargs: msgspec.Raw = msgspec.field(name="k")
    enqueued_ms: Annotated[int, msgspec.Meta(ge=0, le=_LAST_MS)] = msgspec.field(name="et", default=0)


class UnreadableMessage(CrmSweepError, ValueError):
    """The bytes are not a message in JSON; the error's text says what they are and what was expected."""


_decode = msgspec.json.Decoder(Envelope).decode


def open_envelope(data: bytes) -> Envelope:
    """Read a message, leaving its arguments undecoded.

    Args:
        data: the message, from `arq:job:{id}`.

    Raises:
        UnreadableMessage: it is not a message, or not in JSON.
    """
    try:
        return _decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:  # the latter for brackets nested without end
        given = "a Python pickle, which is never loaded" if data[:1] == b"\x80" else f"not an arq message ({error})"
        wanted = "expected JSON: give arq a job_serializer such as orjson.dumps"
        raise UnreadableMessage(f"the message is {given}; {wanted}") from None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits in the queue, or is being worked on.

    Attributes:
        size: length of its payload in bytes.
        tail: the last bytes of the payload.
        due_ms: when it is due, Unix milliseconds.
    """

    size: int
    tail: bytes
    due_ms: float


async def find_message(redis: Redis, arq_job_id: str) -> Waiting | None:
    """Find a message in our queue without reading all of it; None if there is none, or its ID cannot be a job's."""
    try:
        check_job_id(arq_job_id)
    except BadSubmission:
        return None
    payload = job_key_prefix + arq_job_id
    pipe = redis.pipeline(transaction=True)
    pipe.strlen(payload)
    pipe.getrange(payload, -64, -1)
    pipe.zscore(QUEUE, arq_job_id)
    size, tail, due_ms = await pipe.execute()
    return Waiting(size, tail, due_ms) if size and due_ms is not None else None


async def read_message(redis: Redis, arq_job_id: str) -> bytes | None:
    """Read the payload of a message; None if there is none, or no longer."""
    data: bytes | None = await redis.get(job_key_prefix + arq_job_id)
    return data


async def read_head(redis: Redis, arq_job_id: str) -> bytes:
    """Read the first bytes of a message."""
    head: bytes = await redis.getrange(job_key_prefix + arq_job_id, 0, 255)
    return head


async def hold_message(redis: Redis, arq_job_id: str, ttl_ms: int) -> bool:
    """Mark a message as being worked on, as arq does, so that no worker takes it.

    Returns:
        False if a worker has it already.
    """
    mark, token = in_progress_key_prefix + arq_job_id, secrets.token_hex(8).encode()
    if await redis.set(mark, token, nx=True, px=ttl_ms):
        return True
    return bool(await redis.get(mark) == token)  # it is ours, and only the reply that said so was lost


async def finish_message(redis: Redis, arq_job_id: str, enqueued_ms: int, answer: str | Exception) -> None:
    """Take a message out of the queue and leave its result, as arq's worker does.

    Args:
        redis: the connection.
        arq_job_id: the message's ID.
        enqueued_ms: when it was enqueued, Unix milliseconds.
        answer: what the sender is told: the job's ID, or what was wrong.
    """
    now_ms = server_ms(await redis.time())
    result = serialize_result(
        FUNCTION,
        (),
        {},
        1,
        enqueued_ms,
        not isinstance(answer, Exception),
        answer,
        now_ms,
        now_ms,
        FUNCTION,
        QUEUE,
        arq_job_id,
        serializer=encode_payload,
    )
    pipe = redis.pipeline(transaction=True)
    pipe.set(result_key_prefix + arq_job_id, result or b"null", ex=KEEP_RESULT_S)
    pipe.delete(*(prefix + arq_job_id for prefix in (job_key_prefix, in_progress_key_prefix, retry_key_prefix)))
    pipe.zrem(QUEUE, arq_job_id)
    await pipe.execute()
