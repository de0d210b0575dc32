"""Whether a ledger says of every contact what really happened to it at the simulated portal."""

from dataclasses import dataclass

from pyroaring import BitMap
from redis.asyncio import Redis

from bench.simulated import SimulatedPortal
from jobs.outcomes import Outcome
from jobs.results import read_results

_GONE = {Outcome.DELETED, Outcome.PRESUMED_DELETED}


@dataclass(frozen=True)
class Verdict:
    """Contact IDs by what is wrong with them; all zero in a ledger that tells the truth."""

    lost: int  #: without a final outcome, or not in the ledger at all
    untrue: int  #: said to be deleted and still there, or deleted by us and said to be anything else
    resent: int  #: sent again after an answer had confirmed that they were deleted
    presumed: int = 0  #: deleted by an attempt whose answer was lost; true, and no fault


async def compare(redis: Redis, job_id: str, ids: BitMap, portal: SimulatedPortal) -> Verdict:
    """Compare a job's ledger with the portal's truth, contact ID by contact ID."""
    decided, gone, presumed = BitMap(), BitMap(), 0
    async for lines in read_results(redis, job_id):
        decided.update(line.contact_id for line in lines if line.code.outcome is not Outcome.PENDING)
        gone.update(line.contact_id for line in lines if line.code.outcome in _GONE)
        presumed += sum(line.code.outcome is Outcome.PRESUMED_DELETED for line in lines)
    deleted = await portal.contacts("deleted")
    resent = await portal.contacts("resent_after_confirmation")
    return Verdict(
        lost=len(ids - decided), untrue=len(gone.symmetric_difference(deleted)), resent=len(resent), presumed=presumed
    )
