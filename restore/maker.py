"""Restores one contact: creates it exactly once, whatever answers are lost, and gives it the rest of what it had."""

import asyncio
import functools
import time
from dataclasses import dataclass, field, replace

from restore import calls
from restore.caller import Caller
from restore.calls import Call, Known
from restore.entry import Entry, Reason, Stage
from restore.errors import PortalRefuses, RestoreStopped
from restore.ledger import RestoreLedger
from restore.likeness import best
from restore.lost import NONE, Lost
from restore.newest import Newest
from restore.record import BadRecord, Record, contact_of
from restore.targets import Place
from worker.creating_client import Refusal, Said, id_of
from worker.envelope import lower
from worker.portal_answers import Failure, Remedy
from worker.wire import API

#: Statuses with which the application itself has answered: it has done what it was going to do. After any other trouble
#: (none at all, or that of a gateway) it may still be at it.
_OF_THE_GATEWAY = frozenset({408, 502, 503, 504, 524, 529, 598, 599})
#: How long to wait before looking for the first time, seconds; each further look comes after twice as long.
_FIRST_LOOK_S = 0.5
#: Times that the portal may say that it is too busy in a row before the restore ends.
_MOST_THROTTLED = 20


@dataclass(slots=True)
class Maker:
    """Restores contacts, one at a time.

    Args:
        caller: makes the calls.
        ledger: where it is written before and after each creation.
        newest: finds contacts that calls without an answer have created.
        known: what exists on the portal.
        claimed: the contacts that the restore has created.
        top: the highest contact ID that is known on the portal: a contact created from now on has a higher one.
    """

    caller: Caller
    ledger: RestoreLedger
    newest: Newest
    known: Known
    claimed: set[int]
    top: int
    _opened_s: float = field(default_factory=time.monotonic)

    async def restore(self, record: Record, place: Place, company: int, lost: Lost) -> Entry:
        """Restore a contact, from wherever its entry in the ledger says that it is.

        Args:
            record: the contact as it was.
            place: where it is in the job's list.
            company: ID of the company that it is to belong to; 0 for none.
            lost: what is known to be lost.

        Returns:
            Its entry as it was written last: complete, failed or vanished.

        Raises:
            RestoreStopped: the restore cannot go on now; started again it carries on.
        """
        entry = self.ledger.entry(place.segment, place.offset)
        found: Record | None = None
        if entry.stage is not Stage.MADE:
            entry, found = await self._create(calls.creation(record, company, self.known), entry, place)
        elif entry.new_id:
            found = await self._read(entry.new_id)
            if found is None:
                return await self._note(place, replace(entry, stage=Stage.VANISHED))
        if entry.stage is not Stage.MADE or not entry.new_id:
            return entry
        lost |= self.known.missing(record)
        failed, lost_now = await self._complete(record, entry.new_id, found)
        reason = Reason.INCOMPLETE if failed else Reason.NONE
        return await self._note(place, replace(entry, stage=Stage.COMPLETE, reason=reason, lost=lost | lost_now))

    async def join(self, entry: Entry, place: Place, company: int) -> None:
        """Let a person who was restored before belong to the company that has been restored since.

        Args:
            entry: the person's.
            place: where the person is in the job's list.
            company: the company's new ID.
        """
        if entry.new_id and isinstance(await self._insist(calls.joining(entry.new_id, company)), Said):
            await self._note(place, replace(entry, lost=entry.lost & ~Lost.COMPANY))

    # --- creating it exactly once ------------------------------------------------------------------------------------

    async def _create(self, call: Call, entry: Entry, place: Place) -> tuple[Entry, Record | None]:
        """Send the creating call until the contact is there or is given up; look for it before sending again.

        Returns:
            The entry; and the contact, where it was found rather than answered.
        """
        attempts, throttled, wait_s = 0, 0, 0.0
        # An earlier attempt, perhaps of a process that was killed right after sending it.
        doubtful = entry.attempts > 0
        reason, failure = Reason.NONE, None
        if entry.stage is Stage.INTENT:
            wait_s = self._still_late_s()
        before = entry.number if doubtful else self.top
        entry = replace(entry, stage=Stage.INTENT, number=before)
        while True:
            if doubtful and (found := await self._look(call, before, wait_s)):
                return await self._made(place, entry, found.id), found
            if attempts >= self.caller.portal.max_attempts or reason is Reason.REJECTED:
                if failure:
                    self.caller.give_up_if_away(failure)
                return await self._note(place, replace(entry, stage=Stage.FAILED, reason=reason)), None
            if failure:
                await self.caller.pause(failure, attempts)
            await self.caller.turn()
            entry = replace(entry, attempts=entry.attempts + 1, reason=Reason.NONE)
            await self._note(place, entry, sending=True)
            sent_s = time.monotonic()
            answer = await self.caller.once(functools.partial(self._send, call))
            wait_s = 0.0
            if isinstance(answer, Failure):
                failure = answer
                if answer.action in {Remedy.SLOW_DOWN, Remedy.WAIT} and not answer.may_have_deleted:
                    throttled += 1
                    if throttled >= _MOST_THROTTLED:
                        self.caller.give_up_if_away(answer)
                    continue
                reason = Reason.of(answer.reason)
                if answer.may_have_deleted:
                    doubtful = True
                    wait_s = self._wait_s(answer, time.monotonic() - sent_s)
            elif isinstance(answer, Said) and (new_id := id_of(answer)) and new_id not in self.claimed:
                return await self._made(place, entry, new_id), None
            else:
                # Refused, or answered with something that is no contact. Either can come after it was created.
                doubtful, failure = True, None
                reason = Reason.REJECTED if isinstance(answer, Refusal) else Reason.ANSWER_GARBLED
            attempts += 1

    async def _look(self, call: Call, before: int, wait_s: float) -> Record | None:
        """Look for the contact that a call may have created, again and again until it cannot appear any more."""
        end_s = time.monotonic() + wait_s
        pause_s = _FIRST_LOOK_S
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(min(pause_s, left_s))
            if left_s <= pause_s:
                break
            if found := best(call, await self.newest.above(before, self.claimed)):
                return found
            pause_s *= 2
        return best(call, await self.newest.above(before, self.claimed))

    def _wait_s(self, failure: Failure, since_sent_s: float) -> float:
        """Return how long the contact may still appear after a failure, seconds."""
        answered = failure.http_status is not None and failure.http_status not in _OF_THE_GATEWAY
        if answered:
            return failure.settle_s
        return max(failure.settle_s, self.caller.portal.late_commit_s - since_sent_s, 0.0)

    def _still_late_s(self) -> float:
        """Return the same after an attempt of a process that has ended.

        It may have sent the call up to the end of its lease: long after it had written that it was about to, if it had
        to log in first and to wait for the turn of that.
        """
        last_ms = max(self.ledger.sent_ms, self.ledger.before_ms)
        since_s = (self.ledger.now_ms - last_ms) / 1000 + time.monotonic() - self._opened_s
        return max(self.ledger.ttl_s + self.caller.portal.late_commit_s - since_s, 0.0)

    async def _made(self, place: Place, entry: Entry, new_id: int) -> Entry:
        self.claimed.add(new_id)
        self.top = max(self.top, new_id)
        return await self._note(place, replace(entry, stage=Stage.MADE, reason=Reason.NONE, number=new_id))

    async def _note(self, place: Place, entry: Entry, *, sending: bool = False) -> Entry:
        await self.ledger.write(place.segment, place.offset, entry, sending=sending)
        return entry

    # --- giving it the rest ------------------------------------------------------------------------------------------

    async def _complete(self, record: Record, new_id: int, found: Record | None) -> tuple[bool, Lost]:
        """Make the calls that follow.

        Returns:
            Whether one of them failed rather than was refused; and what is lost.
        """
        failed, lost = False, NONE
        to_make = [
            *(calls.mending(record, found, self.known) if found else ()),
            *calls.completion(record, new_id, self.known),
        ]
        for call in to_make:
            answer = await self._insist(call)
            if isinstance(answer, Refusal) and answer.http_status == 404 and record.share_type == calls.PRIVATE:
                await self._check_visible(new_id)
            if not isinstance(answer, Said):
                lost |= call.loses
                failed |= isinstance(answer, Failure)
        for link in record.opportunities:
            if link.is_main:
                made_main = await self._make_main(link.id, new_id)
                if not isinstance(made_main, Said):
                    lost |= Lost.MAIN_CONTACT
                    failed |= isinstance(made_main, Failure)
        return failed, lost

    async def _make_main(self, opportunity: int, new_id: int) -> Said | Refusal | Failure | None:
        """Make the contact the main one of an opportunity again; None if that has another one by now.

        The call writes the whole opportunity, so it is read again before each try: others may change it meanwhile.
        """
        attempts = 0
        while True:
            read = await self._insist_on_reading(f"{API}/crm/opportunity/{opportunity}")
            if not isinstance(read, Said) or not isinstance(read.response, dict):
                return read if not isinstance(read, Said) else None
            shown = lower(read.response)
            call = calls.main_contact(shown, new_id)
            if call is None:
                # Our own call may have had its effect without an answer, or in a process that was killed.
                return read if calls.main_contact_of(shown) == new_id else None
            await self.caller.turn()
            answer: Said | Refusal | Failure = await self.caller.once(functools.partial(self._send, call))
            if not isinstance(answer, Failure):
                return answer
            attempts += 1
            if attempts >= self.caller.portal.max_attempts:
                self.caller.give_up_if_away(answer)
                return answer
            await self.caller.pause(answer, attempts)

    async def _check_visible(self, new_id: int) -> None:
        """Check that the account sees a private contact that it has created: otherwise, lost answers could not be told.

        Raises:
            PortalRefuses: it does not.
        """
        if await self._read(new_id) is None:
            raise PortalRefuses(
                f"the account does not see contact {new_id}, which it has just created: use the account that deleted "
                "the contacts, or an administrator of the CRM"
            )

    async def _read(self, new_id: int) -> Record | None:
        """Read a contact back; None if it is not there any more."""
        answer = await self._insist_on_reading(f"{API}/crm/contact/{new_id}")
        if isinstance(answer, Refusal) and answer.http_status == 404:
            return None
        try:
            if isinstance(answer, Said) and isinstance(answer.response, dict):
                return contact_of(answer.response)
        except BadRecord:
            pass
        raise RestoreStopped(f"portal {self.caller.portal.name} does not show contact {new_id} as it should")

    async def _insist(self, call: Call) -> Said | Refusal | Failure:
        return await self.caller.insist(functools.partial(self._send, call))

    async def _send(self, call: Call) -> Said | Refusal | Failure:
        return await self.caller.client.change(call.method, call.target, call.body, may_send=self.caller.may_send)

    async def _insist_on_reading(self, target: str) -> Said | Refusal | Failure:
        return await self.caller.insist(lambda: self.caller.client.read(target, may_send=self.caller.may_send))
