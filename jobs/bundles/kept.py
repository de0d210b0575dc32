"""Which contacts of a segment have a record in the bundle of their job: one code per position, packed like verdicts."""

from enum import IntEnum

from jobs.plan.verdicts import pack, unpack

__all__ = ["UNFINISHED", "Kept", "pack", "unpack"]

UNFINISHED = "unfinished"
"""The field, beside those of complete segments, for the one that is being worked on."""


class Kept(IntEnum):
    """Whether a contact has a record."""

    UNKNOWN = 0
    """Not read yet."""
    RECORD = 1
    """It has one: it can be sent."""
    NONE = 2
    """It was not there, or could not be deleted, when the bundle was made: it is never sent."""
