"""The scripts hand out the canary first, then the rest, with the same arithmetic as Python and nothing twice."""

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

from arq.connections import ArqRedis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from jobs.accept.submission import CanaryTerms
from jobs.lanes.grants import Batch
from jobs.lanes.lease import LaneLedger, rescue
from jobs.ledger.canary import Canary, largest_canary
from jobs.ledger.items import Call, Item
from jobs.ledger.rows import read_rows
from jobs.store import keys
from jobs.store.lua_constants import with_constants
from jobs.view.job import read_job
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from tests.support.lanes import PORTAL, accept, answer, lapse, lose, start_lane, terms
from tests.support.steering import control

INCLUDES = resources.files("jobs.store.lua").joinpath("includes")
SOURCE = with_constants(
    "\n".join(INCLUDES.joinpath(f"{name}.lua").read_text("utf-8") for name in ("job", "item", "canary"))
)
SKIPPED = {code for code in Code if code.outcome is Outcome.SKIPPED}
#: All examples use the same server.
LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

canaries = st.one_of(st.integers(1, 400), st.integers(SEGMENT_SIZE - 5, 4 * SEGMENT_SIZE)).flatmap(
    lambda total: st.integers(1, total).map(lambda contacts: Canary(contacts=contacts, total=total))
)
some_canaries = st.one_of(
    st.integers(1, 60).flatmap(lambda total: st.integers(1, total).map(lambda contacts: Canary(contacts, total))),
    st.builds(Canary, contacts=st.integers(1, 1500), total=st.integers(SEGMENT_SIZE - 3, 2 * SEGMENT_SIZE + 9)),
)


async def evaluate(redis: ArqRedis, expression: str, *args: Any) -> Any:
    return await redis.execute_command(
        "EVAL",
        f"{SOURCE}\nlocal a = {{}}\nfor _, v in ipairs(ARGV) do a[#a + 1] = tonumber(v) end\nreturn {expression}",
        0,
        *args,
    )


def places_of(segment: int, item: bytes) -> list[int]:
    decoded = Item.decode(item)
    assert (decoded.call, decoded.segment, decoded.attempts) == (Call.PUT, segment, 0)
    return [segment * SEGMENT_SIZE + position for position in decoded.positions]


