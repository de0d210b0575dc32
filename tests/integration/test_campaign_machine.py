"""Whatever people, lanes and gates do, in whatever order, nothing is sent that no plan, approval and gate allows.

The machine of tests/support/ledger_machine.py, with campaigns among its jobs: surveys in several steps, plans whose
verdicts are right or wrong, approvals with right and wrong digests, looking again, lanes with other conditions or
another address, the stop switch, windows, daily caps and cooling off. Everything that holds there holds here as well.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, multiple, rule
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from jobs.accept.approval import ApprovalTerms
from jobs.accept.submit import submit
from jobs.lanes.gates import FOREVER_MS
from jobs.lanes.grants import Batch, Grant, Outdated
from jobs.lanes.lease import LaneLedger
from jobs.ledger.canary import Canary
from jobs.ledger.items import Call
from jobs.ledger.rows import Line
from jobs.plan.export import departs
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.store.times import server_ms
from jobs.view.canary import CanaryView
from jobs.view.job import Job
from jobs.words.errors import DigestNeeded, IllegalMove, PlanChanged
from jobs.words.filters import Filter
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import CanaryState, Event, State
from jobs.words.verdicts import VerdictCode
from tests.support.campaign_model import Campaign, Guards, ModelPlanner
from tests.support.ledger_machine import (
    CANARIES,
    CONFIGURATIONS,
    DECIDER,
    PORTAL,
    TERMS,
    Lane,
    LedgerMachine,
    run,
)
from tests.support.portal_model import Process
from tests.support.steering import control
from tests.support.submitting import request

ADDRESSES = st.sampled_from(["here"] * 8 + ["", "there"])
CONDITIONS = st.sampled_from(["A"] * 7 + ["B"])
VERDICTS = st.sampled_from([VerdictCode.DELETABLE] * 5 + [code for code in VerdictCode if code])
CAMPAIGNS = st.builds(
    Campaign,
    verdicts=st.dictionaries(st.integers(1, 420), VERDICTS, max_size=40),
    by_filter=st.booleans(),
    steps=st.integers(0, 2),
    fails=st.sampled_from([False] * 7 + [True]),
    canary=CANARIES,
    due=st.booleans(),
    keeps=st.booleans(),
)
#: How far a campaign is brought at once.
UNTIL = st.sampled_from(
    [
        "",
        "a lane holds its step",
        "a lane dies with its step",
        "it stands",
        "it is approved",
        "it is approved",
        "it cools off",
    ]
)
COOLING_OFF_MS = 3_600_000
#: Jobs of one history.
MOST_JOBS = 5
#: In these states a job with work has a turn, or waits for a time.
TAKES_TURNS = {State.PLANNING, State.QUEUED, State.RUNNING, State.CANCELLING}


@dataclass(frozen=True)
class Granted:
    """What was true when a lane was given a batch.

    Attributes:
        held: whether no PUT was allowed to leave.
        day: the day.
        excluded: contacts of the job that were known to be protected.
    """

    held: bool
    day: int
    excluded: frozenset[int]


class CampaignMachine(LedgerMachine):
    """The state machine that the module describes."""

    def __init__(self) -> None:
        super().__init__()
        self.campaigns: dict[str, Campaign] = {}
        self.addresses: dict[str, str] = {}
        self.unapproved: set[str] = set()
        self.cooling: set[str] = set()
        self.guards = Guards()
        self.grants: dict[int, Granted] = {}
        self.sent_on: Counter[int] = Counter()
        self.caps: dict[int, int] = {0: 0}

    # What users and other services do

    @initialize(target=LedgerMachine.jobs, campaign=CAMPAIGNS, address=ADDRESSES, until=UNTIL)
    def first_campaign(self, campaign: Campaign, address: str, until: str) -> Any:
        return self.somebody_plans(campaign, address, until)

    @rule(target=LedgerMachine.jobs, campaign=CAMPAIGNS, address=ADDRESSES, until=UNTIL)
    def another_campaign(self, campaign: Campaign, address: str, until: str) -> Any:
        return self.somebody_plans(campaign, address, until)

    def somebody_plans(self, campaign: Campaign, address: str, until: str) -> Any:
        if len(self.ids) >= MOST_JOBS or not (campaign.ids or campaign.by_filter):
            return multiple()
        canary = self.as_allowed(campaign.canary, len(campaign.ids)) if campaign.ids else None
        return self.accept_campaign(replace(campaign, canary=canary, excluded=set()), address, until)

    @rule(target=LedgerMachine.jobs, job_id=LedgerMachine.jobs)
    def somebody_makes_the_same_plan_again(self, job_id: str) -> Any:
        campaign = self.campaigns.get(job_id)
        if campaign is None or len(self.ids) >= MOST_JOBS:
            return multiple()
        again = replace(
            campaign, fails=False, conditions=None, approved=False, expired=False, kept=False, excluded=set()
        )
        return self.accept_campaign(again, self.addresses[job_id], "it is approved")

    def accept_campaign(self, campaign: Campaign, address: str, until: str) -> str:
        campaign.salt = len(self.ids)
        ids, selection = (BitMap(), Filter(everything=True)) if campaign.by_filter else (campaign.ids, None)
        submission = request(
            portal=PORTAL, ids=ids, selection=selection, plan=True, lanes=0, address=address, undo=campaign.keeps
        )
        job_id = self.do(submit(self.redis, submission)).job_id
        self.ids[job_id] = ids
        self.canaries[job_id] = None
        self.campaigns[job_id] = campaign
        self.addresses[job_id] = address
        if until.startswith("a lane"):
            self.others_work_while_a_lane_holds_a_batch(dies=until == "a lane dies with its step")
        elif until:
            self.work_with(self.new_lane("new", address, campaign.conditions or "A"), times=6)
        if until in {"it is approved", "it cools off"}:
            self.approve(job_id, "too little", cools_off=False)
            self.approve(job_id, "all of it", cools_off=until == "it cools off")
            self.somebody_works()
        return job_id

    @rule(
        target=LedgerMachine.jobs,
        ids=st.sets(st.integers(1, 420), min_size=1, max_size=40),
        address=ADDRESSES,
    )
    def somebody_submits_a_job_that_has_to_be_approved(self, ids: set[int], address: str) -> Any:
        if len(self.ids) >= MOST_JOBS:
            return multiple()
        submission = request(portal=PORTAL, ids=BitMap(ids), lanes=0, address=address, needs_approval=True)
        job_id = self.do(submit(self.redis, submission)).job_id
        self.ids[job_id] = BitMap(ids)
        self.canaries[job_id] = None
        self.addresses[job_id] = address
        self.unapproved.add(job_id)
        return job_id

    @rule(
        job_id=LedgerMachine.jobs,
        named=st.sampled_from(["all of it", "all of it", "its beginning", "too little", "another one", "none"]),
        cools_off=st.sampled_from([False, False, True]),
    )
    def somebody_approves(self, job_id: str, named: str, cools_off: bool) -> None:
        self.approve(job_id, named, cools_off=cools_off)

    def approve(self, job_id: str, named: str, *, cools_off: bool) -> None:
        before = self.job(job_id).state
        campaign = self.campaigns.get(job_id)
        digest = campaign.digest(campaign.conditions) if campaign and campaign.conditions else "f" * 64
        given = {
            "all of it": digest,
            "its beginning": digest[:12],
            "too little": digest[:11],
            "another one": f"{'0' if digest[0] != '0' else '1'}{digest[1:]}",
            "none": "",
        }[named]
        terms = ApprovalTerms(digest=given, cooling_off_ms=COOLING_OFF_MS if cools_off else 0)
        expected: type[Exception] | None = None
        if before is not State.AWAITING_APPROVAL:
            expected = IllegalMove
        elif campaign is None:
            expected = PlanChanged if given else None
        elif not given:
            expected = DigestNeeded
        elif campaign.expired or named not in {"all of it", "its beginning"}:
            expected = PlanChanged
        approval = control(self.redis, job_id, Event.APPROVE, by="test", lanes=0, terms=terms)
        if expected:
            with pytest.raises(expected):
                self.do(approval)
            assert self.job(job_id).state is before
            return
        assert self.do(approval) is State.QUEUED
        self.unapproved.discard(job_id)
        if campaign:
            campaign.approved = True
        if cools_off:
            self.cooling.add(job_id)

    @rule(job_id=LedgerMachine.jobs)
    def a_plan_expires(self, job_id: str) -> None:
        campaign = self.campaigns.get(job_id)
        if campaign and campaign.conditions and not campaign.approved:
            self.do(self.redis.execute_command("HSET", keys.job(job_id), "plan_expires_ms", 1))
            campaign.expired = True

    @rule(job_id=LedgerMachine.jobs, dies=st.booleans())
    def a_plan_is_to_be_looked_at_again(self, job_id: str, dies: bool) -> None:
        campaign = self.campaigns.get(job_id)
        if campaign and campaign.conditions and not self.job(job_id).ended:
            self.do(self.redis.execute_command("HSET", keys.job(job_id), "survey_due_ms", 1))
            campaign.due = True
            self.others_work_while_a_lane_holds_a_batch(dies)

    @rule(to=st.sampled_from([Switch.STOP, Switch.START, Switch.START]), of_all=st.booleans())
    def somebody_uses_the_stop_switch(self, to: Switch, of_all: bool) -> None:
        stops = self.do(switch(self.redis, to, [DECIDER.portal], of_all=of_all, by="test"))
        (self.guards.stopped_by.add if to is Switch.STOP else self.guards.stopped_by.discard)(of_all)
        assert {stop.portal is None for stop in stops} == self.guards.stopped_by
        self.somebody_works()

    @rule(is_open=st.booleans())
    def the_windows_open_or_close(self, is_open: bool) -> None:
        self.guards.is_open = is_open
        self.somebody_works()

    @rule(is_opened=st.booleans())
    def somebody_opens_once_or_takes_it_back(self, is_opened: bool) -> None:
        later_ms = server_ms(self.do(self.redis.time())) + 3_600_000
        wanted = later_ms if is_opened else CONFIGURED
        self.do(set_limits(self.redis, DECIDER.portal, by="test", open_until_ms=wanted))
        self.guards.is_opened = is_opened

    @rule(most=st.sampled_from([0, 0, 1, 6, 7, 15]))
    def another_day_begins(self, most: int) -> None:
        self.guards.day += 1
        self.guards.most_per_day = self.caps[self.guards.day] = most
        self.somebody_works()

    @rule()
    def time_passes(self) -> None:
        """Let a long time pass: whatever waits for a time is due, and every job has cooled off."""
        for job_id in self.ids:
            self.do(self.redis.execute_command("HDEL", keys.job(job_id), "not_before_ms"))
            for key in (keys.due_put(job_id), keys.due_look_up(job_id)):
                self.make_due(key)
        self.make_due(keys.waiting(PORTAL))
        self.cooling.clear()

    def make_due(self, key: str) -> None:
        for member in self.do(self.redis.zrange(key, 0, -1)):
            self.do(self.redis.zadd(key, {member: 1}))

    # What lanes do

    @rule(
        target=LedgerMachine.lanes,
        configuration=st.sampled_from(CONFIGURATIONS),
        address=ADDRESSES,
        conditions=CONDITIONS,
    )
    def a_lane_starts(self, configuration: str, address: str, conditions: str) -> Any:
        lane = self.new_lane(configuration, address, conditions)
        return lane if self.do(lane.ledger.acquire(4)) else multiple()

    @rule(
        target=LedgerMachine.lanes,
        configuration=st.sampled_from(CONFIGURATIONS),
        address=ADDRESSES,
        conditions=CONDITIONS,
        times=st.integers(1, 8),
    )
    def a_lane_comes_and_works(self, configuration: str, address: str, conditions: str, times: int) -> Any:
        lane = self.new_lane(configuration, address, conditions)
        self.work_with(lane, times)
        return lane

    def somebody_works(self) -> None:
        """Let a worker for which most jobs are made work for a while, so that there is something to judge."""
        self.work_with(self.new_lane("old", "here", "A"), times=4)

    def others_work_while_a_lane_holds_a_batch(self, dies: bool) -> None:
        """Let a lane take a batch, mostly a step of a survey, and record it later, or die with it."""
        lane = self.new_lane("new", "here", "A")
        self.do(lane.ledger.acquire(1000))
        LedgerMachine.it_takes_a_batch.__wrapped__(self, lane)  # type: ignore[attr-defined]
        self.somebody_works()
        if dies:
            LedgerMachine.it_dies.__wrapped__(self, lane, with_word=False)  # type: ignore[attr-defined]
        else:
            LedgerMachine.it_calls_the_portal.__wrapped__(self, lane, "answered")  # type: ignore[attr-defined]
            LedgerMachine.it_records.__wrapped__(self, lane, twice=False)  # type: ignore[attr-defined]
        self.somebody_works()

    def work_with(self, lane: Lane, times: int) -> None:
        self.do(lane.ledger.acquire(1000))
        LedgerMachine.it_works_for_a_while.__wrapped__(self, lane, times)  # type: ignore[attr-defined]

    def new_lane(self, configuration: str, address: str, conditions: str) -> Lane:
        self.tokens += 1
        token = f"lane-{self.tokens}"
        ledger = LaneLedger(self.redis, PORTAL, token, 600.0, configuration)
        terms = replace(TERMS, conditions=conditions, gates=self.guards.told(address))
        return Lane(ledger, token, terms=terms, process=configuration)

    @rule(lane=LedgerMachine.lanes, is_early=st.booleans())
    def it_asks_with_the_gates_of_another_time(self, lane: Lane, is_early: bool) -> None:
        if lane.batch or lane.done:
            return
        gates = lane.terms.gates
        gates = replace(gates, from_ms=FOREVER_MS - 1) if is_early else replace(gates, until_ms=1)
        grant = self.do(lane.ledger.next_batch(replace(lane.terms, gates=gates)))
        assert isinstance(grant, Outdated) or not lane.ledger.holds_lease

    @rule(configuration=st.sampled_from(CONFIGURATIONS))
    def a_worker_process_starts_again(self, configuration: str) -> None:
        self.processes[configuration] = Process.start(self.redis)

    def ask(self, lane: Lane) -> Grant:
        lane.terms = replace(lane.terms, gates=self.guards.told(lane.terms.gates.address))
        grant = super().ask(lane)
        if isinstance(grant, Batch):
            if grant.seq not in self.grants:
                self.nothing_forbids(lane, grant)
            self.gates_are_kept(grant)
            campaign = self.campaigns.get(grant.job_id)
            excluded = frozenset(campaign.excluded) if campaign else frozenset()
            self.grants[grant.seq] = Granted(self.guards.hold, self.guards.day, excluded)
        return grant

    def nothing_forbids(self, lane: Lane, batch: Batch) -> None:
        """Check that a batch may be handed out at all."""
        job_id, campaign = batch.job_id, self.campaigns.get(batch.job_id)
        here = lane.terms.gates.address
        assert here in {"", self.addresses.get(job_id) or here}, "it was made for another address"
        if batch.call is Call.SURVEY:
            assert campaign is not None
            assert campaign.conditions is None or campaign.due or (campaign.keeps and not campaign.kept)
            self.no_survey_takes_two_steps_at_once()
        if batch.state is State.CANCELLING:
            return
        assert job_id not in self.unapproved
        if campaign and campaign.conditions:
            assert campaign.approved
            assert campaign.conditions == lane.terms.conditions, "conditions have changed"
        if batch.call is Call.PUT:
            assert campaign is None or campaign.conditions
            assert not (campaign and campaign.due), "it has to be looked at again first"
            assert not (campaign and campaign.keeps and not campaign.kept), "records have to be kept first"
            assert job_id not in self.cooling
            assert not self.guards.hold

    def gates_are_kept(self, batch: Batch) -> None:
        """Check how much of a batch may be sent."""
        if batch.call is not Call.PUT or batch.state is State.CANCELLING:
            return
        assert batch.most is not None
        if self.guards.hold:
            assert batch.most == 0
        elif self.guards.most_per_day:
            assert batch.most <= self.guards.most_per_day - self.sent_on[self.guards.day]

    def planner(self, lane: Lane, batch: Batch, fate: str) -> Any:
        campaign = self.campaigns.get(batch.job_id)
        return campaign and ModelPlanner(self.redis, campaign, lane.terms.conditions, fate)

    def on_send(self, lane: Lane, batch: Batch, ids: list[int]) -> None:
        super().on_send(lane, batch, ids)
        granted, campaign = self.grants[batch.seq], self.campaigns.get(batch.job_id)
        assert not granted.held
        if campaign:
            assert campaign.approved
            assert {campaign.verdicts[one] for one in ids} == {VerdictCode.DELETABLE}, "no plan calls them deletable"
            assert not granted.excluded.intersection(ids), "they were protected when it was looked at again"
            assert not campaign.unkept.intersection(ids), "nothing is kept of them"
        self.sent_on[granted.day] += len(ids)

    def record(self, lane: Lane) -> bool:
        assert lane.done
        batch, _ = lane.done
        recorded = super().record(lane)
        if recorded and batch.call is Call.SURVEY:
            self.follow(batch, lane.terms.conditions)
        return recorded

    def follow(self, batch: Batch, conditions: str) -> None:
        """Note what a step of a survey has changed."""
        job_id, campaign = batch.job_id, self.campaigns[batch.job_id]
        names = "state", "plan_digest", "rechecks", "bundle"
        state, plan, rechecks, bundle = self.do(self.redis.execute_command("HMGET", keys.job(job_id), *names))
        if plan and campaign.conditions is None:
            assert state.decode() == State.AWAITING_APPROVAL
            assert plan.decode() == campaign.digest(conditions)
            campaign.conditions = conditions
            self.ids[job_id] = campaign.ids
            if campaign.canary:
                self.canaries[job_id] = Canary(campaign.canary.contacts, len(campaign.ids))
        elif int(rechecks or 0) > batch.rechecks:
            campaign.due = False
            campaign.excluded = campaign.excluded_next(batch.rechecks)
        campaign.kept = bundle == b"kept"

    # What must always hold

    @invariant()
    def no_day_is_above_its_cap(self) -> None:
        assert all(not cap or self.sent_on[day] <= cap for day, cap in self.caps.items())

    @invariant()
    def no_survey_takes_two_steps_at_once(self) -> None:
        claims = map(msgspec.msgpack.decode, self.read(self.redis.execute_command("HVALS", keys.claims(PORTAL))))
        # The claim of a step is a list: number, job, call. That of a PUT is a map.
        steps = Counter(claim[1] for claim in claims if isinstance(claim, list) and claim[2] == chr(Call.SURVEY))
        assert not steps or max(steps.values()) == 1

    @invariant()
    def no_job_with_work_is_forgotten(self) -> None:
        known = {*self.now.stored.active, *self.now.stored.waiting}
        for job_id in self.ids:
            facts = self.now.stored.jobs[job_id].facts
            if State(facts["state"]) in TAKES_TURNS and not int(facts["inflight"]):
                assert job_id in known, f"a job is {facts['state']}, and nobody will look at it again"

    @invariant()
    def personal_data_are_kept_only_until_it_is_approved(self) -> None:
        for job_id in self.campaigns:
            if self.now.stored.jobs[job_id].has_sample:
                assert self.job(job_id).state is State.AWAITING_APPROVAL

    def as_many_departed_as_shown(self, job_id: str, shown: CanaryView, lines: list[Line]) -> None:
        campaign = self.campaigns.get(job_id)
        if campaign is None:
            super().as_many_departed_as_shown(job_id, shown, lines)
        elif shown.state in {CanaryState.RUNNING, CanaryState.WAITING}:
            assert shown.departed == sum(departs(campaign.verdicts[line.contact_id], line.code) for line in lines)

    # The end

    def finish_everything(self) -> None:
        for of_all in (True, False):
            self.do(switch(self.redis, Switch.START, [DECIDER.portal], of_all=of_all, by="test"))
        self.guards = Guards(day=self.guards.day + 1)
        super().finish_everything()

    def help_on(self, job: Job) -> None:
        campaign = self.campaigns.get(job.id)
        if campaign and campaign.expired and job.state is State.AWAITING_APPROVAL:
            self.do(control(self.redis, job.id, Event.CANCEL, by="test", lanes=0))
        elif job.state is State.AWAITING_APPROVAL:
            self.approve(job.id, "all of it" if campaign else "none", cools_off=False)
        super().help_on(job)

    def last_lane(self) -> Lane:
        every_way = list(product(["here", "there"], ["A", "B"]))
        return self.new_lane("old", *every_way[self.tokens % len(every_way)])

    def one_lane_works_it_off(self) -> None:
        CampaignMachine.time_passes.__wrapped__(self)  # type: ignore[attr-defined]
        super().one_lane_works_it_off()

    def compare(self, job_id: str, line: Line) -> None:
        campaign = self.campaigns.get(job_id)
        if self.job(job_id).state is State.FAILED:
            assert (line.code, line.attempts) == (Code.PENDING, 0)
            assert not self.sent[job_id, line.contact_id]
            return
        is_unkept = campaign is not None and line.contact_id in campaign.unkept
        if campaign and (is_unkept or campaign.verdicts[line.contact_id] is not VerdictCode.DELETABLE):
            assert line.code.outcome not in {Outcome.DELETED, Outcome.PRESUMED_DELETED, Outcome.FAILED}
            assert line.attempts == 0
        super().compare(job_id, line)


def test_nothing_is_sent_that_is_not_allowed_whatever_happens(server: EmbeddedServer) -> None:
    # For minutes of it: LEDGER_MACHINE_EXAMPLES=5000
    run(CampaignMachine, server, int(os.environ.get("LEDGER_MACHINE_EXAMPLES", "30")))
