"""`python -m chaos`: check with real processes that the ledger tells the truth whatever happens.

Exit codes: 0 ledger and portal agree about every contact, 1 they do not (or the run itself failed), 2 bad usage,
130 interrupted. Data and logs of a run that did not end well are kept.
"""

import argparse
import asyncio
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from chaos.plan import Plan
from chaos.report import as_json, as_text
from chaos.story import Outcome, Story


def main() -> int:
    """Run the command and return the exit code."""
    for name in [name for name in os.environ if name.startswith("CRM_SWEEP_")]:
        del os.environ[name]  # the workers are configured by the plan alone
    given = _parser().parse_args()
    plan = Plan(ids=given.ids, minutes=given.minutes, workers=given.workers, seed=given.seed, fault_rate=given.faults)
    command = f"python -m chaos {shlex.join(sys.argv[1:])}".strip()
    directory = Path(tempfile.mkdtemp(prefix="crm-sweep-chaos-"))
    sys.stderr.write(f"seed {plan.seed}, at most {plan.requests_per_second:g} calls/s, data in {directory}\n")
    code = 1
    try:
        outcome = asyncio.run(_until_signalled(Story(plan, directory)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 130
    else:
        sys.stdout.write(as_text(plan, outcome, command))
        if given.json:
            given.json.write_bytes(as_json(plan, outcome, command))
        code = 0 if outcome.agreed else 1
    finally:
        if code in (0, 130):
            shutil.rmtree(directory, ignore_errors=True)
        else:
            sys.stderr.write(f"seed {plan.seed}; data and logs are in {directory}\n")
    return code


async def _until_signalled(story: Story) -> Outcome:
    """Turn SIGTERM and SIGHUP into a cancellation, so that every process is ended; SIGINT already is one."""
    task = asyncio.current_task()
    if task is not None:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    return await story.play()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Run real jobs on a simulated portal while everything around them fails, then compare the ledger "
        "with what really happened, contact by contact.",
    )
    parser.add_argument("--ids", type=_at_least_100, default=100_000, help="contact IDs on the lists (default 100000)")
    parser.add_argument("--minutes", type=_positive, default=5.0, help="how long things go wrong (default 5)")
    parser.add_argument("--workers", type=int, default=3, choices=range(1, 17), metavar="N", help="(default 3)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="repeats a run")
    parser.add_argument(
        "--faults", type=_share, default=0.03, metavar="F", help="how often each fault strikes, 0 to 1 (default 0.03)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the result to a file")
    return parser


def _at_least_100(text: str) -> int:
    number = int(text)
    if number < 100:
        raise argparse.ArgumentTypeError("at least 100, so that there is every kind of contact")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 100_000:
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 0.05:
        raise argparse.ArgumentTypeError("0 to 0.05: there are twenty of them, and some calls have to get through")
    return number


if __name__ == "__main__":
    sys.exit(main())
