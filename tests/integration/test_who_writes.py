"""The catalogue of keys says who writes each of them: every script does all that it can, and the server is watched."""

import json
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.constants import result_key_prefix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from pyroaring import BitMap
from redis.exceptions import ResponseError

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept import submit as door
from jobs.accept.approval import ApprovalTerms
from jobs.accept.from_arq import accept as accept_message
from jobs.arq_messages.message import read_message
from jobs.bundles.expiry import destroy_bundles, destroy_expired
from jobs.bundles.store import BundleStore
from jobs.lanes import presence
from jobs.lanes.call_report import CallReport
from jobs.lanes.gates import Gates
from jobs.lanes.grants import Batch, Idle, Lost
from jobs.lanes.lease import LaneLedger, bound_rests, look_for_lapses, rescue, reserve_turn, take_over
from jobs.lanes.settlement import NewRest, Settlement
from jobs.ledger.items import Call
from jobs.ledger.records import Record
from jobs.ledger.retention import forget_job, forget_old_jobs
from jobs.receipts.make import make_receipt
from jobs.steering.control import control
from jobs.steering.limits import set_limits
from jobs.steering.priority import set_priority
from jobs.steering.retry import retry_failed
from jobs.steering.steer import steer_job
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.store.catalogue import CATALOGUE
from jobs.store.clock import ticking
from jobs.store.job_lists import Indexer
from jobs.store.kept import MOST_UNSENT
from jobs.store.replication import NotReplicated, Replication
from jobs.store.try_write import try_write
from jobs.view.ended import note_replicated
from jobs.view.job import read_job
from jobs.webhooks import outbox
from jobs.words.errors import BadSubmission
from jobs.words.outcomes import Code
from jobs.words.priority import Priority
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from restore.caller import SPARE
from restore.entry import Entry, Stage
from restore.ledger import HOLD, RestoreLedger
from simulator import Behaviour, World
from tests.support import scheduling
from tests.support.browsing import api_key, portal, settings_with, visiting
from tests.support.keeping import keeping_settings
from tests.support.lanes import PORTAL, accept, answer, lose, start_lane, take, terms
from tests.support.planning import plan_of_filter, planned
from tests.support.submitting import request
from tests.support.sweeping import MARKS, ended, settings_of
from tests.support.waiting import until
from tests.support.webhooks import delivery_of, webhook
from tests.support.write_watch import MEDDLING, Watched, meddle, scripts_by_hash, watching
from worker import polling
from worker.main import working
from worker.token_store import RedisTokenStore

pytestmark = MARKS

Scene = Callable[[ArqRedis, EmbeddedServer, pytest.MonkeyPatch], Awaitable[None]]


