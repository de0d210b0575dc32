"""What really happened: every call, and which of them deleted which contacts, when."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyroaring import BitMap

from simulator.world import World

#: The kinds of calls that delete.
DELETIONS = frozenset({"delete", "delete_one", "delete_by_filter"})


@dataclass(slots=True, eq=False)
class RecordedCall:
    """One API call. Times are in seconds; ``*_s`` on the monotonic clock, ``arrived_at`` as a Unix time."""

    #: 1, 2, 3, … in order of arrival.
    number: int
    kind: str
    method: str
    path: str
    arrived_s: float
    arrived_at: float
    #: The caller's IP address.
    address: str = ""
    #: How many contact IDs it carried, duplicates included.
    contact_count: int = 0
    asked: BitMap | None = None
    #: The status that was sent; None until there is an answer, or if there never is one.
    status: int | None = None
    fault: str | None = None
    #: The contacts that this call deleted; None if it never got to a commit.
    deleted: BitMap | None = None
    committed_s: float | None = None
    #: The contacts that its answer lists as deleted.
    listed: BitMap | None = None
    #: The contact that this call created, and whether the answer says so.
    created: int | None = None
    told: bool = False
    #: Whether it created or changed anything, and which contact it is about.
    wrote: bool = False
    wrote_to: int | None = None
    answered_s: float | None = None
    #: The whole answer was handed to an open connection.
    delivered: bool = False

    @property
    def committed(self) -> bool:
        """Whether it deleted, created or changed anything."""
        return self.wrote or bool(self.deleted)


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of a contact from outside; times as for calls. Contacts that others deleted are edits as well."""

    #: 1, 2, 3, …
    number: int
    kind: str
    contact_id: int
    #: The tag, stage, type, address, moment or company.
    value: str | int | None
    at_s: float
    at: float


