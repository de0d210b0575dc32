"""Comparing a ledger with what really happened on a simulated portal, contact by contact."""

from collections.abc import Iterable
from dataclasses import dataclass

from pyroaring import BitMap

from jobs.ledger.rows import Line
from jobs.words.outcomes import Code
from simulator.client import connect


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulated portal knows: sets of contact IDs.

    Attributes:
        existed: were there at the start.
        alive: are there now.
        deleted: were deleted by a call.
        read_only, invoiced: cannot be deleted.
        resent_after_confirmation: were sent again although the portal had confirmed their deletion.
    """

    existed: BitMap
    alive: BitMap
    deleted: BitMap
    read_only: BitMap
    invoiced: BitMap
    resent_after_confirmation: BitMap

    @classmethod
    async def read(cls, portal_url: str) -> "Truth":
        """Ask the simulated portal."""
        async with connect(portal_url) as portal:
            return cls(**{name: await portal.contacts(name) for name in cls.__dataclass_fields__})


def compare(lines: Iterable[Line], ids: BitMap, truth: Truth) -> list[str]:
    """List every contact about which ledger and portal disagree; empty when they agree about all of them.

    Args:
        lines: the whole ledger of a job that has ended.
        ids: the contact IDs of its list.
        truth: the portal's, after the job's end.
    """
    # A contact that was missing all along is presumed deleted as well, if the answer about its batch was lost.
    gone = {Code.DELETED: truth.deleted, Code.PRESUMED_DELETED: ids - truth.alive}
    there = {Code.READ_ONLY: truth.read_only & truth.alive, Code.HAS_INVOICE: truth.invoiced & truth.alive}
    left = {Code.NOT_FOUND: ids - truth.existed, Code.SKIPPED: truth.alive}
    fits = {**gone, **there, **left}
    told = BitMap()
    disagreements = []
    for line in lines:
        told.add(line.contact_id)
        if line.contact_id not in fits.get(line.code, ()):
            disagreements.append(f"contact {line.contact_id} is {line.code.outcome} in the ledger, not on the portal")
    disagreements += [f"contact {contact_id} is not in the ledger" for contact_id in ids - told]
    disagreements += [f"contact {contact_id} was never listed" for contact_id in (told - ids) | (truth.deleted - ids)]
    disagreements += [f"contact {contact_id} was sent again" for contact_id in truth.resent_after_confirmation]
    return disagreements
