"""What a test knows of campaigns: their plans, the portal's gates, and a planner that finds what the test chose."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from arq.connections import ArqRedis
from pyroaring import BitMap

from jobs.accept.submission import CanaryTerms
from jobs.bundles.kept import Kept
from jobs.lanes.gates import Gates
from jobs.lanes.grants import Batch
from jobs.lanes.survey_step import SurveyStep
from jobs.plan.digest import PlanDigest
from jobs.plan.facts import Findings
from jobs.plan.summary import SampleContact
from jobs.plan.verdicts import as_verdicts, count, pack
from jobs.store import keys
from jobs.words.contact_ids import encode_segment
from jobs.words.outcomes import Code
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from jobs.words.verdicts import VerdictCode
from tests.support.portal_model import failure
from worker.exchange import MaySend
from worker.portal_answers import Failure, LookedUp, Remedy
from worker.survey_job import Stepped

#: Later than any of these tests, Unix milliseconds.
_LATER_MS = 4_000_000_000_000


@dataclass
class Campaign:
    """A job with a plan.

    Attributes:
        verdicts: what its plan says of each of its contacts.
        by_filter: whether its survey finds the contacts; otherwise they are its list.
        steps: steps of each survey before its last one.
        fails: whether the survey finds out that there can be no plan.
        canary: its canary.
        due: whether it has to be looked at again before anything is sent.
        keeps: whether the records of its contacts are kept first.
        kept: whether they are.
        salt: makes that differ between campaigns.
        conditions: under which its plan was made; None until the plan stands.
        expired: whether the plan cannot be approved any more.
        approved: whether somebody has approved it.
        excluded: contacts that were found to be protected since.
    """

    verdicts: dict[int, VerdictCode]
    by_filter: bool
    steps: int
    fails: bool
    canary: CanaryTerms | None
    due: bool
    keeps: bool = False
    kept: bool = False
    salt: int = 0
    conditions: str | None = None
    expired: bool = False
    approved: bool = False
    excluded: set[int] = field(default_factory=set)

    @property
    def ids(self) -> BitMap:
        """The contacts that it is about."""
        return BitMap(self.verdicts)

    def codes(self, most: int) -> bytes:
        """Return the verdicts of the first contacts, as they are stored."""
        return bytes(self.verdicts[one] for one in self.ids[:most])

    def digest(self, conditions: str) -> str:
        """Return the digest of its plan."""
        plan = PlanDigest(keeps_records=self.keeps)
        plan.add(encode_segment(self.ids.to_array()), self.codes(len(self.ids)))
        return plan.hexdigest(conditions)

    @property
    def unkept(self) -> set[int]:
        """The contacts without a record, if records are kept."""
        return {one for one in self.ids if (one + self.salt) % 7 == 0} if self.keeps else set()

    def excluded_next(self, rechecks: int) -> set[int]:
        """Return which contacts the next look finds to be protected, besides those it found before."""
        return self.excluded | {one for one in self.ids if (one + 3 * rechecks + self.salt) % 5 == 0}


@dataclass
class Guards:
    """The gates of the portal, as they are at the moment.

    Attributes:
        is_open: whether its windows are open.
        is_opened: whether somebody has opened them once.
        stopped_by: the stops in force.
        day: number of the day.
        most_per_day: the cap of this day, or 0.
    """

    is_open: bool = True
    is_opened: bool = False
    stopped_by: set[bool] = field(default_factory=set)
    day: int = 0
    most_per_day: int = 0

    @property
    def hold(self) -> bool:
        """Whether no PUT may leave, whatever the cap says."""
        return bool(self.stopped_by) or not (self.is_open or self.is_opened)

    def told(self, address: str) -> Gates:
        """Return what a worker would tell the scripts."""
        return Gates(
            address=address,
            is_open=self.is_open,
            most_per_day=self.most_per_day,
            day=f"day {self.day}",
            day_ends_ms=_LATER_MS,
        )


@dataclass(frozen=True)
class ModelPlanner:
    """Takes the steps of surveys as a lane's planner does, and finds what the test has chosen.

    Attributes:
        redis: the connection.
        campaign: the campaign that a step is about.
        conditions: those of the lane.
        fate: what becomes of the call.
    """

    redis: ArqRedis
    campaign: Campaign
    conditions: str
    fate: str

    async def step(self, batch: Batch, may_send: MaySend, _is_last: Callable[[], bool]) -> Stepped:
        assert await may_send()
        names = "state", "survey", "bundle"
        state, survey, bundle = await self.redis.execute_command("HMGET", keys.job(batch.job_id), *names)
        done = int(survey or 0)
        if self.fate != "answered":
            return Stepped(step=SurveyStep(facts={"survey": str(done)}), answer=self._failure(), size=1)
        is_planning = state.decode() == State.PLANNING
        if is_planning:
            step = self._plan(batch, done)
        elif self.campaign.keeps and bundle != b"kept":
            step = self._keep(done)
        else:
            step = self._look_again(batch, done)
        return Stepped(step=step, answer=LookedUp({}, [], 200), size=1)

    def _failure(self) -> Failure:
        if self.fate == "stop":
            return failure(Remedy.STOP, may_have_deleted=False, reason="portal_forbidden")
        return failure(Remedy.RETRY, may_have_deleted=False, sent=self.fate != "unreachable")

    def _plan(self, batch: Batch, done: int) -> SurveyStep:
        campaign, total = self.campaign, len(self.campaign.ids)
        so_far = total * (done + 1) // (campaign.steps + 1)
        codes = campaign.codes(so_far)
        writes = [(keys.VERDICTS, 0, pack(codes))] if codes else []
        if campaign.by_filter and codes:
            writes.append((keys.SEGMENTS, 0, encode_segment(campaign.ids[:so_far].to_array())))
        if done < campaign.steps:
            return SurveyStep(facts={"survey": str(done + 1)}, writes=writes)
        if campaign.fails:
            reason = {"state_reason": StateReason.BAD_REQUEST}
            return SurveyStep(facts=reason, forget=["survey"], event=Event.CANNOT_PLAN)
        if not total:
            return SurveyStep(forget=["survey"], event=Event.NOTHING_SELECTED)
        made_ms = batch.server_ms()
        facts = {
            "total": str(total),
            "plan": _findings(codes).json(),
            "plan_digest": campaign.digest(self.conditions),
            "plan_conditions": self.conditions,
            "plan_made_ms": str(made_ms),
            "plan_expires_ms": str(made_ms + 3_600_000),
            "plan_share": "0.5",
        }
        if campaign.canary:
            facts |= {name: str(value) for name, value in campaign.canary.facts(total).items()}
        if campaign.due:
            facts["survey_due_ms"] = str(made_ms)
        sample = [SampleContact(campaign.ids[0], "Somebody", "person", (), "")]
        return SurveyStep(
            facts=facts,
            forget=["survey"],
            writes=writes,
            event=Event.PLANNED,
            sample=msgspec.json.encode(sample).decode(),
            sample_until_ms=made_ms + 3_600_000,
        )

    def _keep(self, done: int) -> SurveyStep:
        if done < self.campaign.steps:
            return SurveyStep(facts={"survey": str(done + 1), "bundle": "making", "bundle_id": "B", "bundle_late": ""})
        codes = bytes(Kept.NONE if one in self.campaign.unkept else Kept.RECORD for one in self.campaign.ids)
        facts = {"bundle": "kept", "bundle_id": "B", "bundle_late": ""}
        return SurveyStep(facts=facts, forget=["survey", "keeper"], writes=[(keys.KEPT, 0, pack(codes))])

    def _look_again(self, batch: Batch, done: int) -> SurveyStep:
        excluded, total = self.campaign.excluded_next(batch.rechecks), len(self.campaign.ids)
        so_far = total * (done + 1) // (self.campaign.steps + 1)
        codes = bytes(
            Code.PROTECTED_TAG if one in (excluded if at < so_far else self.campaign.excluded) else Code.PENDING
            for at, one in enumerate(self.campaign.ids)
        )
        writes = [(keys.EXCLUSIONS, 0, pack(codes))]
        if done < self.campaign.steps:
            return SurveyStep(facts={"survey": str(done + 1)}, writes=writes)
        facts = {"rechecks": str(batch.rechecks + 1)}
        return SurveyStep(facts=facts, forget=["survey", "survey_due_ms"], writes=writes)


def _findings(codes: bytes) -> Findings:
    return Findings(
        portal_total=400, counts=as_verdicts(count(codes).items()), share=0.5, calls=1, estimate_s=(1.0, 2.0)
    )