async def lists_come_in(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """Accepted, twice; approved; refused by the script because the staged list is gone; and tried beforehand."""
    await try_write(redis)
    for _ in range(2):
        await door.submit(redis, request(portal=PORTAL, ids=BitMap([1, 2, 3]), job_id="twice", lanes=1, by="me"))
    await accept(redis, [1, 2], job_id="approved", needs_approval=True)
    await control(redis, "approved", Event.APPROVE, by="me")

    async def stage_nothing(*_: Any) -> None:
        pass

    with patch.context() as patched:
        patched.setattr(door, "stage", stage_nothing)
        with pytest.raises(ResponseError, match="NOTSTAGED"):
            await accept(redis, [1], job_id="lost")


async def messages_are_taken_in(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """Requests through arq, steered before a worker takes them, and one that is wrong."""
    settings = settings_with(server)
    for event in (Event.PAUSE, Event.CANCEL):
        await redis.enqueue_job("delete_contacts", _job_id=event, portal="main", contact_ids=[1, 2, 3])
        await steer_job(redis, settings, event, event, by="me")
    await redis.enqueue_job("delete_contacts", _job_id="bad", portal="main", contact_ids=["x"])
    data = await read_message(redis, "bad")
    assert data
    with pytest.raises(BadSubmission):
        await accept_message(redis, settings, "bad", data)


async def lanes_work(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """A job to its end: sent, lost, looked up, tried again; then what has failed once more, until it is forgotten."""
    job_id = await accept(redis, range(1, 41))
    lane = await start_lane(redis)
    assert await lane.renew()
    await lose(redis, lane, await take(lane))
    look_up = await take(lane, terms(batch_size=1))
    assert look_up.call is Call.LOOK_UP
    await answer(redis, lane, look_up)
    again = await take(lane)
    retried = [(replace(item, call=Call.PUT, failures=item.failures + 1), 0.0) for item in again.items]
    assert await lane.settle(again, Settlement(items=retried, sent=1, retried=1, throttled=1))
    await decide_all(redis, lane, Code.REJECTED)
    assert (await read_job(redis, job_id)).state is State.COMPLETED
    _, count = await retry_failed(redis, job_id, by="me")
    assert count
    await decide_all(redis, await start_lane(redis, "second"), Code.DELETED)
    await forget_old_jobs(redis, -1.0)  # up to tomorrow
    assert not await redis.exists(keys.job(job_id))


async def decide_all(redis: ArqRedis, lane: LaneLedger, code: Code) -> None:
    """Work off what there is, with a report of every call, until the lane is idle and has let go."""
    while isinstance(batch := await lane.next_batch(terms(failure_threshold=1.0)), Batch):
        at_ms = batch.server_ms()
        records = []
        for item in batch.items:
            codes = bytes([code]) * len(item.positions)
            record = Record(positions=item.positions, codes=codes, attempts=1, http_status=200, at_ms=at_ms)
            records.append((item.segment, record))
        report = CallReport(at_ms, batch.job_id, "put", batch.size, 0.1, 200, "ok")
        assert await lane.settle(batch, Settlement(records=records, sent=1, calm=True, report=report))
    assert isinstance(batch, Idle)


async def portals_push_back(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """A push-back and a fault, each ended by a person; and work that is due later."""
    await presence.beat(redis, "worker", [PORTAL], {PORTAL: "one"})
    job_id = await accept(redis, range(1, 41))
    lane = await start_lane(redis, configuration="one")
    batch = await take(lane)
    later = [(item, 600.0) for item in batch.items]
    rest = NewRest(3600.0, StateReason.PUSH_BACK, 7200.0)
    assert await lane.settle(batch, Settlement(items=later, sent=1, slow_down=True, batch_size=5, rest=rest))
    await bound_rests(redis, {PORTAL: 60.0})
    await control(redis, job_id, Event.RESUME, by="me")
    other = await take(lane, terms(batch_size=100))
    fault = Settlement(items=[(item, 600.0) for item in other.items], stop=StateReason.PORTAL_AUTH, last_error="staged")
    assert await lane.settle(other, fault)
    assert (await read_job(redis, job_id)).state is State.PAUSED
    await control(redis, job_id, Event.RESUME, by="me")
    await control(redis, job_id, Event.CANCEL, by="me")
    assert isinstance(await (await start_lane(redis, "next")).next_batch(terms()), Idle)
    await presence.leave(redis, "worker", {PORTAL: "one"})


async def lanes_die(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """Batches of dead lanes are taken back, of a job that pauses as well."""
    going, pausing = await accept(redis, range(1, 41)), await accept(redis, range(1, 41))
    held = {(await take(await start_lane(redis, name))).job_id for name in ("first", "second")}
    assert held == {going, pausing}
    await control(redis, pausing, Event.PAUSE, by="me")
    await meddle(redis, "ZADD", keys.leases(PORTAL), 1, "first", 1, "second")
    assert len(await rescue(redis, PORTAL, 0.0)) == 2
    assert (await read_job(redis, pausing)).state is State.PAUSED
    dead = await start_lane(redis, "third")
    await take(dead)
    await meddle(redis, "ZADD", keys.leases(PORTAL), 1, "fourth")
    assert (await look_for_lapses(redis, [PORTAL])).portals == {PORTAL: True}
    assert len(await take_over(redis, PORTAL, 0.0)) == 1
    assert isinstance(await dead.next_batch(terms()), Lost)
    await dead.release()


async def the_steady_clock_goes(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """A command calls the portal and waits for its turn, with no worker there. Who takes a lease wakes the clock."""
    async with ticking(redis):
        await until(lambda: redis.exists(keys.CLOCK))
    await reserve_turn(redis, PORTAL, terms())
    await accept(redis, [1, 2], job_id="restored")
    lane = await start_lane(redis)
    for call in (
        lane.renew,
        partial(lane.next_batch, terms()),
        partial(HOLD, redis, [keys.restorer(PORTAL), keys.job("restored")], ["token", 1000, "me@host"]),
    ):
        await presence.leave(redis, "the last worker")
        await call()


async def people_steer(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """Limits, priorities, a log-in's turn, a job that is cancelled before it began, and lists brought up to date."""
    await set_limits(redis, portal(PORTAL), by="me", requests_per_second=5.0, max_concurrency="default")
    await reserve_turn(redis, PORTAL, terms())
    job_id = await accept(redis, range(1, 41), priority=Priority.BACKGROUND)
    lane = await start_lane(redis)
    await answer(redis, lane, await take(lane))
    await set_priority(redis, job_id, Priority.URGENT, by="me")
    await control(redis, await accept(redis, [1, 2]), Event.CANCEL, by="me")
    await Indexer().advance(redis)


async def replicas_are_waited_for(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """They do not come, so nobody is told that a list was accepted, or that a job has ended."""
    job_id = await accept(redis, [1])
    await control(redis, job_id, Event.CANCEL, by="me")
    with patch.context() as demanding:
        demanding.setattr(redis, "replication", Replication(min_replicas=1, timeout_s=0.01))
        with pytest.raises(NotReplicated):
            await accept(redis, [1])
        assert (await read_job(redis, job_id)).state is State.CANCELLING
        demanding.setattr(Replication, "take", lambda *_: True)  # now they have come
        await note_replicated(redis)
        assert (await read_job(redis, job_id)).state is State.CANCELLED


async def gates_close(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """A stop holds a job until it is lifted; closed windows do until they are opened once."""
    main = portal(PORTAL)
    await accept(redis, range(1, 41))
    await switch(redis, Switch.STOP, [main], of_all=False, by="me")
    assert isinstance(await (await start_lane(redis, "first")).next_batch(terms()), Idle)
    await switch(redis, Switch.START, [main], of_all=False, by="me")
    closed = terms(gates=Gates(is_open=False))
    assert isinstance(await (await start_lane(redis, "second")).next_batch(closed), Idle)
    seconds, _ = await redis.time()
    await set_limits(redis, main, by="me", open_until_ms=(seconds + 60) * 1000)
    await take(await start_lane(redis, "third"), closed)


async def workers_log_in(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    store = RedisTokenStore(redis, PORTAL)
    assert await store.begin_login(b"me")
    await store.keep_login(b"me")
    await store.count_attempt(b"attempt")
    await store.give_back(b"attempt")
    await store.remember_refusal("fingerprint", "wrong_password", 60.0)
    await store.save(b"sealed", 60.0)
    await store.forget(b"sealed")
    await store.end_login(b"me")


async def the_page_is_used(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        for confirmation in ({"count": "3", "do": "submit"}, {"do": "discard"}):
            draft = await anna.upload("405\n406\n407\n")
            assert (await anna.look(draft.location)).status == 200
            assert (await anna.send(draft.location, **confirmation)).status == 303
        assert (await anna.send("/logout")).status == 303


async def records_are_kept(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """A bundle is made, and destroyed; so is its job."""
    with tempfile.TemporaryDirectory() as place:
        async with simulator.running(World(10)) as simulated:
            settings = keeping_settings(server, simulated, Path(place), undo_days=0.01)
            async with working(settings):
                job_id = await accept(redis, range(1, 11))
                await ended(redis, job_id)
            store = BundleStore.of(settings.portal(PORTAL))
            await destroy_expired(redis, lambda _name: store)  # which looks at it, and leaves it
            assert await destroy_bundles(redis, store, [PORTAL], job_id) == 1


async def a_worker_runs(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """What arq does around our functions, and what we do around arq."""
    patch.setattr(polling, "MARK_LASTS_MS", 400)
    await meddle(redis, "ZADD", keys.QUEUE, 0, b"\xff")
    portal = simulator.running(World(10), Behaviour(base_ms=300))
    async with portal as simulated, working(settings_of(server, simulated)):
        await redis.enqueue_job("delete_contacts", _job_id="by-arq", portal="main", contact_ids=[1, 2, 3])
        await ended(redis, "by-arq")

        async def told() -> bytes | None:
            kept: bytes | None = await redis.get(result_key_prefix + "by-arq")
            return kept

        assert json.loads(await until(told))["r"] == "by-arq"


async def a_campaign(redis: ArqRedis, server: EmbeddedServer, _patch: pytest.MonkeyPatch) -> None:
    """A campaign by filter is planned, approved, looked at again and carried out."""
    async with simulator.running(World(50, tagged={"trash": range(1, 20)})) as portal:
        job_id = await plan_of_filter(redis, tags=("trash",))
        async with working(settings_of(server, portal, recheck_after_s=0.0)):
            job = await planned(redis, job_id)
            assert job.plan
            portal.world.tagged["trash"].remove(5)
            await control(redis, job_id, Event.APPROVE, by="me", terms=ApprovalTerms(digest=job.plan.digest))
            await ended(redis, job_id)


async def a_receipt_is_made(redis: ArqRedis, _server: EmbeddedServer, _patch: pytest.MonkeyPatch) -> None:
    """Of a job that is retried afterwards, and once more when it has ended again."""
    key = Ed25519PrivateKey.generate()
    job_id = await accept(redis, [1, 2, 3])
    for name, code in (("first", Code.REJECTED), ("second", Code.DELETED)):
        await decide_all(redis, await start_lane(redis, name), code)
        await make_receipt(redis, job_id, key)
        await retry_failed(redis, job_id, by="me")


async def a_schedule_starts(redis: ArqRedis, server: EmbeddedServer, _patch: pytest.MonkeyPatch) -> None:
    """It is due, a worker claims that, and submits its job."""
    await scheduling.started(redis, scheduling.settings_with(server, scheduling.schedule()))
    assert await scheduling.jobs_of(redis)


async def webhooks_come_and_go(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """Events are delivered; and those of a webhook that nobody names any more are forgotten."""
    for job_id in ("first", "second"):
        await accept(redis, [1, 2], job_id=job_id, needs_approval=True)
    claimed, _ = await outbox.claim(redis, "one")
    assert await outbox.settle(redis, "one", claimed, delivery_of(claimed))
    for name in ("one", "full"):
        await meddle(redis, "HSET", keys.WEBHOOKS, name, '{"until_ms": 1}')
    assert sorted(await outbox.announce(redis, [])) == ["full", "one"]
    assert not await redis.exists(keys.WEBHOOKS, keys.webhook("one"), keys.unsent("one"), keys.due_events("one"))


async def webhooks_are_configured(redis: ArqRedis) -> None:
    """Have events kept for two webhooks; the outbox of one of them is full."""
    await outbox.announce(redis, [webhook("http://127.0.0.1:1/", name=name) for name in ("one", "full")])
    fill = """
    for n = 1, ARGV[1], 1000 do  -- many at once: the server tells of each command
        local some = {}
        for m = n, n + 999 do
            some[#some + 1], some[#some + 2] = m, m
        end
        redis.call('ZADD', KEYS[1], unpack(some))
    end"""
    await redis.execute_command("EVAL", fill, 1, keys.unsent("full"), MOST_UNSENT)


async def contacts_are_restored(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> None:
    """The ledger of a restore is written, the portal pushes back, and the job is forgotten with it."""
    await accept(redis, [1, 2], job_id="gone")
    ledger = RestoreLedger(redis, "gone", PORTAL, "token", "me@host", ttl_s=60)
    async with ledger.held():
        await ledger.write(0, 1, Entry(Stage.INTENT, attempts=1, number=7), sending=True)
    await SPARE(redis, [keys.portal(PORTAL)], [100, 1, 1000, "push_back", 2000])
    await control(redis, "gone", Event.CANCEL, by="me")
    assert await forget_job(redis, "gone")


SCENES: tuple[Scene, ...] = (
    the_steady_clock_goes,
    lists_come_in,
    messages_are_taken_in,
    lanes_work,
    portals_push_back,
    lanes_die,
    people_steer,
    replicas_are_waited_for,
    gates_close,
    workers_log_in,
    the_page_is_used,
    a_worker_runs,
    records_are_kept,
    a_campaign,
    a_receipt_is_made,
    a_schedule_starts,
    webhooks_come_and_go,
    contacts_are_restored,
)


def kind_of(key: str) -> str:
    """The pattern of a key; the key itself where the catalogue has none for it, or more than one."""
    kinds = [entry.pattern for entry in CATALOGUE if entry.matches(key)]
    return kinds[0] if len(kinds) == 1 else key


def kinds_of(written: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(kind_of(key), writer) for key, writer in written}


async def play(redis: ArqRedis, server: EmbeddedServer, patch: pytest.MonkeyPatch) -> Watched:
    async with watching(server, redis, patch) as watched:
        for scene in SCENES:
            await meddle(redis, "FLUSHALL")
            await webhooks_are_configured(redis)
            await scene(redis, server, patch)
    return watched


async def test_the_catalogue_says_who_writes_each_key(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = await play(redis, server, monkeypatch)
    told = await watched.written(redis)
    by_scripts = kinds_of({(key, writer) for key, writer in told if writer})
    declared = {(entry.pattern, script) for entry in CATALOGUE for script in entry.scripts}
    assert by_scripts - declared == set(), "the catalogue does not say so"
    assert declared - by_scripts == set(), "nobody has seen it"
    by_modules = kinds_of(
        {(key, "arq" if name.startswith("arq.") else name) for key, name in await watched.written_by_modules(redis)}
    )
    declared = {(entry.pattern, module) for entry in CATALOGUE for module in entry.modules}
    assert by_modules - declared == set(), "the catalogue does not say so"
    assert declared - by_modules == set(), "nobody has seen it"
    directly = {kind_of(key) for key, writer in told if not writer}
    assert directly == {entry.pattern for entry in CATALOGUE if entry.modules}


async def test_every_writer_is_told_from_the_others(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(server, redis, monkeypatch) as watched:
        await meddle(redis, "SET", "by a test", 1)
        await redis.get("read")
        await redis.set("by a client", b'\x00"\\')
        await presence.beat(redis, "worker", ["main"])
        lane = await start_lane(redis)
        assert await lane.renew()
        await lane.release()
    told = await watched.written(redis)
    assert {(MEDDLING, ("SET", "by a test", "1"))} <= watched.commands
    assert told == {
        ("by a client", ""),
        (keys.CLOCK, "acquire"),
        (keys.KNOWN_PORTALS, "beat"),
        (keys.WORKERS, "beat"),
        (keys.leases(PORTAL), ""),
        (keys.leases(PORTAL), "acquire"),
        (keys.leases(PORTAL), "renew"),
    }
    assert {name for _, name in await watched.written_by_modules(redis)} == {"jobs.lanes.lease"}


def test_every_script_but_two_that_read_writes_something() -> None:
    writing = {script for entry in CATALOGUE for script in entry.scripts}
    assert writing | {"look", "may_send"} == set(scripts_by_hash().values())
