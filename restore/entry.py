"""What the ledger of a restore keeps of one contact: twelve bytes, at the contact's position in the job's list."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from restore.lost import NONE, Lost

_LAYOUT = struct.Struct("<BBHII")
ENTRY_SIZE = _LAYOUT.size
#: More attempts than this are not counted.
_MOST_ATTEMPTS = 0xFFFF


class Stage(IntEnum):
    """How far a contact is. Stored in ledgers, so numbers are never reused."""

    #: Nothing was sent.
    NONE = 0
    #: The call that creates it was or is about to be sent, and whether it took effect is not known.
    INTENT = 1
    #: It is there; the calls that give it the rest may not all have been made.
    MADE = 2
    #: It is there, with everything that can be brought back.
    COMPLETE = 3
    #: Given up: the portal refused to create it, or did not manage to.
    FAILED = 4
    #: It was created, and is not there any more.
    VANISHED = 5


class Reason(IntEnum):
    """Why a contact failed, or what to look at. Stored in ledgers, so numbers are never reused."""

    NONE = 0
    #: The portal refused the record.
    REJECTED = 1
    #: The portal failed each time.
    PORTAL_ERROR = 2
    TIMEOUT = 3
    CONNECTION_LOST = 4
    ANSWER_GARBLED = 5
    #: Some of the calls after its creation failed: it lacks what `lost` says.
    INCOMPLETE = 6

    @property
    def word(self) -> str:
        """The stable word; empty for no reason."""
        return self.name.lower() if self else ""

    @classmethod
    def of(cls, word: str) -> "Reason":
        """Return the reason for a failure's word; an unknown one counts as `portal_error`."""
        return cls.__members__.get(word.upper(), cls.PORTAL_ERROR)


@dataclass(frozen=True, slots=True)
class Entry:
    """One contact in the ledger.

    Attributes:
        stage: how far it is.
        reason: why.
        attempts: how often the call that creates it was sent.
        number: its new ID from `MADE` on. Before that, the highest contact ID that was known on the portal before the
            first attempt: what an attempt creates has a higher one.
        lost: what it lacks.
    """

    stage: Stage = Stage.NONE
    reason: Reason = Reason.NONE
    attempts: int = 0
    number: int = 0
    lost: Lost = NONE

    @property
    def new_id(self) -> int | None:
        """Its new contact ID; None if it has none."""
        return self.number if self.stage in _WITH_ID else None

    @property
    def exists(self) -> bool:
        """Whether it has been created, and is not known to have vanished."""
        return self.stage in {Stage.MADE, Stage.COMPLETE}

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do for it, except to try again what failed."""
        return self.stage in {Stage.COMPLETE, Stage.VANISHED}

    def encode(self) -> bytes:
        """Return its `ENTRY_SIZE` bytes."""
        return _LAYOUT.pack(self.stage, self.reason, min(self.attempts, _MOST_ATTEMPTS), self.number, self.lost)

    @classmethod
    def decode(cls, data: bytes) -> "Entry":
        """Read what `encode` wrote; bytes that were never written are an empty entry."""
        stage, reason, attempts, number, lost = _LAYOUT.unpack(data.ljust(ENTRY_SIZE, b"\0"))
        return cls(Stage(stage), Reason(reason), attempts, number, Lost(lost))


_WITH_ID = frozenset({Stage.MADE, Stage.COMPLETE, Stage.VANISHED})
