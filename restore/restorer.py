"""A restore from its plan to its last check: companies first, then persons, then one look at all that was created."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

from pyroaring import BitMap

from restore import calls
from restore.caller import Caller, read_state
from restore.calls import Known
from restore.entry import Entry, Reason, Stage
from restore.errors import NothingToRestore, PortalRefuses
from restore.inventory import still_there, take_inventory
from restore.ledger import RestoreLedger
from restore.likeness import is_untouched, key_of_call, key_of_contact
from restore.lost import NONE, Lost
from restore.maker import Maker
from restore.newest import Newest
from restore.record import Record
from restore.report import Row, row_of
from restore.survey import Costs, Summary, Survey
from restore.targets import Targets

#: So many contacts in a row that fail, but for being refused, are the portal's trouble and not theirs.
_MOST_FAILED_IN_A_ROW = 5
#: Contacts of a page of the last check.
_PAGE = 1000

Records = Callable[[], AsyncIterator[Record]]


@dataclass(slots=True)
class Restorer:
    """Restores the contacts of one job.

    Args:
        job_id: the job.
        caller: makes the calls.
        ledger: what has been restored so far.
        targets: which contacts.
        records: reads the records of the job's bundle from the beginning, in ascending order of contact ID.
    """

    job_id: str
    caller: Caller
    ledger: RestoreLedger
    targets: Targets
    records: Records
    there: BitMap = field(default_factory=BitMap)
    """Contacts, and companies of contacts, that exist under their old IDs."""
    expected: dict[int, Lost] = field(default_factory=dict)
    """What each contact that is yet to be restored will probably lack."""
    known: Known = field(default_factory=Known)
    _survey: Survey = field(init=False)
    _keys: dict[bytes, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._survey = Survey(self.targets)

    # --- the plan ----------------------------------------------------------------------------------------------------

    async def plan(self) -> Summary:
        """Read all records, ask the portal what is there, and add up what is to be done.

        Raises:
            NothingToRestore: the job deleted none of the contacts that are meant.
            PortalRefuses: the portal does not say what is there.
            RestoreStopped: somebody has stopped the portal.
        """
        if not self.targets.wanted:
            raise NothingToRestore(f"job {self.job_id} deleted none of these contacts, so there is nothing to restore")
        await self.caller.check()
        async for record in self.records():
            self._survey.take(record)
        self.there = await still_there(self.caller, self._unmade() | (self._survey.employers - self.targets.gone))
        self.known = await take_inventory(self.caller, opportunities=self._survey.linked, cases=self._survey.in_cases)
        costs = Costs(self._survey, self.known)
        async for record in self.records():
            if self._is_to_do(record):
                self.expected[record.id] = costs.add(record, has_company=self._will_have_company(record))
        state = await read_state(self.caller.redis, self.caller.portal.name)
        wanted, ceiling = self.targets.wanted, self.caller.portal.requests_per_second
        return Summary(
            job=self.job_id,
            portal=self.caller.portal.name,
            contacts=len(wanted),
            companies=costs.companies,
            persons=costs.persons,
            restored_before=len(wanted) - len(self._unmade()),
            still_there=len(wanted & self.there),
            no_record=len(self._unmade() - self._survey.seen - self.there),
            calls=costs.calls,
            estimate_s=round(self.caller.estimate_s(costs.calls, state.learned_rate(ceiling)), 1),
            lost={word: costs.lost[kind] for kind in Lost for word in kind.words if costs.lost[kind]},
        )

    # --- carrying it out ---------------------------------------------------------------------------------------------

    @property
    def total(self) -> int:
        """How many contacts are yet to be restored, after `plan`."""
        return len(self.expected)

    async def run(self, show: Callable[[int], None]) -> bool:
        """Restore the contacts, then check them all.

        Args:
            show: called with the number of contacts that are done, after each.

        Returns:
            False if the user stopped it: then the contact in flight is finished, and others are left.

        Raises:
            RestoreStopped: it cannot go on now; started again it carries on.
        """
        if self.ledger.finished and not self.expected:
            return True  # the report is all that is wanted
        newest = Newest(self.caller)
        top = await newest.top()
        await self.ledger.note_watermark(top)
        maker = Maker(self.caller, self.ledger, newest, self.known, set(self._created()), top)
        if not await self._make_all(maker, show):
            return False
        await self._check_all(newest, maker)
        await self.ledger.note_finished()
        return True

    async def _make_all(self, maker: Maker, show: Callable[[int], None]) -> bool:
        done = failed = 0
        for companies in (True, False):
            async for record in self.records():
                if record.is_company is not companies or record.id not in self.targets.wanted:
                    continue
                if self._is_to_do(record):
                    if self.caller.stopping.is_set():
                        return False
                    await self.caller.check()
                    entry = await self._make(maker, record)
                    done += 1
                    show(done)
                    trouble = entry.stage is Stage.FAILED and entry.reason is not Reason.REJECTED
                    failed = failed + 1 if trouble else 0
                    if failed >= _MOST_FAILED_IN_A_ROW:
                        raise PortalRefuses(
                            f"portal {self.caller.portal.name} failed to create {failed} contacts in a row "
                            f"({entry.reason.word}); find out why, then start the command again"
                        )
                elif Lost.COMPANY in self._entry(record.id).lost and (company := self._company_of(record)):
                    await maker.join(self._entry(record.id), self.targets.at(record.id), company)
                self._remember(record)
        return True

    async def _make(self, maker: Maker, record: Record) -> Entry:
        place = self.targets.at(record.id)
        company = self._company_of(record)
        lost = self._survey.lost_for_good(record, has_company=bool(company))
        return await maker.restore(record, place, company, lost)

    def _remember(self, record: Record) -> None:
        """Remember what a contact that was created is recognised by, for the last check."""
        if self._entry(record.id).attempts:
            key = key_of_call(calls.creation(record, self._company_of(record), self.known))
            self._keys.setdefault(key, []).append(record.id)

    # --- the last check ----------------------------------------------------------------------------------------------

    async def _check_all(self, newest: Newest, maker: Maker) -> None:
        """Check that each created contact is there, and look for a second one of each."""
        created, present = self._created(), BitMap()
        async for contact in newest.down_to(self.ledger.watermark or 0, _PAGE):
            present.add(contact.id)
            if contact.id not in maker.claimed and is_untouched(contact):
                await self._note_twin(contact)
        missing = BitMap(created) - present
        for new_id in missing - await still_there(self.caller, missing):
            old_id = created[new_id]
            place = self.targets.at(old_id)
            await self.ledger.write(place.segment, place.offset, replace(self._entry(old_id), stage=Stage.VANISHED))

    async def _note_twin(self, contact: Record) -> None:
        known = set(self.ledger.twins.values())
        alike = [old_id for old_id in self._keys.get(key_of_contact(contact), ()) if old_id not in self.ledger.twins]
        if alike and contact.id not in known:
            # Most likely a second effect of a contact whose creation was tried more than once.
            alike.sort(key=lambda old_id: self._entry(old_id).attempts, reverse=True)
            await self.ledger.note_twin(alike[0], contact.id)

    # --- the report --------------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[Row]:
        """Return the lines of the report, after `plan`."""
        for old_id in self.targets.wanted:
            yield row_of(
                old_id,
                self._entry(old_id),
                has_record=old_id in self._survey.seen,
                is_there=old_id in self.there,
                twin=self.ledger.twins.get(old_id),
                expected=self.expected.get(old_id, NONE),
            )

    # --- what is known of a contact ----------------------------------------------------------------------------------

    def _entry(self, old_id: int) -> Entry:
        place = self.targets.place_of(old_id)
        return self.ledger.entry(place.segment, place.offset) if place else Entry()

    def _unmade(self) -> BitMap:
        """Return the contacts of which no new one is there."""
        return BitMap(old_id for old_id in self.targets.wanted if self._entry(old_id).new_id is None)

    def _created(self) -> dict[int, int]:
        """Return the old IDs of all contacts that were created and have not vanished, by their new IDs."""
        return {
            entry.new_id: self.targets.id_at(segment, offset)
            for segment, offset, entry in self.ledger.entries()
            if entry.new_id and entry.exists
        }

    def _is_to_do(self, record: Record) -> bool:
        wanted = record.id in self.targets.wanted and record.id not in self.there
        return wanted and not self._entry(record.id).is_settled

    def _company_of(self, record: Record) -> int:
        """Return the ID that the company of a person has now; 0 if it is not there."""
        entry = self._entry(record.company) if record.company else Entry()
        if entry.new_id and entry.exists:
            return entry.new_id
        return record.company if record.company in self.there else 0

    def _will_have_company(self, record: Record) -> bool:
        return bool(self._company_of(record)) or record.company in self._survey.companies