@LAW
@given(canaries, st.data())
async def test_the_next_of_the_canary_are_those_of_python(redis: ArqRedis, canary: Canary, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, canary.contacts - 1))
    most = data.draw(st.integers(1, 1000))
    written = await evaluate(
        redis, "fresh_item(next_of_canary(a[1], a[2], a[3], a[4]))", index, canary.contacts, canary.total, most
    )
    expected = [canary.place(at) for at in range(index, min(index + most, canary.contacts))]
    segment = expected[0] // SEGMENT_SIZE
    assert places_of(segment, written) == [place for place in expected if place // SEGMENT_SIZE == segment]


@LAW
@given(canaries.filter(lambda canary: canary.contacts < canary.total), st.data())
@example(Canary(65_530, 65_531), None)
@example(Canary(100, 2 * SEGMENT_SIZE), None)
async def test_the_next_of_the_rest_are_all_others(redis: ArqRedis, canary: Canary, data: st.DataObject | None) -> None:
    first = {canary.place(index) for index in range(canary.contacts)}
    rest = [place for place in range(canary.total) if place not in first]
    index = data.draw(st.integers(0, len(rest) - 1)) if data else 0
    most = data.draw(st.integers(1, 1000)) if data else 1000
    cursor = rest[index - 1] + 1 if index else 0
    behind, written = await evaluate(
        redis,
        "{ (next_of_rest(a[1], a[2], a[3], a[4])), fresh_item(select(2, next_of_rest(a[1], a[2], a[3], a[4]))) }",
        cursor, canary.contacts, canary.total, most,
    )  # fmt: skip
    segment = rest[index] // SEGMENT_SIZE
    expected = [place for place in rest[index : index + most] if place // SEGMENT_SIZE == segment]
    assert places_of(segment, written) == expected
    assert behind == (canary.total if expected[-1] == rest[-1] else expected[-1] + 1)


@LAW
@given(st.integers(1, 2_147_483_647), st.data())
async def test_lists_of_any_size_are_counted_exactly(redis: ArqRedis, total: int, data: st.DataObject) -> None:
    canary = Canary(data.draw(st.integers(1, largest_canary(total))), total)
    index, place = data.draw(st.integers(0, canary.contacts - 1)), data.draw(st.integers(0, total))
    counted = await evaluate(
        redis,
        "{ canary_place(a[1], a[3], a[4]), canary_before(a[2], a[3], a[4]) }",
        index, place, canary.contacts, canary.total,
    )  # fmt: skip
    assert counted == [canary.place(index), canary.before(place)]
    if canary.contacts < total:
        at = data.draw(st.integers(0, total - canary.contacts - 1))
        found = await evaluate(redis, "rest_place(a[1], a[2], a[3])", at, canary.contacts, total)
        assert found - canary.before(found) == at
        assert canary.before(found) == canary.before(found + 1), "a place of the canary"


class Story:
    """One job, worked off by a lane that now and then dies, while somebody pauses it or cancels it."""

    def __init__(self, redis: ArqRedis, canary: Canary, sizes: Sequence[int], events: Sequence[str]) -> None:
        self.redis, self.canary = redis, canary
        self.sizes, self.events = sizes, [*events]
        self.handed_out: list[int] = []
        self.lanes = 0
        self.cancelled = False

    async def lane(self) -> LaneLedger:
        self.lanes += 1
        return await start_lane(self.redis, f"lane-{self.lanes}")

    async def run(self) -> None:
        total, ids = self.canary.total, range(1, self.canary.total + 1)
        terms_of_it = CanaryTerms(contacts=self.canary.contacts, allowed=total)
        job_id = await accept(self.redis, ids, canary=terms_of_it)
        ledger = await self.lane()
        while True:
            size = self.sizes[len(self.handed_out) % len(self.sizes)]
            grant = await ledger.next_batch(terms(batch_size=size, batch_size_max=size, look_up_size=10**6))
            if not isinstance(grant, Batch):
                break
            event = self.events.pop() if self.events else "answered"
            if grant.call is Call.PUT and grant.items[0].attempts == 0:
                self.note(grant, size)
            if event == "dies":
                await lapse(self.redis, f"lane-{self.lanes}")
                assert await rescue(self.redis, PORTAL, 0.0)
                ledger = await self.lane()
                continue
            if event == "pause":
                assert await control(self.redis, job_id, Event.PAUSE, by="test", lanes=0) is State.PAUSING
            if event == "cancel":
                self.cancelled = True
                await control(self.redis, job_id, Event.CANCEL, by="test", lanes=0)
            if event == "lost":
                await lose(self.redis, ledger, grant)
            else:
                await answer(self.redis, ledger, grant)
            if (await read_job(self.redis, job_id)).state is State.PAUSED:
                await control(self.redis, job_id, Event.RESUME, by="test", lanes=0)
        await self.check(job_id)

    def note(self, batch: Batch, size: int) -> None:
        [item] = batch.items
        assert 1 <= len(item.positions) <= size
        self.handed_out += [item.segment * SEGMENT_SIZE + position for position in item.positions]

    async def check(self, job_id: str) -> None:
        first = [self.canary.place(index) for index in range(self.canary.contacts)]
        rest = sorted(set(range(self.canary.total)).difference(first))
        sent = self.handed_out
        assert sent == [*first, *rest][: len(sent)]
        assert self.cancelled or len(sent) == self.canary.total
        codes, attempts = await self.read(job_id)
        skipped = BitMap(place for place, code in enumerate(codes) if code in SKIPPED)
        assert skipped == BitMap([*first, *rest][len(sent) :])
        assert BitMap(place for place, count in enumerate(attempts) if count == 0) == skipped
        facts = await self.redis.execute_command("HGETALL", keys.job(job_id))
        counted = {name[2:].decode(): int(count) for name, count in facts.items() if name.startswith(b"n:")}
        outcomes = [(Code(code).outcome, count) for code, count in Counter(codes).items()]
        expected = {one.value: sum(count for outcome, count in outcomes if outcome is one) for one in Outcome}
        assert {outcome: counted.get(outcome, 0) for outcome in expected} == expected
        assert facts[b"state"] == (b"cancelled" if self.cancelled else b"completed")

    async def read(self, job_id: str) -> tuple[bytearray, bytearray]:
        """Return the codes and the attempts of all contacts."""
        codes, attempts = bytearray(), bytearray()
        async for rows in read_rows(self.redis, job_id):
            codes += bytes(rows.codes)
            attempts += bytes(rows.attempts)
        return codes, attempts


events = st.lists(st.sampled_from(["answered", "answered", "lost", "dies", "pause", "cancel"]), max_size=8)


@LAW
@given(some_canaries, st.lists(st.integers(1, 1000), min_size=1, max_size=4), events)
async def test_every_contact_is_handed_out_once_and_the_canary_first(
    redis: ArqRedis, canary: Canary, sizes: list[int], happens: list[str]
) -> None:
    await redis.flushdb()
    if canary.total > 1000:
        sizes = [1000 - size % 100 for size in sizes]
    await Story(redis, canary, sizes, happens).run()
