"""Several commands in one round trip, over a connection that has nothing left from before."""

import asyncio
import struct
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from arq.connections import ArqRedis
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from cli.embedded import EmbeddedServer
from jobs.store.bounds import BoundedTcp
from jobs.store.connection import connect
from jobs.store.primary import NotPrimary
from jobs.store.round_trip import round_trip
from tests.support.waiting import until

_INTEGERS = st.integers(-(2**63), 2**63 - 1)
_NAMES = st.sampled_from(["EVALSHA", "CONFIG GET", "SET"])
_ARGUMENTS = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), _INTEGERS, st.floats(allow_nan=False))
)


@pytest.fixture
async def lonely(server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    """A client that opens one connection and uses it for everything."""
    client = connect(server.url, patience_s=3)
    yield client
    await client.aclose(close_connection_pool=True)


async def id_of(client: ArqRedis) -> int:
    [number] = await round_trip(client, [("CLIENT", "ID")])
    return int(number)


async def answered(connection: Any) -> bool:
    """Tell whether a reply is there that nobody has taken."""
    return bool(connection._reader._buffer)


async def hung_up(connection: Any) -> bool:
    """Tell whether it is known that the server has closed a connection."""
    return not connection.is_quiet()


async def test_replies_come_in_order_with_the_servers_errors_among_them(lonely: ArqRedis) -> None:
    replies = await round_trip(lonely, [("SET", "a", 1), ("LPUSH", "a", 2), ("GET", "a"), ("INCRBY", "a", 41)])
    assert [type(reply) for reply in replies] == [bytes, ResponseError, bytes, int]
    assert (replies[0], replies[2], replies[3]) == (b"OK", b"1", 42)


async def test_a_connection_is_used_again(lonely: ArqRedis) -> None:
    first = await id_of(lonely)
    assert [await id_of(lonely) for _ in range(5)] == [first] * 5


async def test_many_at_a_time_get_their_own_replies(lonely: ArqRedis) -> None:
    async def echo(number: int) -> bool:
        replies = await round_trip(lonely, [("ECHO", number), ("ECHO", -number)])
        return replies == [b"%d" % number, b"-%d" % number]

    assert all(await asyncio.gather(*(echo(number) for number in range(1, 100))))


async def test_a_reply_that_nobody_read_is_not_taken_for_another_ones(lonely: ArqRedis) -> None:
    first = await id_of(lonely)
    connection: Any = await lonely.connection_pool.get_connection()
    await connection.send_command("ECHO", "left over")
    await until(lambda: answered(connection))
    await lonely.connection_pool.release(connection)
    assert await round_trip(lonely, [("ECHO", "mine")]) == [b"mine"]
    assert await id_of(lonely) != first


async def test_what_was_sent_over_a_connection_that_broke_is_sent_again(redis: ArqRedis, lonely: ArqRedis) -> None:
    first = await id_of(lonely)
    for is_noticed in (True, False):
        await redis.execute_command("CLIENT", "KILL", "ID", await id_of(lonely))
        if is_noticed:
            connection: Any = lonely.connection_pool._available_connections[-1]
            await until(partial(hung_up, connection))
        assert await round_trip(lonely, [("ECHO", "again"), ("ECHO", "and again")]) == [b"again", b"and again"]
    assert await id_of(lonely) != first


async def test_a_connection_of_a_former_primary_is_not_used(lonely: ArqRedis) -> None:
    first = await id_of(lonely)
    lonely.connection_pool.generation.begin()  # type: ignore[attr-defined]
    assert await id_of(lonely) != first


async def test_a_server_that_has_become_a_replica_is_left(server: EmbeddedServer, redis: ArqRedis) -> None:
    impatient = connect(server.url, patience_s=-5)
    try:
        assert await round_trip(impatient, [("SET", "a", 1)]) == [b"OK"]
        await redis.execute_command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(NotPrimary):
            await round_trip(impatient, [("SET", "a", 2)])
    finally:
        await redis.execute_command("REPLICAOF", "NO", "ONE")
        await impatient.aclose(close_connection_pool=True)


@given(_NAMES, _ARGUMENTS)
@example("SET", [1000000.0, 1e300, 0.1 + 0.2, float("inf"), b"", ""])
@example("SET", [memoryview(b"abc"), struct.pack("<H", 7)])
def test_commands_are_packed_as_redis_py_packs_them(name: str, arguments: list[Any]) -> None:
    ours, theirs = BoundedTcp(host="nowhere", stall_s=1), Connection(host="nowhere")
    assert b"".join(ours.pack_command(name, *arguments)) == b"".join(theirs.pack_command(name, *arguments))


@pytest.mark.parametrize("argument", [True, None, object()])
def test_what_redis_py_refuses_to_send_is_refused(argument: object) -> None:
    with pytest.raises(Exception, match="Invalid input of type"):
        BoundedTcp(host="nowhere", stall_s=1).pack_command("SET", argument)
