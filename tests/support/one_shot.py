"""What tests of `crm-sweep run` share: a portal that can be caught at work, and what has to be true at the end."""

import csv
from pathlib import Path

import psutil
from pyroaring import BitMap

from tests.support.portal_process import Portal

#: Slow enough to be caught at work, fast enough for a test: 40 calls of about 100 ms.
SLOW = (
    "--contacts",
    2000,
    "--read-only",
    20,
    "--invoiced",
    20,
    "--missing",
    20,
    "--base-ms",
    100,
    "--per-contact-ms",
    1,
)
SLOW_SETTINGS: dict[str, object] = {"batch_size_start": 50, "batch_size_max": 50, "max_concurrency": 2}


def ledger_of(report: Path) -> dict[str, BitMap]:
    """Return a report's contact IDs by outcome."""
    outcomes: dict[str, BitMap] = {}
    with report.open() as file:
        for row in csv.DictReader(file):
            outcomes.setdefault(row["outcome"], BitMap()).add(int(row["contact_id"]))
    return outcomes


def assert_true(report: Path, portal: Portal, ids: BitMap) -> None:
    """Check that the report has every contact ID once and agrees with the portal about each."""
    outcomes = ledger_of(report)
    assert sum(len(found) for found in outcomes.values()) == len(report.read_text().splitlines()) - 1 == len(ids)
    gone = outcomes.get("deleted", BitMap()) | outcomes.get("presumed_deleted", BitMap())
    missing = ids - portal.contacts("existed")
    assert outcomes.get("deleted", BitMap()) <= portal.contacts("deleted")
    assert gone | missing == portal.contacts("deleted") | missing
    assert outcomes.get("not_found", BitMap()) <= missing
    assert outcomes.get("refused", BitMap()) == ids & (portal.contacts("read_only") | portal.contacts("invoiced"))
    assert not portal.contacts("resent_after_confirmation")


def leftovers(directory: Path) -> list[int]:
    """Return the processes still running in a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if directory in Path(process.cwd()).parents:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found
