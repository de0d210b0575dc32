"""Makes the bundle of a job in steps of one call each: reads the records of its contacts, and writes them to the store.

    begin → opportunities → cases → (a page, or look-ups → an object)* → manifest

An object is put into the store first; only then are its entry in the manifest and the new checkpoint recorded, in the
step's atomic script. A worker that dies before that leaves an object that no manifest names, which goes with the rest
of the bundle. What is in memory and what is in Redis: worker/making.py.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import msgspec
from pyroaring import BitMap
from redis.asyncio import Redis
from ulid import ULID

from config.portal import Portal
from jobs.bundles.codec import Packer, Sealed
from jobs.bundles.errors import StoreTrouble
from jobs.bundles.expiry import bundle_member
from jobs.bundles.facts import BundleState
from jobs.bundles.kept import UNFINISHED, pack, unpack
from jobs.bundles.manifest import KeptObject, Manifest, read_object_entry
from jobs.bundles.names import folder, manifest_name, object_name
from jobs.bundles.record import with_tags
from jobs.bundles.store import BundleStore
from jobs.lanes.survey_step import SurveyStep
from jobs.plan.facts import PLANNING_FACTS, planning_facts
from jobs.plan.summary import Planning
from jobs.store import keys
from jobs.store.kept import MOST_KEEPING
from jobs.store.times import iso
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.filters import Filter
from jobs.words.outcomes import Code
from jobs.words.reasons import StateReason
from worker.exchange import MaySend
from worker.links import Kind, LinkListing
from worker.making import Judge, Making, Need, Pending, Segment
from worker.portal_answers import Answer, Details, Failure, LinkPage, Page, Remedy, Tags
from worker.portal_client import PortalClient
from worker.segments import Segments
from worker.survey import Keeping, Survey, calls_by_listing, cheaper_way
from worker.survey_job import Stepped, SurveyJob
from worker.verdicts import Verdicts
from worker.walk import FULL_PAGE, WalkFlaw

#: The smallest page that is asked for where larger ones take too long.
_SMALLEST_PAGE = 25
#: Calls that the record of one contact takes without the listing: its details, and its tags.
_CALLS_PER_CONTACT = 2

#: What is in memory of a bundle of which this process takes no step any more is forgotten after this time.
_FORGET_AFTER_S = 3600.0

EVERYTHING = Filter(everything=True)
_NOTHING_IN_MEMORY = ("keeper", "keeper_until_ms")

_Write: TypeAlias = tuple[str, int | str, bytes]


@dataclass(slots=True)
class _Written:
    """What a step has written, and records.

    Attributes:
        facts: fields of the job's hash.
        writes: what goes into other hashes.
        kept: records written, and their bytes.
        trouble: why an object could not be written; empty if all is well.
        nothing_in_memory: whether any worker can go on without reading anything again.
    """

    facts: dict[str, str] = field(default_factory=dict)
    writes: list[_Write] = field(default_factory=list)
    kept: tuple[int, int] = (0, 0)
    trouble: str = ""
    nothing_in_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Takes the steps in which a portal's bundles are made.

    Args:
        redis: the connection.
        portal: the portal's settings.
        client: calls the portal.
        segments: the contact IDs; shared by the lanes of the process.
        verdicts: knows what protects a contact.
        backoff_s: returns how long to wait after so many failures in a row.
        looked_again: returns the step that ends a survey of a job with a plan.
        open_store: returns the store.
    """

    redis: Redis
    portal: Portal
    client: PortalClient
    segments: Segments
    verdicts: Verdicts
    backoff_s: Callable[[int], float]
    looked_again: Callable[[SurveyJob], SurveyStep]
    open_store: Callable[[Portal], BundleStore] = BundleStore.of
    _making: OrderedDict[str, Making] = field(default_factory=OrderedDict)
    _stores: list[BundleStore] = field(default_factory=list)

    async def step(self, job: SurveyJob, survey: Survey, may_send: MaySend, is_last: Callable[[], bool]) -> Stepped:
        """Take the next step of a bundle.

        Args:
            job: the job.
            survey: where it stands, as Redis has it.
            may_send: asked right before a request leaves.
            is_last: whether the lane ends after this step, so that what is in memory has to be written.

        Raises:
            LookupError: the job is gone.
        """
        try:
            store = self._store()
            if survey.keeping is None:
                return await self._begin(job, survey, may_send)
            making = await self._go_on_with(job, survey, survey.keeping)
        except StoreTrouble as trouble:
            return _stopped(str(trouble))
        if making.sealed or (making.segment_is_read and making.settled < job.total):
            return await self._advance(job, making, store, is_last, _Called())
        if making.settled >= job.total:
            return await self._finish(job, making, store)
        called = await self._call(job, making, may_send)
        if isinstance(called.answer, Failure):
            return self._failed(making, called.answer)
        making.survey.calls += called.answer is not None
        if called.flaw:
            return self._begin_again(job, survey, called)
        making.survey.failures = 0
        return await self._advance(job, making, store, is_last, called)

    def _store(self) -> BundleStore:
        if not self._stores:
            self._stores.append(self.open_store(self.portal))
        return self._stores[0]

    async def _begin(self, job: SurveyJob, survey: Survey, may_send: MaySend) -> Stepped:
        """Choose the way, and note that a bundle is being made before anything of it is written."""
        if not self.portal.undo_recipients:
            return _stopped(f"portal {self.portal.name} has no undo_recipients to encrypt records to")
        answer: Page | Failure | None = None
        survey.way, survey.expected = "listing", job.total
        if job.filter is None:
            answer = await self.client.list_page(0, 1, EVERYTHING, may_send=may_send)
            if isinstance(answer, Failure):
                return _tried_later(answer, {}, self.backoff_s(1))
            survey.calls, total = 1, max(answer.total, len(answer.contacts))
            by_listing = calls_by_listing(total, FULL_PAGE)
            survey.way = cheaper_way(by_listing, _CALLS_PER_CONTACT * job.total)
            survey.expected = total if survey.way == "listing" else job.total
        survey.keeping = Keeping(bundle=str(ULID()))
        facts = {
            **_progress(survey),
            "survey": _encoded(survey).decode(),
            "undo": "1",
            "bundle": BundleState.MAKING,
            "bundle_id": survey.keeping.bundle,
            "bundle_made_ms": str(job.batch.server_ms()),
            "bundle_days": str(self.portal.undo_days),
            "bundle_late": "1" if job.has_started else "",
            **_size(survey.keeping),
        }
        name = bundle_member(self.portal.name, job.id, survey.keeping.bundle)
        step = SurveyStep(facts=facts, clear=(keys.KEPT, keys.OBJECTS), begins_bundle=name)
        return Stepped(step=step, answer=answer, size=1 if answer else 0)

    async def _go_on_with(self, job: SurveyJob, survey: Survey, keeping: Keeping) -> Making:
        """Return what is in memory of a bundle, if it follows on the checkpoint; else begin again there."""
        making = self._making.get(job.id)
        if making is None or making.checkpoint != job.survey:
            is_same = making is not None and making.keeping.bundle == keeping.bundle
            links = making.links if making is not None and is_same else await self._links(job)
            number = min(survey.position, job.total - 1) // SEGMENT_SIZE
            segment = await self._segment(job, number, unfinished=survey.position > number * SEGMENT_SIZE)
            making = Making(
                checkpoint=job.survey,
                survey=survey,
                keeping=keeping,
                segment=segment,
                links=links,
                written=survey.position,
            )
            self._making[job.id] = making
            if len(self._making) > MOST_KEEPING:
                self._making.popitem(last=False)
        self._making.move_to_end(job.id)
        making.used_s = time.monotonic()
        for other in [name for name, one in self._making.items() if making.used_s - one.used_s > _FORGET_AFTER_S]:
            del self._making[other]  # its job was cancelled, or others have gone on with it
        return making

    async def _links(self, job: SurveyJob) -> dict[Kind, LinkListing]:
        wanted = BitMap()
        for number in range(-(-job.total // SEGMENT_SIZE)):
            wanted |= BitMap(await self.segments.ids(job.batch, number))
        return {kind: LinkListing(kind, wanted, calls_instead=job.total) for kind in Kind}

    async def _segment(self, job: SurveyJob, number: int, *, unfinished: bool) -> Segment:
        ids = await self.segments.ids(job.batch, number)
        codes = bytearray()
        if unfinished:
            codes = unpack(await self.redis.execute_command("HGET", keys.kept(job.id), UNFINISHED))
        codes.extend(bytes(len(ids) - len(codes)))
        if not job.batch.plan:
            return Segment(number, ids, codes)
        verdicts = unpack(await self.redis.execute_command("HGET", keys.verdicts(job.id), str(number)))
        exclusions = unpack(await self.redis.execute_command("HGET", keys.exclusions(job.id), str(number)))
        exclusions.extend(bytes(len(ids) - len(exclusions)))
        return Segment(number, ids, codes, verdicts, exclusions)

    async def _call(self, job: SurveyJob, making: Making, may_send: MaySend) -> "_Called":
        """Make the next call, and take what it says into memory."""
        for listing in making.links.values():
            if not listing.finished:
                page = await self.client.read_links(listing.kind, *listing.request(), may_send=may_send)
                if isinstance(page, LinkPage):
                    listing.feed(page)
                elif page.shrink:
                    listing.page_size = max(_SMALLEST_PAGE, listing.page_size // 2)
                return _Called(page, 0)
        if not making.pending and making.survey.way == "listing":
            return await self._turn_page(job, making, may_send)
        if not making.pending:
            making.take_next(self.verdicts.protected)
        if not making.pending:
            return _Called()
        return await self._ask_about(job, making, making.pending[0], may_send)

    async def _turn_page(self, job: SurveyJob, making: Making, may_send: MaySend) -> "_Called":
        walk, wanted = making.survey.walk, job.filter or EVERYTHING
        request = walk.request()
        answer = await self.client.list_page(
            request.start_index, request.count, wanted, may_send=may_send, with_records=True
        )
        if isinstance(answer, Failure):
            return _Called(answer, walk.page_size)
        before = msgspec.structs.replace(walk)
        new = walk.feed(answer)
        if isinstance(new, WalkFlaw):
            return _Called(answer, len(answer.contacts), new)
        making.before = before
        making.turn_page(new, answer.records[len(answer.records) - len(new) :])
        making.survey.read += len(new)
        return _Called(answer, len(answer.contacts))

    async def _ask_about(self, job: SurveyJob, making: Making, one: Pending, may_send: MaySend) -> "_Called":
        answer: Details | Tags | LinkPage | Failure
        match one.needs[0]:
            case Need.DETAILS:
                answer = await self.client.read_details(one.contact_id, may_send=may_send, with_record=True)
                if isinstance(answer, Details):
                    at = one.place - making.segment.start
                    if answer.contact is None or not self._judge(job).keeps(making.segment, at, answer.contact):
                        making.drop_first()
                        return _Called(answer, 1)
                    one.record = answer.record
            case Need.TAGS:
                answer = await self.client.read_tags(one.contact_id, may_send=may_send)
                if isinstance(answer, Tags):
                    at = one.place - making.segment.start
                    if job.batch.plan and self.verdicts.protects(answer.tags):
                        making.segment.exclude(at, Code.PROTECTED_TAG)
                        making.drop_first()
                        return _Called(answer, 1)
                    one.record = with_tags(one.record, answer.tags)
            case need:
                listing = one.listing(need.value)
                answer = await self.client.read_links(
                    listing.kind, *listing.request(), contact_id=one.contact_id, may_send=may_send
                )
                if isinstance(answer, LinkPage):
                    listing.feed(answer)
                    if listing.by_contact:
                        return _Called(answer, 1, WalkFlaw.STUCK)
                    if not listing.finished:
                        return _Called(answer, 1)
        if not isinstance(answer, Failure):
            one.needs.pop(0)
            making.survey.read += not one.needs
        return _Called(answer, 1)

    def _judge(self, job: SurveyJob) -> Judge:
        return Judge(
            filter=job.filter, verdicts=self.verdicts, has_plan=bool(job.batch.plan), has_started=job.has_started
        )

    async def _advance(
        self, job: SurveyJob, making: Making, store: BundleStore, is_last: Callable[[], bool], called: "_Called"
    ) -> Stepped:
        """Sort out what was read, and write an object where one is due."""
        written = _Written(facts=_progress(making.survey))
        while not written.trouble:
            if not making.sealed:
                if making.survey.way == "listing":
                    making.sort(self._judge(job))
                making.pack()
            if not making.sealed and not making.segment_is_read:
                break
            await self._write(job, making, store, written)
            if making.settled >= job.total or not making.segment_is_read:
                break
            if not written.trouble:
                making.segment = await self._segment(job, making.segment.number + 1, unfinished=False)
        is_new = making.settled > making.written
        if is_new and not written.trouble and not making.segment_is_read and (is_last() or not making.packer.contacts):
            await self._write(job, making, store, written)
        if is_last() and not written.trouble:
            written.nothing_in_memory = True
        step = SurveyStep(
            facts=written.facts,
            writes=written.writes,
            kept=written.kept,
            forget=_NOTHING_IN_MEMORY if written.nothing_in_memory else (),
        )
        if written.trouble:
            return Stepped(
                step=step,
                answer=called.answer,
                size=called.size,
                error=written.trouble,
                stop=StateReason.UNDO_STORE,
            )
        return Stepped(step=step, answer=called.answer, size=called.size)

    async def _write(self, job: SurveyJob, making: Making, store: BundleStore, written: _Written) -> None:
        """Write what is packed as an object, and note a new checkpoint behind it."""
        keeping, segment = making.keeping, making.segment
        if making.packer.contacts:
            if making.sealed is None:
                making.sealed = await asyncio.to_thread(self._seal, making.packer)
            entry = _entry(job.id, keeping, segment.number, making.sealed)
            try:
                await store.put(entry.name, making.sealed.data)
            except StoreTrouble as trouble:
                written.trouble = str(trouble)
                return
            making.sealed, making.packer = None, Packer()
            keeping.objects += 1
            keeping.contacts += entry.contacts
            keeping.bytes += entry.stored_bytes
            written.writes.append((keys.OBJECTS, str(entry.part), entry.json()))
            written.facts |= _size(keeping)
            written.kept = written.kept[0] + entry.contacts, written.kept[1] + entry.stored_bytes
        complete = making.segment_is_read
        written.writes.append((keys.KEPT, segment.number if complete else UNFINISHED, pack(segment.codes)))
        if segment.exclusions:
            written.writes.append((keys.EXCLUSIONS, segment.number, pack(segment.exclusions)))
        making.written = making.settled
        making.checkpoint = _encoded(making.at_checkpoint())
        written.facts["survey"] = making.checkpoint.decode()

    def _seal(self, packer: Packer) -> Sealed:
        packer.close()
        return packer.seal(self.portal.read_recipients())

    async def _finish(self, job: SurveyJob, making: Making, store: BundleStore) -> Stepped:
        """Write the manifest: from now on, contacts can be sent."""
        keeping = making.keeping
        pipe = self.redis.pipeline(transaction=True)
        pipe.execute_command("HMGET", keys.job(job.id), "bundle_id", "bundle_made_ms")
        pipe.execute_command("HGETALL", keys.bundle_objects(job.id))
        pipe.execute_command("HKEYS", keys.kept(job.id))
        [bundle_id, made_ms], entries, segments = await pipe.execute()
        objects = sorted(map(read_object_entry, _values(entries)), key=lambda kept: kept.part)
        complete = {str(number).encode() for number in range(-(-job.total // SEGMENT_SIZE))} <= set(segments)
        if bundle_id != keeping.bundle.encode() or not complete or len(objects) != keeping.objects:
            # Redis has lost a part of what was recorded. Nothing has been sent, so the bundle is begun anew.
            del self._making[job.id]
            lost = "what was recorded of the bundle is not in Redis any more; it is begun again"
            return Stepped(step=SurveyStep(forget=["survey", *_NOTHING_IN_MEMORY]), error=lost)
        try:
            stored = await store.sizes(folder(job.id, keeping.bundle))
        except StoreTrouble as trouble:
            return _stopped(str(trouble))
        gone = sum(stored.get(kept.name) != kept.stored_bytes for kept in objects)
        if gone:
            # Nothing has been sent. Not at once, or a store that keeps losing objects would cost survey after survey.
            del self._making[job.id]
            lost = f"the undo store has lost {gone:,} of {len(objects):,} objects; they are made again after a resume"
            step = SurveyStep(forget=["survey", *_NOTHING_IN_MEMORY])
            return Stepped(step=step, error=lost, stop=StateReason.UNDO_STORE)
        manifest = Manifest(
            job=job.id,
            bundle=keeping.bundle,
            portal=self.portal.name,
            address=self.portal.address,
            made_at=iso(int(made_ms)),
            keep_days=self.portal.undo_days,
            total=job.total,
            contacts=keeping.contacts,
            stored_bytes=keeping.bytes,
            objects=tuple(objects),
        )
        data = manifest.json()
        try:
            await store.put(manifest_name(job.id, keeping.bundle), data)
        except StoreTrouble as trouble:
            return _stopped(str(trouble))
        del self._making[job.id]
        step = self.looked_again(job) if job.batch.plan else SurveyStep()
        facts = {"bundle": BundleState.KEPT, "bundle_sha256": hashlib.sha256(data).hexdigest(), **_size(keeping)}
        forget = {"survey", *PLANNING_FACTS, *_NOTHING_IN_MEMORY, *step.forget}
        return Stepped(step=replace(step, facts={**step.facts, **facts}, forget=sorted(forget)))

    def _failed(self, making: Making, failure: Failure) -> Stepped:
        """Return the step that tries again later."""
        walk = making.survey.walk
        if failure.shrink and not making.pending:
            walk.page_size = min(walk.page_size, max(_SMALLEST_PAGE, walk.page_size // 2))
        making.survey.failures += 1
        return _tried_later(failure, _progress(making.survey), self.backoff_s(making.survey.failures))

    def _begin_again(self, job: SurveyJob, survey: Survey, called: "_Called") -> Stepped:
        """Return the step that goes back to the checkpoint, because the listing contradicts itself."""
        self._making.pop(job.id, None)
        survey.failures += 1
        step = SurveyStep(facts={"survey": _encoded(survey).decode()}, delay_s=self.backoff_s(survey.failures))
        flaw = f"the portal's listing cannot be trusted: {called.flaw.value}" if called.flaw else None
        return Stepped(step=step, answer=called.answer, size=called.size, error=flaw)


@dataclass(frozen=True, slots=True)
class _Called:
    """One call.

    Attributes:
        answer: what came of it; None if there was none.
        size: contacts that it was about.
        flaw: why the listing cannot be trusted; None if it can.
    """

    answer: Answer | None = None
    size: int = 0
    flaw: WalkFlaw | None = None


_encoded = msgspec.json.Encoder().encode


def _values(hash_reply: "dict[bytes, bytes] | Sequence[bytes]") -> list[bytes]:
    return list(hash_reply.values()) if isinstance(hash_reply, dict) else list(hash_reply[1::2])


def _entry(job_id: str, keeping: Keeping, segment: int, sealed: Sealed) -> KeptObject:
    return KeptObject(
        name=object_name(job_id, keeping.bundle, segment, sealed.sha256),
        segment=segment,
        part=keeping.objects,
        contacts=sealed.contacts,
        stored_bytes=len(sealed.data),
        plain_bytes=sealed.plain_bytes,
        sha256=sealed.sha256,
    )


def _size(keeping: Keeping) -> dict[str, str]:
    return {
        "bundle_contacts": str(keeping.contacts),
        "bundle_bytes": str(keeping.bytes),
        "bundle_objects": str(keeping.objects),
    }


def _progress(survey: Survey) -> dict[str, str]:
    """Return the fields that tell people how far it is."""
    return planning_facts(
        Planning(
            way=survey.way,
            contacts_read=survey.read,
            contacts_expected=survey.expected,
            contacts_selected=None,
            calls=survey.calls,
        )
    )


def _tried_later(failure: Failure, facts: dict[str, str], backoff_s: float) -> Stepped:
    hopeless = failure.sent and failure.action in {Remedy.SPLIT, Remedy.GIVE_UP}
    delay_s = backoff_s if hopeless or failure.action is Remedy.RETRY else 0.0
    return Stepped(step=SurveyStep(facts=facts, delay_s=delay_s), answer=failure)


def _stopped(why: str) -> Stepped:
    """Return the step that pauses the job until a person has put the undo store right."""
    return Stepped(step=SurveyStep(), error=why, stop=StateReason.UNDO_STORE)
