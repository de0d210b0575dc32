"""A state machine of jobs, lanes, portals and users, for test_ledger_machine.py and test_campaign_machine.py.

It drives the real scripts on a real server, with a portal that is a set in memory. Lanes die at any
moment, answers get lost before or after the deletion, deletions happen long after the answer was given up, calls are
repeated, users pause, resume and cancel. After every step each contact ID is in exactly one place and the counts add
up; at the end every job is finished and compared with what really happened, contact by contact.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from arq.connections import ArqRedis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.accept.submission import CanaryTerms
from jobs.accept.submit import submit
from jobs.lanes import presence
from jobs.lanes.grants import Batch, Grant, Idle, Lost, Surplus, Terms
from jobs.lanes.lease import LaneLedger, rescue
from jobs.lanes.settlement import Settlement
from jobs.ledger.canary import Canary, largest_canary
from jobs.ledger.items import Call, Item
from jobs.ledger.records import SegmentLedger
from jobs.ledger.rows import Line
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.steering.priority import set_priority
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.store.clock import TICK_S
from jobs.store.connection import connect
from jobs.view.canary import CanaryView
from jobs.view.job import Job, read_job
from jobs.words.errors import IllegalMove, JobHasEnded
from jobs.words.outcomes import Code, Outcome
from jobs.words.priority import Priority
from jobs.words.states import MOVES, CanaryState, Event, State
from tests.support.clocks import jump, tick
from tests.support.lanes import forget_reply
from tests.support.ledger_snapshot import Snapshot, take_snapshot
from tests.support.portal_model import ModelClient, PortalModel, Process
from tests.support.steering import control
from tests.support.submitting import request
from worker.decide import Decider

T = TypeVar("T")

CANARIES = st.one_of(
    st.none(),
    st.builds(
        CanaryTerms,
        contacts=st.sampled_from([1, 1, 2, 2, 3, 5, 60]),
        allowed=st.integers(0, 2),
        confirm=st.booleans(),
    ),
)

#: How a canary may go on from each of its states.
NEXT = {
    CanaryState.RUNNING: {CanaryState.WAITING, CanaryState.PASSED, CanaryState.CANCELLED},
    CanaryState.WAITING: {CanaryState.PASSED, CanaryState.CANCELLED},
    CanaryState.PASSED: set(),
    CanaryState.CANCELLED: set(),
}

#: States in which a resume lifts what holds the whole portal.
STANDS_BY = {State.PLANNING, State.QUEUED, State.RUNNING, State.CANCELLING}

PORTAL = "main"
#: The configurations of the two living workers. A fault of one does not hold the other.
CONFIGURATIONS = ("old", "new")
TERMS = Terms(
    requests_per_second=1e6, burst=1000, batch_size=7, batch_size_max=7, look_up_size=5, linger_s=0.0, max_wait_s=60.0
)
DECIDER = Decider(
    Portal.model_validate({"name": PORTAL, "url": "http://127.0.0.1", "token": "t", "max_attempts": 3}),
    uniform=lambda _low, _high: 0.0,
)


@dataclass
class Lane:
    """A lane of the test, with what it holds and the result of its call."""

    ledger: LaneLedger
    token: str
    batch: Batch | None = None
    done: tuple[Batch, Settlement] | None = None
    terms: Terms = TERMS
    process: str = "old"


class LedgerMachine(RuleBasedStateMachine):
    """The state machine that the module describes."""

    #: All examples share a loop and its connections.
    loop: asyncio.AbstractEventLoop
    redis: ArqRedis

    jobs = Bundle("jobs")
    lanes = Bundle("lanes")

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None
        self.do(self.redis.flushdb())
        self.do(tick(self.redis))
        for configuration in CONFIGURATIONS:
            self.do(presence.beat(self.redis, f"worker-{configuration}", [PORTAL], {PORTAL: configuration}))
        self.processes = {configuration: Process.start(self.redis) for configuration in CONFIGURATIONS}
        self.portal = PortalModel()
        self.ids: dict[str, BitMap] = {}
        self.canaries: dict[str, Canary | None] = {}
        self.seen_canaries: dict[str, CanaryView] = {}
        self.sent: Counter[tuple[str, int]] = Counter()
        self.doubted: set[tuple[str, int]] = set()
        self.tokens = 0
        self.ticked_s = time.monotonic()

    def do(self, work: Awaitable[T]) -> T:
        """Do something that may change what Redis holds."""
        self._snapshot = None
        return self.read(work)

    def read(self, work: Awaitable[T]) -> T:
        """Do something that changes nothing."""

        async def wait() -> T:
            return await work

        return self.loop.run_until_complete(wait())

    @property
    def now(self) -> Snapshot:
        """All that Redis says; it is read once after whatever was done last."""
        if self._snapshot is None:
            self._snapshot = self.read(take_snapshot(self.redis, [*self.ids], PORTAL))
        return self._snapshot

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._snapshot.jobs[job_id] if self._snapshot else self.read(read_job(self.redis, job_id))

    def teardown(self) -> None:
        if self.ids:
            self.finish_everything()
            self.compare_with_the_portal()

    # What users and other services do

    @initialize(target=jobs, ids=st.sets(st.integers(1, 420), min_size=1, max_size=60), canary=CANARIES)
    def first_job(self, ids: set[int], canary: CanaryTerms | None) -> str:
        return self.accept(ids, canary)

    @rule(target=jobs, ids=st.sets(st.integers(1, 420), min_size=1, max_size=40), canary=CANARIES)
    def another_job(self, ids: set[int], canary: CanaryTerms | None) -> Any:
        return self.accept(ids, canary) if len(self.ids) < 4 else multiple()

    def accept(self, ids: set[int], canary: CanaryTerms | None) -> str:
        canary = self.as_allowed(canary, len(ids))
        submission = request(portal=PORTAL, ids=BitMap(ids), lanes=0, canary=canary)
        job_id = self.do(submit(self.redis, submission)).job_id
        self.ids[job_id] = BitMap(ids)
        self.canaries[job_id] = Canary(canary.contacts, len(ids)) if canary else None
        return job_id

    def as_allowed(self, canary: CanaryTerms | None, total: int) -> CanaryTerms | None:
        """Return a canary that is not larger than its job allows."""
        return replace(canary, contacts=min(canary.contacts, largest_canary(total))) if canary else None

    @rule(job_id=jobs, event=st.sampled_from([Event.PAUSE, Event.RESUME, Event.RESUME, Event.CANCEL]))
    def somebody_steers(self, job_id: str, event: Event) -> None:
        before = self.job(job_id).state
        lifts = event is Event.RESUME and before in STANDS_BY
        lifts = lifts and bool(self.do(self.redis.exists(keys.faults(PORTAL))))
        try:
            after = self.do(control(self.redis, job_id, event, by="test", lanes=0))
        except IllegalMove:
            assert (before, event) not in MOVES
            assert not lifts
        else:
            assert (before, event) in MOVES or (lifts and after is before)
            assert after is self.job(job_id).state

    @rule(job_id=jobs)
    def somebody_tries_the_failed_ones_again(self, job_id: str) -> None:
        before = self.job(job_id)
        try:
            state, count = self.do(retry_failed(self.redis, job_id, by="test", lanes=0))
        except IllegalMove:
            assert before.state is not State.COMPLETED
            return
        assert count == before.counts[Outcome.FAILED]
        assert state is (State.QUEUED if count else State.COMPLETED)
        failed = {line.contact_id for line in self.now.lines[job_id] if line.code is Code.PENDING}
        assert len(failed) == count
        self.doubted.update((job_id, one) for one in failed)

    @rule(job_id=jobs, priority=st.sampled_from(Priority))
    def somebody_changes_a_priority(self, job_id: str, priority: Priority) -> None:
        ended = self.job(job_id).ended
        try:
            self.do(set_priority(self.redis, job_id, priority, by="test"))
        except JobHasEnded:
            assert ended
        else:
            assert self.job(job_id).priority is priority

    @rule(concurrency=st.sampled_from([1, 2, 64, CONFIGURED]))
    def somebody_changes_how_many_calls_may_be_in_flight(self, concurrency: int | str) -> None:
        self.do(set_limits(self.redis, DECIDER.portal, by="test", max_concurrency=concurrency))

    # What lanes do

    @rule(target=lanes, configuration=st.sampled_from(CONFIGURATIONS))
    def a_lane_starts(self, configuration: str) -> Any:
        self.tokens += 1
        token = f"lane-{self.tokens}"
        lane = Lane(LaneLedger(self.redis, PORTAL, token, 600.0, configuration), token, process=configuration)
        return lane if self.do(lane.ledger.acquire(4)) else multiple()

    @rule(lane=lanes)
    def it_takes_a_batch(self, lane: Lane) -> None:
        if lane.batch or (lane.done and lane.done[1].items):
            return
        grant = self.ask(lane)
        if lane.done and isinstance(grant, Idle | Surplus):  # it keeps its lease until the last batch is recorded
            assert not self.do(rescue(self.redis, PORTAL, 0.0))
            return
        if isinstance(grant, Idle | Surplus | Lost):  # it has no lease any more
            self.do(lane.ledger.acquire(100))
        elif isinstance(grant, Batch):
            lane.batch = grant

    @rule(lane=lanes)
    def the_reply_was_lost_and_it_asks_again(self, lane: Lane) -> None:
        if lane.batch and not lane.done:
            forget_reply(lane.ledger, lane.batch)
            again = self.ask(lane)
            assert isinstance(again, Batch)
            assert (again.seq, again.items) == (lane.batch.seq, lane.batch.items)
            lane.batch = again

    def ask(self, lane: Lane) -> Grant:
        """Ask for a batch."""
        if time.monotonic() - self.ticked_s > TICK_S:
            self.do(tick(self.redis))
            self.ticked_s = time.monotonic()
        return self.do(lane.ledger.next_batch(lane.terms))

    @rule(
        lane=lanes,
        fate=st.sampled_from(
            [
                "answered",
                "answered",
                "answered",
                "lost_after",
                "lost_before",
                "late",
                "throttled",
                "unreachable",
                "stop",
            ]
        ),
    )
    def it_calls_the_portal(self, lane: Lane, fate: str) -> None:
        if lane.batch is None or lane.done:
            return
        batch, lane.batch = lane.batch, None
        lane.done = batch, self.do(self.work(lane, batch, fate))

    async def work(self, lane: Lane, batch: Batch, fate: str) -> Settlement:
        client = ModelClient(
            self.portal,
            fate,
            TERMS.look_up_size,
            send=lambda ids: self.on_send(lane, batch, ids),
            doubt=lambda ids: self.doubted.update((batch.job_id, one) for one in ids),
        )
        return await self.processes[lane.process].work(
            lane.ledger,
            batch,
            client=client,
            planner=self.planner(lane, batch, fate),
            decider=DECIDER,
            terms=lane.terms,
        )

    def planner(self, _lane: Lane, _batch: Batch, _fate: str) -> Any:
        """Return what takes the steps of surveys."""
        return None

    def on_send(self, _lane: Lane, batch: Batch, ids: list[int]) -> None:
        """Note that a PUT leaves."""
        self.sent.update((batch.job_id, one) for one in ids)

    @rule(lane=lanes, twice=st.booleans())
    def it_records(self, lane: Lane, twice: bool) -> None:
        if lane.done:
            batch, settlement = lane.done
            assert self.record(lane)
            if twice:
                assert not self.do(lane.ledger.settle(batch, settlement))

    def record(self, lane: Lane) -> bool:
        """Record what became of a batch; return whether that was still possible."""
        assert lane.done
        recorded = self.do(lane.ledger.settle(*lane.done))
        lane.done = None
        return recorded

    @rule(lane=lanes, times=st.integers(1, 5))
    def it_works_for_a_while(self, lane: Lane, times: int) -> None:
        for _ in range(times):
            LedgerMachine.it_takes_a_batch.__wrapped__(self, lane)  # type: ignore[attr-defined]
            LedgerMachine.it_calls_the_portal.__wrapped__(self, lane, "answered")  # type: ignore[attr-defined]
            LedgerMachine.it_records.__wrapped__(self, lane, twice=False)  # type: ignore[attr-defined]

    @rule(lane=consumes(lanes), with_word=st.booleans())
    def it_dies(self, lane: Lane, with_word: bool) -> None:
        """Let its lease lapse; its batch may have been sent, and if it is only late, its record must be refused."""
        if lane.batch is not None and lane.batch.call is Call.PUT:
            ids = [self.list_of(lane.batch, item)[position] for item in lane.batch.items for position in item.positions]
            self.doubted.update((lane.batch.job_id, one) for one in ids)
        if lane.done is not None:
            batch = lane.done[0]
            ids = [self.list_of(batch, item)[position] for item in batch.items for position in item.positions]
            if batch.call is Call.PUT:
                self.doubted.update((batch.job_id, one) for one in ids)
        self.do(self.redis.zrem(keys.leases(PORTAL), lane.token))
        self.do(rescue(self.redis, PORTAL, 0.0))
        if lane.done is not None and with_word:
            assert not self.do(lane.ledger.settle(*lane.done))

    @rule(seconds=st.sampled_from([-300.0, 300.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        """Set the server's clock; nobody loses a lease by that."""
        self.do(tick(self.redis))  # or whatever was done since the last one would be a little ahead, for a moment
        self.do(jump(self.redis, seconds))
        self.do(tick(self.redis))
        assert not self.do(rescue(self.redis, PORTAL, 0.0))

    @rule()
    def a_deletion_comes_late(self) -> None:
        if self.portal.late:
            self.portal.delete(self.portal.late.pop(0))

    # What must always hold

    @invariant()
    def every_contact_id_is_in_exactly_one_place(self) -> None:
        for job_id, ids in self.ids.items():
            stored = self.now.stored.jobs[job_id]
            total = stored.number("total")
            places = self.ahead_of(job_id, stored.number("cursor"), stored.number("canary_cursor"))
            if "skipped_from" in stored.facts:
                skipped_from = stored.number("skipped_from")
                places.update(self.ahead_of(job_id, skipped_from, stored.number("skipped_canary_from")))
            for item in stored.items:
                places.update(Item.decode(item).positions)
            codes = SegmentLedger.replay(total, stored.records).codes
            places.update(position for position, code in enumerate(codes) if code != Code.PENDING)
            assert places == Counter(range(total)), f"positions lost or duplicated in a job of {len(ids)}"

    @invariant()
    def counts_add_up_and_agree_with_the_ledger(self) -> None:
        for job_id, ids in self.ids.items():
            job, lines = self.now.jobs[job_id], self.now.lines[job_id]
            assert sum(job.counts.values()) == job.total == len(ids) == len(lines)
            assert job.counts == dict.fromkeys(Outcome, 0) | Counter(line.code.outcome for line in lines)
            assert [line.contact_id for line in lines] == list(ids)
            self.nothing_else_is_touched_before_the_canary_is_over(job, lines)

    def nothing_else_is_touched_before_the_canary_is_over(self, job: Job, lines: list[Line]) -> None:
        canary, shown = self.canaries[job.id], job.canary
        if not canary or not shown:
            assert canary is None
            assert shown is None
            return
        first = {canary.place(index) for index in range(canary.contacts)}
        own = Counter(line.code.outcome for place, line in enumerate(lines) if place in first)
        assert sum(shown.counts.values()) == shown.contacts == len(first)
        self.as_many_departed_as_shown(job.id, shown, [line for place, line in enumerate(lines) if place in first])
        if shown.state is not CanaryState.PASSED:
            assert shown.counts == dict.fromkeys(Outcome, 0) | own
            rest = [line for place, line in enumerate(lines) if place not in first]
            untouched = {Outcome.PENDING, Outcome.SKIPPED}
            assert all(line.code.outcome in untouched and not line.attempts for line in rest)
        if shown.state is not CanaryState.CANCELLED:
            is_over = shown.state is not CanaryState.RUNNING
            assert is_over == (not shown.counts[Outcome.PENDING]), "it is judged when all of it is decided"
        if shown.state is CanaryState.WAITING:
            assert (job.state, job.state_reason) == (State.PAUSED, "canary")
        self.compare_with_the_canary_before(job.id, shown)

    def as_many_departed_as_shown(self, _job_id: str, shown: CanaryView, _lines: list[Line]) -> None:
        assert shown.departed == shown.counts[Outcome.FAILED]

    def compare_with_the_canary_before(self, job_id: str, shown: CanaryView) -> None:
        before = self.seen_canaries.get(job_id)
        if before and before.state is not shown.state:
            assert shown.state in NEXT[before.state]
        elif before and before.state is not CanaryState.RUNNING and before.state is not CanaryState.CANCELLED:
            assert shown == before, "it was judged again"
        self.seen_canaries[job_id] = shown

    @invariant()
    def each_job_is_in_the_list_of_its_state_alone(self) -> None:
        listed = [(job_id, state) for state, ids in self.now.stored.lists.items() for job_id in ids]
        assert sorted(listed) == sorted((job_id, self.now.jobs[job_id].state) for job_id in self.ids)

    # The end

    def finish_everything(self) -> None:
        for _ in range(2000):
            for batch_of in self.do(self.redis.zrange(keys.leases(PORTAL), 0, -1)):
                self.do(self.redis.zrem(keys.leases(PORTAL), batch_of))
            self.doubt_what_is_claimed()
            self.do(rescue(self.redis, PORTAL, 0.0))
            self.counts_add_up_and_agree_with_the_ledger()
            open_jobs = [job for job in self.now.jobs.values() if not job.ended]
            if not open_jobs:
                return
            for job in open_jobs:
                self.help_on(job)
            self.one_lane_works_it_off()
        raise AssertionError("the jobs do not come to an end")

    def help_on(self, job: Job) -> None:
        """Do what a user does for a job that has not ended."""
        if job.state is State.PAUSED:
            self.do(control(self.redis, job.id, Event.RESUME, by="test", lanes=0))

    def doubt_what_is_claimed(self) -> None:
        for job_id in self.ids:
            for item in map(Item.decode, self.now.stored.jobs[job_id].items):
                if item.call is Call.PUT:  # some of them are held by lanes that are gone now
                    self.doubted.update((job_id, self.positions(job_id)[position]) for position in item.positions)

    def one_lane_works_it_off(self) -> None:
        lane = self.last_lane()
        assert self.do(lane.ledger.acquire(1)), "no other lane has a lease any more"
        for _ in range(500):
            grant = self.ask(lane)
            if not isinstance(grant, Batch):
                return
            lane.batch = grant
            LedgerMachine.it_calls_the_portal.__wrapped__(self, lane, "answered")  # type: ignore[attr-defined]
            assert self.record(lane)

    def last_lane(self) -> Lane:
        """Return a new lane that works off what is left."""
        self.tokens += 1
        return Lane(LaneLedger(self.redis, PORTAL, f"last-{self.tokens}", 600.0), f"last-{self.tokens}")

    def compare_with_the_portal(self) -> None:
        for job_id in self.ids:
            for line in self.now.lines[job_id]:
                self.compare(job_id, line)

    def compare(self, job_id: str, line: Line) -> None:
        one, outcome = line.contact_id, line.code.outcome
        match outcome:
            case Outcome.DELETED:
                assert one in self.portal.deleted
            case Outcome.PRESUMED_DELETED:
                assert one not in self.portal.alive
                assert (job_id, one) in self.doubted, "presumed without a doubtful attempt"
            case Outcome.NOT_FOUND:
                assert one not in self.portal.alive
                others = [other for other, ids in self.ids.items() if other != job_id and one in ids]
                assert one not in self.portal.deleted or others, "not_found hides a deletion of ours"
            case Outcome.REFUSED:
                expected = self.portal.read_only if line.code is Code.READ_ONLY else self.portal.invoiced
                assert one in expected
            case Outcome.SKIPPED | Outcome.PROTECTED:
                assert not self.sent[job_id, one], f"{outcome}, but it was sent"
            case Outcome.FAILED:
                assert self.sent[job_id, one] or (job_id, one) in self.doubted
            case Outcome.PENDING:
                raise AssertionError("an ended job has no pending contact IDs")

    # Helpers

    def ahead_of(self, job_id: str, cursor: int, canary_cursor: int) -> Counter[int]:
        """Return the places that are ahead of a job's cursors."""
        canary, total = self.canaries[job_id], len(self.ids[job_id])
        if canary is None:
            return Counter(range(cursor, total))
        first = [canary.place(index) for index in range(canary.contacts)]
        return Counter(set(range(cursor, total)).difference(first)) + Counter(first[canary_cursor:])

    def list_of(self, batch: Batch, _item: Item) -> list[int]:
        return self.positions(batch.job_id)

    def positions(self, job_id: str) -> list[int]:
        return list(self.ids[job_id])


def run(machine: type[LedgerMachine], server: EmbeddedServer, examples: int) -> None:
    """Try a machine on a server.

    Args:
        machine: the machine.
        server: the server, which it empties.
        examples: histories of up to 30 steps.
    """
    machine.loop = asyncio.new_event_loop()
    machine.redis = connect(server.url)
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        machine.loop.run_until_complete(machine.redis.aclose(close_connection_pool=True))
        machine.loop.close()
