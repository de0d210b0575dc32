"""How long calls take and how many run at the same time."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Behaviour
from simulator.latency import Gate, Latency

milliseconds = st.floats(0, 1000)


@given(milliseconds, milliseconds, st.integers(0, 1000))
def test_the_time_of_a_call(base_ms: float, per_contact_ms: float, contacts: int) -> None:
    latency = Latency(Behaviour(base_ms=base_ms, per_contact_ms=per_contact_ms, read_per_contact_ms=1))
    assert latency.deletion_s(contacts) == pytest.approx((base_ms + per_contact_ms * contacts) / 1000)
    assert latency.reading_s(contacts) == pytest.approx((base_ms + contacts) / 1000)


@given(st.floats(0, 1), st.integers())
def test_jitter_stays_in_its_bounds(jitter: float, seed: int) -> None:
    latency = Latency(Behaviour(base_ms=100, jitter=jitter, seed=seed))
    assert 0.1 * (1 - jitter) - 1e-9 <= latency.deletion_s(5) <= 0.1 * (1 + jitter) + 1e-9


async def enter(gate: Gate, name: int, inside: list[int], leave: asyncio.Event) -> None:
    async with gate:
        inside.append(name)
        await leave.wait()
        inside.remove(name)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_extra_calls_wait_in_order() -> None:
    gate, inside = Gate(Behaviour(concurrency=2)), list[int]()
    doors = [asyncio.Event() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for name, door in enumerate(doors):
            group.create_task(enter(gate, name, inside, door))
        await settle()
        assert inside == [0, 1]
        doors[0].set()
        await settle()
        assert inside == [1, 2]
        doors[1].set()
        await settle()
        assert inside == [2, 3]
        doors[2].set()
        doors[3].set()


async def test_a_cancelled_call_gives_up_its_place() -> None:
    behaviour = Behaviour(concurrency=1)
    gate, inside, door = Gate(behaviour), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(enter(gate, name, inside, door)) for name in range(3)]
    await settle()
    tasks[1].cancel()
    door.set()
    await asyncio.wait(tasks, timeout=5)
    assert tasks[1].cancelled()
    assert tasks[2].done()
    async with asyncio.timeout(5), gate:
        pass


async def test_a_raised_limit_lets_waiting_calls_in() -> None:
    behaviour = Behaviour(concurrency=1)
    gate, inside, door = Gate(behaviour), list[int](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name in range(3):
            group.create_task(enter(gate, name, inside, door))
        await settle()
        assert inside == [0]
        behaviour.concurrency = 0
        gate.admit()
        await settle()
        assert inside == [0, 1, 2]
        door.set()


def test_switches_change_together_or_not_at_all() -> None:
    behaviour = Behaviour()
    with pytest.raises(msgspec.ValidationError):
        behaviour.change({"base_ms": 5, "jitter": 7})
    assert behaviour.base_ms == 0
    with pytest.raises(msgspec.ValidationError):
        behaviour.change({"no_such_switch": 1})
    behaviour.change({"base_ms": 5, "capacity_changes": [[1, 2]]})
    assert (behaviour.base_ms, behaviour.capacity_changes) == (5, [(1.0, 2.0)])
