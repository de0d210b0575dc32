"""Whether a ledger says what really happened to every contact at the simulated portal."""

from dataclasses import dataclass

from pyroaring import BitMap
from redis.asyncio import Redis

from jobs.ledger.rows import read_results
from jobs.words.outcomes import Outcome
from simulator.client import SimulatorClient


@dataclass(frozen=True)
class Verdict:
    """How many contact IDs have something wrong with them, by kind; all zero in a ledger that tells the truth."""

    lost: int  #: without a final outcome, or not in the ledger at all
    untrue: int  #: reported as deleted or gone but still visible, or deleted by us but reported as anything else
    resent: int  #: sent again after an answer had confirmed that they were deleted
    presumed: int = 0  #: gone, and in an attempt whose answer was lost; true, and not a fault


async def compare(redis: Redis, job_id: str, ids: BitMap, portal: SimulatorClient) -> Verdict:
    """Compare a job's ledger with the portal's truth, contact ID by contact ID."""
    decided, confirmed, presumed = BitMap(), BitMap(), BitMap()
    async for lines in read_results(redis, job_id):
        decided.update(line.contact_id for line in lines if line.code.outcome is not Outcome.PENDING)
        confirmed.update(line.contact_id for line in lines if line.code.outcome is Outcome.DELETED)
        presumed.update(line.contact_id for line in lines if line.code.outcome is Outcome.PRESUMED_DELETED)
    deleted = await portal.contacts("deleted")
    to_be_seen = await portal.contacts("alive") - await portal.contacts("invisible")
    untrue = (confirmed - deleted) | (presumed & to_be_seen) | (deleted - confirmed - presumed)
    resent = await portal.contacts("resent_after_confirmation")
    return Verdict(lost=len(ids - decided), untrue=len(untrue), resent=len(resent), presumed=len(presumed))
