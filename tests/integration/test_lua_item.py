"""Lua writes items as Python reads them: both sides have the same layout."""

from importlib import resources
from typing import Any

import pytest
from arq.connections import ArqRedis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from jobs.ledger.items import Call, Item
from jobs.store.lua_constants import with_constants
from jobs.words.outcomes import Code
from tests.support.strategies import items

INCLUDES = resources.files("jobs.store.lua").joinpath("includes")
SOURCE = with_constants(INCLUDES.joinpath("item.lua").read_text("utf-8"))
#: All examples use the same server; nothing is kept there.
LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def evaluate(redis: ArqRedis, expression: str, *args: Any) -> Any:
    return await redis.execute_command("EVAL", f"{SOURCE}\nreturn {expression}", 0, *args)


@LAW
@given(st.integers(0, 65_535), st.integers(0, 65_535), st.integers(1, 1000))
async def test_a_fresh_item_is_the_one_that_python_would_write(
    redis: ArqRedis, segment: int, start: int, count: int
) -> None:
    count = min(count, 65_536 - start)
    written = await evaluate(
        redis, "fresh_item(tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))", segment, start, count
    )
    fresh = Item(call=Call.PUT, segment=segment, positions=range(start, start + count))
    assert written == fresh.encode()
    assert Item.decode(written) == fresh
    assert fresh.reason is Code.CONNECTION_LOST


@LAW
@given(items)
async def test_a_doubtful_item_is_the_same_with_a_doubt_and_an_attempt_more(redis: ArqRedis, item: Item) -> None:
    written = await evaluate(redis, "doubtful_item(ARGV[1])", item.encode())
    expected = replace(item, call=Call.LOOK_UP, doubtful=True, seen_refused=False, attempts=min(item.attempts + 1, 255))
    assert written == expected.encode()


@LAW
@given(items)
async def test_what_counts_as_a_retry_is_what_has_failed_before(redis: ArqRedis, item: Item) -> None:
    assert bool(await evaluate(redis, "is_retry(ARGV[1])", item.encode())) == (item.failures > 0)


@pytest.mark.parametrize("call", list(Call))
def test_the_letters_of_the_calls_are_the_same(call: Call) -> None:
    assert with_constants(call.name) == f"'{chr(call)}'"
