"""A ledger as a caller of the HTTP API downloads it, kept as one set of contact IDs per outcome."""

import time
from collections import defaultdict
from dataclasses import dataclass

import aiohttp
from pyroaring import BitMap

from bench.truth_check import Verdict
from jobs.words.outcomes import Outcome
from simulator.client import SimulatorClient

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Ledger:
    """What one download brought.

    Attributes:
        by_outcome: the contact IDs with each outcome.
        lines: how many lines there were, one per contact ID.
        size: bytes of the whole download.
        took_s: from the request until the last byte was read and understood.
    """

    by_outcome: dict[Outcome, BitMap]
    lines: int
    size: int
    took_s: float

    def ids(self, *outcomes: Outcome) -> BitMap:
        """Return the contact IDs with any of some outcomes."""
        return BitMap.union(BitMap(), *(self.by_outcome.get(outcome, BitMap()) for outcome in outcomes))


async def download(api_url: str, job_id: str) -> Ledger:
    """Download a ledger as CSV.

    Raises:
        RuntimeError: it was refused, cut off, or not in ascending order of contact ID.
    """
    found: dict[bytes, BitMap] = defaultdict(BitMap)
    lines = size = last = 0
    rest, started_s = b"", time.monotonic()
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{api_url}/v1/jobs/{job_id}/results", params={"format": "csv"}) as answer,
    ):
        if answer.status != 200:
            raise RuntimeError(f"the ledger was refused: {answer.status} {await answer.text()}")
        header = await answer.content.readline()
        if not header.startswith(b"contact_id,outcome,"):
            raise RuntimeError(f"the ledger begins with {header!r}")
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            by_outcome: dict[bytes, list[int]] = defaultdict(list)
            for line in whole:
                number, outcome, _ = line.split(b",", 2)
                contact_id = int(number)
                if contact_id <= last:
                    raise RuntimeError(f"the ledger has {contact_id} after {last}")
                last = contact_id
                by_outcome[outcome].append(contact_id)
            for outcome, ids in by_outcome.items():
                found[outcome].update(ids)
            lines += len(whole)
    if rest:
        raise RuntimeError(f"the ledger ends in the middle of a line: {rest!r}")
    told = {Outcome(outcome.decode()): ids for outcome, ids in found.items()}
    return Ledger(told, lines, size + len(header), time.monotonic() - started_s)


async def judge(ledger: Ledger, ids: BitMap, portal: SimulatorClient) -> Verdict:
    """Compare a ledger with the portal's truth, contact ID by contact ID, and with the list it was to be about."""
    decided = ledger.ids(*(outcome for outcome in Outcome if outcome is not Outcome.PENDING))
    confirmed, presumed = ledger.ids(Outcome.DELETED), ledger.ids(Outcome.PRESUMED_DELETED)
    gone = ledger.ids(Outcome.DELETED, Outcome.PRESUMED_DELETED, Outcome.NOT_FOUND)
    deleted = await portal.contacts("deleted")
    to_be_seen = await portal.contacts("alive") - await portal.contacts("invisible")
    untrue = (confirmed - deleted) | (gone & to_be_seen) | (deleted - confirmed - presumed) | (deleted - ids)
    untrue |= (ids - gone) - to_be_seen
    resent = await portal.contacts("resent_after_confirmation")
    return Verdict(lost=len(ids ^ decided), untrue=len(untrue), resent=len(resent), presumed=len(presumed))
