"""The ledgers as users get them: over the API, and from the command line."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import msgspec

from chaos.verdict import Ledger
from jobs.store.times import unix_s
from jobs.words.outcomes import Code

_CODES = {(code.outcome.value, code.reason): code for code in Code}


class _Row(msgspec.Struct):
    contact_id: int
    outcome: str
    reason: str | None
    attempts: int
    at: str | None


async def from_api(session: aiohttp.ClientSession, job_id: str) -> bytes:
    """Return a job's ledger as NDJSON.

    Raises:
        aiohttp.ClientError: the API has no complete answer.
    """
    async with session.get(f"/v1/jobs/{job_id}/results?format=ndjson") as answer:
        answer.raise_for_status()
        return await answer.read()


async def from_command_line(configuration: Path, job_id: str) -> bytes:
    """Return the same from `crm-sweep results`; what it says instead if it does not end well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--config", str(configuration)),
        *("results", job_id, "--format", "ndjson"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, said = await process.communicate()
    return told if process.returncode in (0, 3) else said


def read(text: bytes) -> Ledger:
    """Read a ledger written as NDJSON."""
    ledger = Ledger()
    for line in text.splitlines():
        row = msgspec.json.decode(line, type=_Row)
        ledger.by_code[_CODES[row.outcome, row.reason]].add(row.contact_id)
        ledger.attempts[row.contact_id] = row.attempts
        ledger.at_ms[row.contact_id] = round(unix_s(row.at) * 1000) if row.at else 0
    return ledger
