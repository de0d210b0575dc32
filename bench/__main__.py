"""`python -m bench`: the benchmarks, one section at a time or a short run of all of them.

A section is a module that can run on its own; it is imported only when it is asked for.
"""

import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of the benchmarks."""

    module: str
    summary: str
    short: tuple[str, ...] | None = ()  #: its arguments in the short run; None: it is no part of that


SECTIONS = {
    "speed": Section(
        "bench.rounds",
        "contacts per second, CPU and memory compared with a bare loop and the peers",
        ("--ids", "100000", "--rounds", "3"),
    ),
    "profile": Section(
        "bench.profile",
        "where the CPU time of a call goes, by library, function and Lua script, with flame graphs",
        ("--calls", "1000", "--rounds", "1"),
    ),
    "intake": Section(
        "bench.intake", "reading and sorting ID lists", ("--ids", "1000000", "--only", "dense.txt", "sparse.txt")
    ),
    "storage": Section(
        "bench.storage", "bytes per contact ID in Redis", ("--ids", "200000", "--batch", "200", "--others", "0", "10")
    ),
    "one-shot": Section(
        "bench.one_shot", "`crm-sweep run`, killed along the way, and its ledger afterwards", ("--ids", "100000")
    ),
    "campaign": Section(
        "bench.campaign", "memory of submitter, worker and Redis for one very large job", ("--ids", "1000000")
    ),
    "plan": Section(
        "bench.plan",
        "calls, memory and bytes of a plan, a run with one, and planning workers that are killed",
        ("--contacts", "20000", "--portal-contacts", "100000", "--ids", "200000", "--pairs", "2", "--kills", "2"),
    ),
    "receipts": Section("bench.receipts", "receipts made and verified, and one proof", ("--ids", "1000000")),
    "restore": Section(
        "bench.restore",
        "calls and contacts a second of a restore, killed and under fire, and whether each contact came back once",
        ("--contacts", "400", "--kills", "2"),
    ),
    "undo": Section(
        "bench.undo",
        "what keeping records costs, in time, calls and bytes, for lists of a hundredth, a tenth and all of a portal",
        ("--portal-contacts", "5000"),
    ),
    "api": Section(
        "bench.api",
        "status polls compared with a bare handler, and a list streamed in",
        ("--rounds", "2", "--seconds", "2"),
    ),
    "reading": Section(
        "bench.reading",
        "what ledgers and events cost the API, compared with bare handlers",
        ("--lines", "100000", "--rounds", "1", "--seconds", "2", "--clients", "10"),
    ),
    "tracing": Section(
        "bench.tracing",
        "what a call costs with tracing off, on, and taken out",
        ("--ids", "10000", "--rounds", "2"),
    ),
    "scale": Section(
        "bench.scale",
        "one job of up to 100 million contacts: time, memory and CPU per contact, and whether its ledger is true",
        ("--ids", "200000"),
    ),
    "portals": Section(
        "bench.portals",
        "a hundred portals and a thousand jobs at once: fairness, rates, and what they cost idle and busy",
        ("--portals", "10", "--jobs", "50", "--contacts", "20", "--idle-s", "5"),
    ),
    "capacity": Section(
        "bench.capacity",
        "how many calls a second, jobs and contacts one Redis can carry",
        ("--workers", "1", "--calls", "2000", "--jobs", "200", "--ids", "200000", "--idle-s", "5"),
    ),
    "replication": Section(
        "bench.replication",
        "what it costs that a replica has every claim before its PUT is sent",
        ("--rounds", "1", "--puts", "40"),
    ),
    "fair-share": Section(
        "bench.fair_share",
        "small jobs while a campaign of millions is under way",
        ("--ids", "1000000", "--jobs", "3"),
    ),
    "webhooks": Section(
        "bench.webhooks",
        "deletions while the receiver of events hangs",
        ("--jobs", "50", "--rounds", "1"),
    ),
    "pacing": Section(
        "bench.pacing",
        "whether rates are kept and a hidden capacity is found",
        ("--workers", "1", "2", "--rates", "5", "50", "--seconds", "10", "--step", "15", "--bursts", "5"),
    ),
    "failover": Section(
        "bench.failover",
        "a fail-over of Redis behind an address that keeps connections to the old primary",
        ("--repeats", "1", "--ids", "5000"),
    ),
    "recovery": Section(
        "bench.recovery",
        "what a killed worker and a restarted Redis cost, start latency, idle CPU",
        ("--repeats", "1", "--starts", "20"),
    ),
    "check": Section("bench.check", "whether a ratio to the bare loop has fallen since it was recorded", None),
    "report": Section("bench.pictures", "the tables of docs/benchmarks.md as pictures", None),
}


def _usage() -> str:
    sections = "\n".join(f"  {name:11} {section.summary}" for name, section in SECTIONS.items())
    return f"""usage: python -m bench [SECTION [options]]

Without a section: a short run of everything that measures. SECTION --help lists its options.

sections:
{sections}

examples:
  python -m bench
  python -m bench speed --model realistic --rounds 5
  python -m bench profile --images docs/images
  python -m bench check --only zero-100
  python -m bench campaign --ids 10000000 --json campaign.json
  python -m bench speed --model zero --batch 1000 --ids 600000 --concurrency 8 --rounds 5 \\
      --variants bare,raw-json,arq,arq-default-poll,saq,celery,ours --json speed.json
"""


def _run(name: str, argv: Sequence[str]) -> int:
    """Run a section as `python -m` would, and return its exit code."""
    sys.argv = [f"python -m bench {name}", *argv]
    try:
        runpy.run_module(SECTIONS[name].module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _run_all() -> int:
    """Run every section briefly; stop at the first one that fails, and return its exit code."""
    print("A short run of everything; `python -m bench --help` lists the sections.", file=sys.stderr)
    for name, section in SECTIONS.items():
        if section.short is None:
            continue
        print(f"\n{name}: {section.summary}", file=sys.stderr)
        if code := _run(name, section.short):
            return code
    return 0


def main(argv: Sequence[str]) -> int:
    """Run what the command line asks for, and return the exit code."""
    if not argv:
        return _run_all()
    if argv[0] in ("-h", "--help", "help"):
        print(_usage(), end="")
        return 0
    if argv[0] not in SECTIONS:
        print(f"there is no section {argv[0]!r}\n\n{_usage()}", end="", file=sys.stderr)
        return 2
    return _run(argv[0], argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
