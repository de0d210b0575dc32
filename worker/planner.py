"""Takes the steps of a survey: each is one call of the portal, and what it says about a job's contacts.

A step reads where the survey stands, makes its call, and returns everything that changes as one value, which the lane
records with the call. If the process dies before that, another lane takes the same step again.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias

import msgspec
from pyroaring import BitMap
from redis.asyncio import Redis

from config.portal import Portal
from jobs.bundles.facts import BundleState
from jobs.bundles.store import BundleStore
from jobs.lanes.grants import Batch, Terms
from jobs.lanes.survey_step import SurveyStep
from jobs.plan.facts import PLANNING_FACTS, planning_facts
from jobs.plan.summary import Planning, SampleContact
from jobs.plan.verdicts import pack, unpack
from jobs.store import keys
from jobs.words.contact_ids import MAX_CONTACT_ID, SEGMENT_SIZE, decode_segment, encode_segment
from jobs.words.filters import Filter, tag_key
from jobs.words.outcomes import Code
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from jobs.words.verdicts import VerdictCode
from worker.decide import Decider
from worker.exchange import MaySend
from worker.keeper import Keeper
from worker.plan_report import PlanRefused, PlanReport
from worker.portal_answers import Answer, Contact, Details, Failure, LookedUp, Page, Remedy, Tags
from worker.portal_client import PortalClient
from worker.records import matches
from worker.segments import Segments
from worker.survey import (
    Sampler,
    Stage,
    Survey,
    calls_by_listing,
    calls_by_look_ups,
    cheaper_way,
    stage_again,
)
from worker.survey_job import Stepped, SurveyJob
from worker.verdicts import BY_RIGHTS, Verdicts
from worker.walk import WalkFlaw

#: The smallest page of the listing that a survey falls back to, where larger ones take too long.
SMALLEST_PAGE = 25
#: The reason of answers that cannot be complete.
ANSWER_GARBLED = "answer_garbled"
#: Look-ups cost this many calls at least where it pays to ask how many contacts the portal lists on a page.
PROBE_FROM_CALLS = 10
#: While a job runs, protected tags are not looked at again more often than this, seconds.
SHORTEST_RECHECK_S = 60.0

EVERYTHING = Filter(everything=True)

_FACTS = (
    "filter",
    "total",
    "state",
    "survey",
    "plan_made_ms",
    "started_ms",
    "max_contacts",
    "undo",
    "bundle",
)
"""What a step reads of its job's hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Takes the steps of one portal's surveys.

    Args:
        redis: the connection.
        portal: the portal's settings.
        client: calls the portal.
        segments: the contact IDs; shared by the lanes of the process.
        protected: contact IDs that are never sent.
        report: adds a plan up.
        backoff_s: returns how long to wait after so many failures in a row.
        open_store: returns the portal's undo store.
    """

    redis: Redis
    portal: Portal
    client: PortalClient
    segments: Segments
    protected: BitMap
    report: PlanReport
    backoff_s: Callable[[int], float]
    open_store: Callable[[Portal], BundleStore] = BundleStore.of
    _verdicts: Verdicts = field(init=False)
    _keeper: Keeper = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_verdicts", Verdicts(self.portal, self.protected))
        keeper = Keeper(
            redis=self.redis,
            portal=self.portal,
            client=self.client,
            segments=self.segments,
            verdicts=self._verdicts,
            backoff_s=self.backoff_s,
            looked_again=self._looked_again,
            open_store=self.open_store,
        )
        object.__setattr__(self, "_keeper", keeper)

    async def step(self, batch: Batch, may_send: MaySend, is_last: Callable[[], bool] = lambda: False) -> Stepped:
        """Take the next step of a job's survey.

        Args:
            batch: the step, as a lane was given it.
            may_send: asked right before a request leaves.
            is_last: whether the lane ends after this step.

        Raises:
            LookupError: the job is gone.
        """
        job, survey = await self._read(batch)
        if survey is None:
            return Stepped(step=self._looked_again(job))
        if survey.stage is Stage.FINISH:
            return await self._finish(job, survey)
        if survey.stage is Stage.KEEP:
            return await self._keeper.step(job, survey, may_send, is_last)
        taken = await self._STAGES[survey.stage](self, job, survey, may_send)
        if isinstance(taken.answer, Failure):
            return self._failed(job, survey, taken.answer)
        survey.calls += 1
        if taken.flaw:
            return self._begin_again(survey, taken)
        survey.failures = 0
        return self._go_on(job, survey, taken)

    async def _read(self, batch: Batch) -> tuple[SurveyJob, Survey | None]:
        """Read a job, and where its survey stands; None if there is nothing to be looked at again."""
        values = await self.redis.execute_command("HMGET", keys.job(batch.job_id), *_FACTS)
        facts: dict[str, bytes] = {name: value for name, value in zip(_FACTS, values, strict=True) if value is not None}
        if "total" not in facts:
            raise LookupError(f"job {batch.job_id} is gone")
        since_plan_ms = batch.server_ms() - int(facts.get("plan_made_ms", 0))
        job = SurveyJob(
            batch=batch,
            filter=Filter.from_json(facts["filter"]) if "filter" in facts else None,
            total=int(facts["total"]),
            max_contacts=int(facts.get("max_contacts", 0)),
            is_planning=facts["state"].decode() == State.PLANNING,
            has_started="started_ms" in facts,
            needs_bundle=self._needs_bundle(facts),
            survey=facts.get("survey", b""),
            is_late="started_ms" not in facts and since_plan_ms >= self.portal.recheck_after_s * 1000,
        )
        if "survey" in facts:
            return job, _decode(facts["survey"])
        if job.is_planning:
            return job, Survey(stage=Stage.COUNT, sampler=Sampler(most=self.portal.plan_sample))
        if job.needs_bundle:
            return job, Survey(stage=Stage.KEEP)  # which also looks again, at every contact of the list
        again = stage_again(is_late=job.is_late, has_filter=job.filter is not None, tags=self.portal.protected_tags)
        return job, Survey(stage=again) if again else None

    def _needs_bundle(self, facts: Mapping[str, bytes]) -> bool:
        wants_one = "undo" in facts or self.portal.undo == "required"
        return wants_one and facts.get("bundle") != BundleState.KEPT.encode()

    async def _count(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Count the portal's contacts; for a large list also those that it lists on a page, which decides the way."""
        probes = job.filter is None and self._calls_by_look_ups(job) >= PROBE_FROM_CALLS
        asked = survey.walk.page_size if probes else 1
        answer = await self.client.list_page(0, asked, EVERYTHING, may_send=may_send)
        if isinstance(answer, Page):
            survey.portal_total = max(answer.total, len(answer.contacts))
            if len(answer.contacts) < asked and answer.next_index:
                survey.walk.page_size = max(2, len(answer.contacts))
        return _Taken(answer=answer, size=asked, ends_stage=True)

    async def _search(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Count what the search finds: it is cut off before anything else of the filter is looked at."""
        text = job.filter.text if job.filter else None
        answer = await self.client.list_page(0, 1, Filter(text=text), may_send=may_send)
        if isinstance(answer, Page):
            survey.search_hits = max(answer.total, len(answer.contacts))
        return _Taken(answer=answer, size=1, ends_stage=True)

    async def _select(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Collect the contacts that match, at the end of the list so far."""
        wanted = job.filter or EVERYTHING
        taken, contacts = await self._walk(survey, wanted, may_send)
        found = [contact for contact in contacts if matches(wanted, contact)]
        self._note(survey, found)
        for tag in wanted.without_tags:
            have = sum(tag_key(tag) in map(tag_key, contact.tags) for contact in contacts)
            survey.unwanted[tag] = survey.unwanted.get(tag, 0) + have
        codes = {contact.id: self._verdicts.of(contact) for contact in found}
        writes = await self._append(job, survey.position, codes)
        survey.position += len(codes)
        survey.selected = survey.position
        if isinstance(taken.answer, Page) and taken.answer.total:
            survey.expected = max(survey.read, taken.answer.total)  # the portal counts by its own, looser filter
        return taken.also(writes)

    async def _judge(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Find the contacts of the list in the whole listing; what is not there is absent."""
        taken, contacts = await self._walk(survey, EVERYTHING, may_send)
        codes = {contact.id: self._verdicts.of(contact) for contact in contacts}
        swept = await self._sweep(job, survey, keys.VERDICTS, codes, VerdictCode.ABSENT)
        self._note(survey, [contact for contact in contacts if contact.id in swept.found])
        return taken.also(swept.writes)

    async def _confirm(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Find the contacts of the list among those that match the filter now; the others do not match any more."""
        wanted = job.filter or EVERYTHING
        taken, contacts = await self._walk(survey, wanted, may_send)
        codes = {
            contact.id: Code.PROTECTED_TAG if self._verdicts.has_protected_tag(contact) else Code.PENDING
            for contact in contacts
            if matches(wanted, contact)
        }
        swept = await self._sweep(job, survey, keys.EXCLUSIONS, codes, Code.NO_LONGER_SELECTED)
        return taken.also(swept.writes)

    async def _tags(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Mark the contacts of the list that have a protected tag."""
        wanted = Filter(tags=(self.portal.protected_tags[survey.tag],))
        taken, contacts = await self._walk(survey, wanted, may_send)
        key, code = (
            (keys.VERDICTS, VerdictCode.PROTECTED_TAG) if job.is_planning else (keys.EXCLUSIONS, Code.PROTECTED_TAG)
        )
        codes = {contact.id: code for contact in contacts if matches(wanted, contact)}
        swept = await self._sweep(job, survey, key, codes, None)
        return taken.also(swept.writes)

    async def _look_up(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Look up the next contacts of the list that have no verdict yet."""
        number, start = divmod(survey.position, SEGMENT_SIZE)
        ids = await self.segments.ids(job.batch, number)
        codes = await self._codes(job, keys.VERDICTS, number, len(ids))
        for at in self._protected_places(ids, start, len(ids)):
            codes[at] = codes[at] or VerdictCode.PROTECTED_LIST
        places = [at for at in range(start, len(ids)) if not codes[at]]
        answer: LookedUp | Failure | None = None
        if places:
            most = survey.walk.page_size
            answer = await self.client.look_up([ids[at] for at in places[:most]], may_send=may_send)
        if isinstance(answer, Failure):
            return _Taken(answer=answer, size=len(places))
        asked = places[: len(answer.asked)] if answer else []
        for at in asked:
            visible = answer.visible.get(ids[at]) if answer else None
            codes[at] = BY_RIGHTS[visible] if visible else VerdictCode.ABSENT
            if visible:
                survey.sampler.offer(SampleContact(ids[at], "", "person", (), ""))
        done = places[len(asked)] if len(asked) < len(places) else len(ids)
        survey.position = number * SEGMENT_SIZE + done
        survey.read += done - start
        return _Taken(
            answer=answer,
            size=len(asked),
            writes=[(keys.VERDICTS, number, pack(codes))],
            ends_stage=survey.position >= job.total,
        )

    async def _details(self, _job: SurveyJob, survey: Survey, may_send: MaySend) -> "_Taken":
        """Read what the sample shows of its next contact: first its details, then its tags."""
        sampler = survey.sampler
        if not survey.detail:
            sampler.picks = sampler.sample()
        index, wants_tags = divmod(survey.detail, 2)
        if index >= len(sampler.picks):
            return _Taken(answer=None, ends_stage=True)
        contact_id = sampler.picks[index].contact_id
        answer: Details | Tags | Failure
        if wants_tags:
            answer = await self.client.read_tags(contact_id, may_send=may_send)
            if isinstance(answer, Tags):
                sampler.picks[index] = msgspec.structs.replace(sampler.picks[index], tags=answer.tags)
        else:
            answer = await self.client.read_details(contact_id, may_send=may_send)
            if isinstance(answer, Details) and answer.contact:
                sampler.picks[index] = _shown(answer.contact)
        if not isinstance(answer, Failure):
            survey.detail += 1
        return _Taken(answer=answer, size=1, ends_stage=survey.detail >= 2 * len(sampler.picks))

    _STAGES: ClassVar[Mapping[Stage, "_StageMethod"]] = {
        Stage.COUNT: _count,
        Stage.SEARCH: _search,
        Stage.SELECT: _select,
        Stage.JUDGE: _judge,
        Stage.CONFIRM: _confirm,
        Stage.TAGS: _tags,
        Stage.LOOK_UP: _look_up,
        Stage.DETAILS: _details,
    }

    async def _walk(self, survey: Survey, wanted: Filter, may_send: MaySend) -> "tuple[_Taken, Sequence[Contact]]":
        """Read the next page of the listing, and return the contacts that are new."""
        page = survey.walk.request()
        answer = await self.client.list_page(page.start_index, page.count, wanted, may_send=may_send)
        if isinstance(answer, Failure):
            return _Taken(answer=answer, size=survey.walk.page_size), ()
        new = survey.walk.feed(answer)
        if isinstance(new, WalkFlaw):
            return _Taken(answer=answer, size=len(answer.contacts), flaw=new), ()
        survey.read += len(new)
        return _Taken(answer=answer, size=len(answer.contacts), ends_stage=survey.walk.finished), new

    async def _append(self, job: SurveyJob, position: int, codes: Mapping[int, VerdictCode]) -> "list[_Write]":
        """Add contacts, ascending and beyond all earlier ones, to the list of a job that has none yet."""
        writes: list[_Write] = []
        rest = list(codes)
        while rest:
            number, start = divmod(position, SEGMENT_SIZE)
            known = array("I")
            verdicts = bytearray()
            if start:
                data = await self.redis.execute_command("HGET", keys.segments(job.id), str(number))
                known = decode_segment(data or b"")[:start]
                verdicts = (await self._codes(job, keys.VERDICTS, number, start))[:start]
            more, rest = rest[: SEGMENT_SIZE - start], rest[SEGMENT_SIZE - start :]
            known.extend(more)
            verdicts.extend(codes[contact_id] for contact_id in more)
            writes += [(keys.SEGMENTS, number, encode_segment(known)), (keys.VERDICTS, number, pack(verdicts))]
            position += len(more)
        return writes

    async def _sweep(
        self, job: SurveyJob, survey: Survey, key: str, codes: Mapping[int, int], missing: int | None
    ) -> "_Swept":
        """Enter what a page of the listing says about the contacts of a list, up to its last contact.

        Args:
            job: the job.
            survey: where its survey stands; moves on.
            key: what is entered: verdicts or exclusions.
            codes: the code of each contact of the page.
            missing: the code of contacts of the list that the listing passes over; None to leave them as they are.
        """
        last_id = MAX_CONTACT_ID if survey.walk.finished else survey.walk.last_id
        swept = _Swept()
        while survey.position < job.total:
            number, start = divmod(survey.position, SEGMENT_SIZE)
            ids = await self.segments.ids(job.batch, number)
            end = bisect_right(ids, last_id, start)
            places = {}
            for contact_id in codes:
                at = bisect_left(ids, contact_id, start, end)
                if at < end and ids[at] == contact_id:
                    places[at] = contact_id
            if end > start and (missing is not None or places):
                entered = await self._codes(job, key, number, len(ids))
                if missing is not None:
                    entered[start:end] = bytes([missing]) * (end - start)
                for at, contact_id in places.items():
                    entered[at] = codes[contact_id]
                if key == keys.VERDICTS:
                    for at in self._protected_places(ids, start, end):
                        entered[at] = VerdictCode.PROTECTED_LIST
                swept.writes.append((key, number, pack(entered)))
                swept.found.update(places.values())
            survey.position = number * SEGMENT_SIZE + end
            if end < len(ids):
                break
        return swept

    async def _codes(self, job: SurveyJob, key: str, segment: int, size: int) -> bytearray:
        """Read the codes of a segment so far; zeros where there are none."""
        codes = unpack(await self.redis.execute_command("HGET", keys.job(job.id) + key, str(segment)))
        codes.extend(bytes(size - len(codes)))
        return codes

    def _protected_places(self, ids: "array[int]", start: int, end: int) -> list[int]:
        """Return which positions of a part of a segment are on the protected list."""
        if not self.protected or not self.protected.intersect(BitMap(ids[start:end])):
            return []
        return [at for at in range(start, end) if ids[at] in self.protected]

    def _note(self, survey: Survey, contacts: Sequence[Contact]) -> None:
        """Note what a plan tells of contacts besides their verdicts."""
        for contact in contacts:
            survey.sampler.offer(_shown(contact))
            if contact.persons_count and self._verdicts.of(contact) is VerdictCode.DELETABLE:
                survey.companies += 1

    def _go_on(self, job: SurveyJob, survey: Survey, taken: "_Taken") -> Stepped:
        """Return the step that records what was found, and what comes next."""
        if taken.ends_stage and not self._next_stage(job, survey):
            return Stepped(step=self._looked_again(job, taken.writes), answer=taken.answer, size=taken.size)
        step = SurveyStep(facts=_kept(survey), writes=taken.writes)
        return Stepped(step=step, answer=taken.answer, size=taken.size)

    def _next_stage(self, job: SurveyJob, survey: Survey) -> bool:
        """Begin the stage that follows the present one; return False if there is none, because it only looked again."""
        tags = self.portal.protected_tags
        match survey.stage:
            case Stage.COUNT if job.filter is not None and job.filter.text:
                survey.go_to(Stage.SEARCH)
            case Stage.COUNT | Stage.SEARCH if job.filter is not None:
                survey.way, survey.expected = "listing", None
                survey.go_to(Stage.SELECT)
            case Stage.COUNT:
                self._choose_way(job, survey)
            case Stage.TAGS if survey.tag + 1 < len(tags):
                survey.tag += 1
                survey.go_to(Stage.TAGS)
            case Stage.TAGS if job.is_planning:
                survey.go_to(Stage.LOOK_UP)
            case Stage.LOOK_UP if survey.sampler.picks:
                survey.go_to(Stage.DETAILS)
            case Stage.TAGS | Stage.CONFIRM:
                return False
            case _:
                if survey.stage is Stage.JUDGE:
                    survey.portal_total = survey.read  # counted, and so better than what the listing said
                survey.go_to(Stage.FINISH)
        return True

    def _choose_way(self, job: SurveyJob, survey: Survey) -> None:
        """Choose the way that takes fewer calls."""
        by_listing = calls_by_listing(survey.portal_total, survey.walk.page_size)
        survey.way = cheaper_way(by_listing, self._calls_by_look_ups(job))
        if survey.way == "listing":
            survey.expected = survey.portal_total
            survey.go_to(Stage.JUDGE)
        else:
            survey.expected = job.total
            survey.go_to(Stage.TAGS if self.portal.protected_tags else Stage.LOOK_UP)

    def _calls_by_look_ups(self, job: SurveyJob) -> int:
        tags, sample = len(self.portal.protected_tags), self.portal.plan_sample
        return calls_by_look_ups(job.total, self.report.look_up_size, tags, sample)

    def _failed(self, job: SurveyJob, survey: Survey, failure: Failure) -> Stepped:
        """Return the step that tries again later.

        Where the portal does not accept the question at all, there can be no plan. A job that has one only looks again:
        it waits, and says why, until that works or a person cancels it.
        """
        hopeless = failure.sent and failure.action in {Remedy.SPLIT, Remedy.GIVE_UP}
        if hopeless and job.is_planning:
            return Stepped(step=_given_up(), answer=failure, error=failure.message)
        # A portal that lists fewer contacts than were looked up says so in no other way.
        is_cut = survey.stage is Stage.LOOK_UP and failure.reason == ANSWER_GARBLED
        if failure.shrink or is_cut:
            size = survey.walk.page_size
            survey.walk.page_size = min(size, max(1 if is_cut else SMALLEST_PAGE, size // 2))
        survey.failures += 1
        delay_s = self.backoff_s(survey.failures) if hopeless or failure.action is Remedy.RETRY else 0.0
        return Stepped(step=SurveyStep(facts=_kept(survey), delay_s=delay_s), answer=failure)

    def _begin_again(self, survey: Survey, taken: "_Taken") -> Stepped:
        """Return the step that begins a stage again, because the listing contradicts itself."""
        survey.failures += 1
        survey.go_to(survey.stage)
        survey.sampler = Sampler(most=survey.sampler.most)
        survey.companies = 0
        survey.unwanted = {}
        # What a shorter pass would not write again must not stay; a list itself is not ours to remove.
        clear = (keys.SEGMENTS, keys.VERDICTS) if survey.stage is Stage.SELECT else ()
        step = SurveyStep(facts=_kept(survey), clear=clear, delay_s=self.backoff_s(survey.failures))
        flaw = f"the portal's listing cannot be trusted: {taken.flaw.value}" if taken.flaw else None
        return Stepped(step=step, answer=taken.answer, size=taken.size, error=flaw)

    def _looked_again(self, job: SurveyJob, writes: "Sequence[_Write]" = ()) -> SurveyStep:
        """Return the step that ends a survey of a job with a plan: from now on, PUTs go on."""
        facts = {"rechecks": str(job.batch.rechecks + 1)}
        forget = ["survey", *PLANNING_FACTS]
        every_s = max(self.portal.recheck_after_s, SHORTEST_RECHECK_S)
        if self.portal.protected_tags:
            facts["survey_due_ms"] = str(job.batch.server_ms() + round(every_s * 1000))
        else:
            forget.append("survey_due_ms")
        return SurveyStep(facts=facts, forget=forget, writes=writes)

    async def _finish(self, job: SurveyJob, survey: Survey) -> Stepped:
        """Add the plan up, and have it wait for approval."""
        try:
            step = await self.report.of(job.batch, job.filter, survey, job.max_contacts)
        except PlanRefused as refused:
            return Stepped(step=_given_up(), error=str(refused))
        return Stepped(step=step)


def planner_for(
    redis: Redis,
    client: PortalClient,
    segments: Segments,
    decider: Decider,
    terms: Terms,
    *,
    open_store: Callable[[Portal], BundleStore] = BundleStore.of,
) -> Planner:
    """Return what takes the steps of a portal's surveys.

    Args:
        redis: the connection.
        client: calls the portal.
        segments: the contact IDs.
        decider: knows the portal's settings, its protected list and how long to wait after failures.
        terms: the portal's limits.
        open_store: returns the portal's undo store.
    """
    report = PlanReport(
        redis=redis, portal=decider.portal, look_up_size=terms.look_up_size, conditions=terms.conditions
    )
    return Planner(
        redis=redis,
        portal=decider.portal,
        client=client,
        segments=segments,
        protected=decider.protected,
        report=report,
        backoff_s=decider.backoff_s,
        open_store=open_store,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What one call said.

    Attributes:
        answer: the result of the call; None if there was none.
        size: contacts that it was about.
        writes: what of the job is written.
        ends_stage: whether it was the last one of its stage.
        flaw: why the listing cannot be trusted; None if it can.
    """

    answer: Answer | None
    size: int = 0
    writes: "Sequence[_Write]" = ()
    ends_stage: bool = False
    flaw: WalkFlaw | None = None

    def also(self, writes: "Sequence[_Write]") -> "_Taken":
        """Return the same with writes."""
        return replace(self, writes=writes)


@dataclass(slots=True)
class _Swept:
    """What a page said about the contacts of a list: what is written, and which of the contacts it had."""

    writes: "list[_Write]" = field(default_factory=list)
    found: set[int] = field(default_factory=set)


_Write: TypeAlias = tuple[str, int | str, bytes]
_StageMethod: TypeAlias = Callable[[Planner, SurveyJob, Survey, MaySend], Awaitable[_Taken]]

_decode = msgspec.json.Decoder(Survey).decode


def _kept(survey: Survey) -> dict[str, str]:
    """Return the fields in which a survey is kept, with its progress for people."""
    progress = Planning(
        way=survey.way,
        contacts_read=survey.read,
        contacts_expected=survey.expected,
        contacts_selected=survey.selected,
        calls=survey.calls,
    )
    return {"survey": msgspec.json.encode(survey).decode(), **planning_facts(progress)}


def _given_up() -> SurveyStep:
    return SurveyStep(
        facts={"state_reason": StateReason.BAD_REQUEST},
        forget=["survey", *PLANNING_FACTS],
        event=Event.CANNOT_PLAN,
    )


def _shown(contact: Contact) -> SampleContact:
    kind: Literal["person", "company"] = "company" if contact.is_company else "person"
    return SampleContact(contact.id, contact.display_name, kind, contact.tags, contact.created)