class Truth:
    """The record of one portal.

    Attributes:
        calls: every API call in order of arrival.
        deleted: contacts that API calls deleted.
        deleted_outside: contacts that disappeared without an API call.
        created: contacts that were created while it ran.
        sent: contacts that were sent for deletion at least once; ``sent_again``: more than once.
        confirmed: contacts that a complete answer listed as deleted.
        resent_after_confirmation: contacts that were sent again after that.
        creations: the API call that created a contact, by its ID.
        edits: every edit of a single contact from outside, in order.
        peak_in_flight: the most calls that were in flight at the same time.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.existed = world.alive.copy()
        self.started_s = time.monotonic()
        self.started_at = time.time()
        self.calls: list[RecordedCall] = []
        self.deleted = BitMap()
        self.deleted_outside = BitMap()
        self.created = BitMap()
        self.sent = BitMap()
        self.sent_again = BitMap()
        self.confirmed = BitMap()
        self.resent_after_confirmation = BitMap()
        self.edits: list[Edit] = []
        self.creations: dict[int, RecordedCall] = {}
        self.in_flight = 0
        self.peak_in_flight = 0
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    # --- recording -------------------------------------------------------------------------------------------------

    def arrive(self, kind: str, method: str, path: str, address: str = "") -> RecordedCall:
        """Record that a call came in from an IP address."""
        call = RecordedCall(len(self.calls) + 1, kind, method, path, time.monotonic(), time.time(), address)
        self.calls.append(call)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.changed()
        return call

    def ask(self, call: RecordedCall, contact_ids: list[int]) -> None:
        """Record at its arrival which contacts a call is about; what cannot be a contact ID is only counted."""
        call.contact_count = len(contact_ids)
        possible = contact_ids if not contact_ids or min(contact_ids) > 0 else [n for n in contact_ids if n > 0]
        call.asked = asked = BitMap(possible)
        if call.kind in DELETIONS:
            self.sent_again |= self.sent & asked
            self.sent |= asked
            self.resent_after_confirmation |= self.confirmed & asked

    def commit(self, call: RecordedCall, deleted: BitMap) -> None:
        """Record what a call deleted, at the moment of the deletion."""
        call.deleted = deleted
        if call.asked == deleted:
            call.asked = deleted  # one set instead of two: a hundred thousand calls are kept
        self.deleted |= deleted
        call.committed_s = time.monotonic()
        self.changed()

    def wrote(self, call: RecordedCall, contact_id: int | None) -> None:
        """Record that a call created or changed something, at that moment."""
        call.wrote, call.wrote_to, call.committed_s = True, contact_id, time.monotonic()
        self.changed()

    def create_by(self, call: RecordedCall) -> int:
        """Create a contact with the next ID for an API call and return the ID."""
        contact_id = self.next_id()
        self.create([contact_id])
        call.created, call.told = contact_id, True
        self.creations[contact_id] = call
        return contact_id

    def leave(self, call: RecordedCall) -> None:
        """Record that a call is over, with or without an answer."""
        call.answered_s = time.monotonic()
        if call.listed == call.deleted:
            call.listed = call.deleted
        if call.delivered and call.listed:
            self.confirmed |= call.listed
        self.in_flight -= 1
        self.changed()

    def record_edit(self, kind: str, contact_id: int, value: str | int | None) -> None:
        """Record that somebody else edited a contact."""
        self.edits.append(Edit(len(self.edits) + 1, kind, contact_id, value, time.monotonic(), time.time()))
        self.changed()

    def changed(self) -> None:
        """Wake those whose condition now holds."""
        if self._waiting:
            for condition, waiter in self._waiting:
                if not waiter.done() and condition():
                    waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until the condition holds; it is checked again whenever something has happened.

        Raises:
            TimeoutError: it did not become true in time.
        """
        if condition():
            return
        entry = condition, asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await entry[1]
        finally:
            self._waiting.remove(entry)

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> BitMap:
        """The contacts that exist now."""
        return self.world.alive

    def next_id(self) -> int:
        """Return the ID of the next contact that is created: larger than all before, also than those that are gone."""
        return max((ids.max() for ids in (self.existed, self.created) if ids), default=0) + 1

    def of_kind(self, kind: str) -> list[RecordedCall]:
        """Return the calls of one kind, or all for ``*``."""
        return [call for call in self.calls if kind in ("*", call.kind)]

    def sent_in(self, contact_id: int) -> list[int]:
        """Return the numbers of the deletion calls that held the contact, in order of arrival."""
        return [call.number for call in self._deletions() if call.asked and contact_id in call.asked]

    def deleted_by(self, contact_id: int) -> RecordedCall | None:
        """Return the call that deleted the contact, if one did."""
        return next((call for call in self.calls if call.deleted and contact_id in call.deleted), None)

    def summary(self) -> dict[str, object]:
        """Return counts of everything."""
        deletions = list(self._deletions())
        statuses = Counter(str(call.status) for call in self.calls)
        return {
            "existed": len(self.existed),
            "alive": len(self.alive),
            "deleted": len(self.deleted),
            "deleted_outside": len(self.deleted_outside),
            "created": len(self.created),
            "created_by_calls": len(self.creations),
            "edits": len(self.edits),
            "calls": len(self.calls),
            "calls_by_kind": dict(Counter(call.kind for call in self.calls)),
            "calls_by_status": dict(statuses),
            "calls_by_fault": dict(Counter(call.fault for call in self.calls if call.fault)),
            "deletions_committed": sum(call.committed for call in deletions),
            "deletions_committed_but_not_delivered": sum(call.committed and not call.delivered for call in deletions),
            "contacts_sent": len(self.sent),
            "contacts_sent_again": len(self.sent_again),
            "contacts_resent_after_confirmation": len(self.resent_after_confirmation),
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "started_at": self.started_at,
            "started_monotonic_s": self.started_s,
            "uptime_ms": self.at_ms(time.monotonic()),
        }

    def at_ms(self, moment_s: float) -> float:
        """Return a monotonic moment as milliseconds since the start."""
        return round((moment_s - self.started_s) * 1000, 3)

    def describe(self, call: RecordedCall) -> dict[str, object]:
        """Return a call without its ID lists, ready for JSON."""
        return {
            "number": call.number,
            "kind": call.kind,
            "method": call.method,
            "path": call.path,
            "address": call.address,
            "at_ms": self.at_ms(call.arrived_s),
            "monotonic_s": call.arrived_s,
            "at": call.arrived_at,
            "contacts": call.contact_count,
            "status": call.status,
            "fault": call.fault,
            "committed": call.committed,
            "contact_id": call.wrote_to,
            "created": call.created,
            "deleted": len(call.deleted or ()),
            "committed_at_ms": None if call.committed_s is None else self.at_ms(call.committed_s),
            "answered_at_ms": None if call.answered_s is None else self.at_ms(call.answered_s),
            "delivered": call.delivered,
        }

    def describe_edit(self, edit: Edit) -> dict[str, object]:
        """Return an edit ready for JSON."""
        return {
            "number": edit.number,
            "kind": edit.kind,
            "contact_id": edit.contact_id,
            "value": edit.value,
            "at_ms": self.at_ms(edit.at_s),
            "monotonic_s": edit.at_s,
            "at": edit.at,
        }

    def deletions(self) -> Iterator[tuple[RecordedCall, BitMap]]:
        """Yield each call that deleted something, with what it deleted, in order of arrival."""
        return ((call, call.deleted) for call in self.calls if call.deleted)

    def delete_outside(self, contact_ids: Iterable[int]) -> None:
        """Delete contacts as if another user had deleted them."""
        self.deleted_outside |= self.world.delete(BitMap(contact_ids))

    def create(self, contact_ids: Iterable[int]) -> None:
        """Create contacts as if another user had created them."""
        new = BitMap(contact_ids)
        self.created |= new - self.alive
        self.world.create(new)

    def _deletions(self) -> Iterator[RecordedCall]:
        return (call for call in self.calls if call.kind in DELETIONS)
