"""Whatever lanes, users and couriers do, events say what became of each job, and arrive in order."""

import os
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from cli.embedded import EmbeddedServer
from jobs.store import keys
from jobs.webhooks.events import Event
from jobs.webhooks.outbox import MOST_AT_ONCE, Claimed, Result, announce, claim, settle
from jobs.words.states import State
from tests.support.ledger_machine import PORTAL, LedgerMachine, run
from tests.support.webhooks import delivery_of, let_time_pass, waiting_events, webhook

TOLD_STATES = {State.AWAITING_APPROVAL, State.PAUSED, State.COMPLETED, State.CANCELLED, State.FAILED}


class WebhookMachine(LedgerMachine):
    """The machine of the ledger, with a webhook and couriers that die, are late, and are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.do(announce(self.redis, [webhook("http://127.0.0.1:1/")]))
        self.told: dict[str, list[Event]] = {}
        self.arrived: dict[str, list[str]] = {}
        self.held: list[Claimed] = []
        self.last_seen: dict[str, State] = {}

    def teardown(self) -> None:
        if self.ids:
            self.finish_everything()
            self.events_say_what_became_of_each_job()
            self.deliver_everything()

    @rule()
    def a_courier_claims(self) -> None:
        claimed = self.do(claim(self.redis, "hook"))
        assert len(claimed) <= MOST_AT_ONCE
        self.held += claimed

    @rule(
        which=st.integers(0, 3),
        result=st.sampled_from([Result.DELIVERED, Result.DELIVERED, Result.FAILED, Result.GIVEN_UP]),
    )
    def it_settles(self, which: int, result: Result) -> None:
        if which < len(self.held):
            self.end(self.held.pop(which), result)

    @rule(which=st.integers(0, 3))
    def its_answer_was_lost_and_it_settles_twice(self, which: int) -> None:
        if which < len(self.held):
            claimed = self.held.pop(which)
            self.end(claimed, Result.DELIVERED)
            assert not self.do(settle(self.redis, "hook", claimed, delivery_of(claimed)))

    @rule(seconds=st.sampled_from([31.0, 7300.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        """Let claims lapse; those who had them may still settle."""
        self.do(let_time_pass(self.redis, seconds))

    def end(self, claimed: Claimed, result: Result) -> None:
        if result is Result.DELIVERED:  # the receiver has it, whatever the outbox says
            self.arrived.setdefault(claimed.stream, []).append(claimed.event.id)
        settled = self.do(settle(self.redis, "hook", claimed, delivery_of(claimed, result), 5.0))
        if settled and result is Result.GIVEN_UP:
            self.arrived.setdefault(claimed.stream, []).append(claimed.event.id)

    @invariant()
    def events_say_what_became_of_each_job(self) -> None:
        for job_id in self.ids:
            job = self.job(job_id)
            fresh = self.newly_told(job_id)
            told = self.told[job_id]
            for event in fresh:
                counts = [int(event.facts.get(f"n:{outcome}", 0)) for outcome in job.counts]
                assert sum(counts) == int(event.facts["total"]) == job.total
                assert event.type == "job.started" or event.type == f"job.{event.facts['state']}"
            types = [event.type for event in told]
            assert types.count("job.started") == (job.started_at is not None)
            if job.state in TOLD_STATES:
                last = next(event for event in reversed(told) if event.type != "job.started")
                assert last.facts["state"] == job.state
                assert last.facts.get("state_reason") == job.state_reason
            if job.state is not self.last_seen.get(job_id) and job.state in TOLD_STATES:
                assert fresh, "nobody was told"
            self.last_seen[job_id] = job.state

        for event in self.newly_told(f"portal {PORTAL}"):
            assert (event.type, event.portal, event.job) == ("portal.fault", PORTAL, "")

    def newly_told(self, stream: str) -> list[Event]:
        """Return the events of a job or portal that were not there before."""
        told = self.told.setdefault(stream, [])
        known = {event.id for event in told}
        fresh = [event for event in self.read(waiting_events(self.redis, "hook", stream)) if event.id not in known]
        told += fresh
        return fresh

    @invariant()
    def they_arrive_in_order(self) -> None:
        for stream, arrived in self.arrived.items():
            order = {event.id: at for at, event in enumerate(self.told[stream])}
            first_time = list(dict.fromkeys(arrived))
            assert [order[one] for one in first_time] == list(range(len(first_time))), "out of order, or one was lost"

    @invariant()
    def what_waits_is_what_is_kept(self) -> None:
        streams = [stream.decode() for stream in self.read(self.redis.zrange(keys.due_events("hook"), 0, -1))]
        waiting = [event.id for one in streams for event in self.read(waiting_events(self.redis, "hook", one))]
        unsent = [event_id.decode() for event_id in self.read(self.redis.zrange(keys.unsent("hook"), 0, -1))]
        assert sorted(waiting) == sorted(unsent)
        sending = {stream.decode() for stream in self.read(self.redis.zrange(keys.sending("hook"), 0, -1))}
        assert sending <= set(streams)

    def deliver_everything(self) -> None:
        for _ in range(200):
            self.do(let_time_pass(self.redis, 7300.0))
            claimed: list[Any] = self.do(claim(self.redis, "hook"))
            if not claimed:
                break
            for one in claimed:
                self.end(one, Result.DELIVERED)
        self.they_arrive_in_order()
        for stream, told in self.told.items():
            assert list(dict.fromkeys(self.arrived.get(stream, []))) == [event.id for event in told]


def test_events_are_true_and_arrive_in_order(server: EmbeddedServer) -> None:
    run(WebhookMachine, server, int(os.environ.get("WEBHOOK_MACHINE_EXAMPLES", "10")))
