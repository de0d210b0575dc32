"""`python -m chaos`: check with real processes that the ledger tells the truth whatever happens.

Exit codes: 0 ledger and portal agree about every contact, 1 they do not (or the run itself failed), 2 bad usage,
130 interrupted. Data and logs of a run that did not end well are kept.
"""

import argparse
import random
import shlex
import sys
from pathlib import Path

from chaos.command import forget_settings, perform, positive, share
from chaos.plan import Plan
from chaos.report import as_json, as_text
from chaos.story import Outcome, Story


def main() -> int:
    """Run the command and return the exit code."""
    forget_settings()
    given = _parser().parse_args()
    plan = Plan(ids=given.ids, minutes=given.minutes, workers=given.workers, seed=given.seed, fault_rate=given.faults)
    command = f"python -m chaos {shlex.join(sys.argv[1:])}".strip()

    def tell(outcome: Outcome) -> bool:
        sys.stdout.write(as_text(plan, outcome, command))
        if given.json:
            given.json.write_bytes(as_json(plan, outcome, command))
        return outcome.agreed

    about = f"at most {plan.requests_per_second:g} calls/s"
    return perform(plan.seed, about, lambda directory: Story(plan, directory).play(), tell)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Run real jobs on a simulated portal while everything around them fails, then compare the ledger "
        "with what really happened, contact by contact. `python -m chaos.hosts` does so with more than one machine.",
    )
    parser.add_argument("--ids", type=_at_least_100, default=100_000, help="contact IDs on the lists (default 100000)")
    parser.add_argument("--minutes", type=positive, default=5.0, help="how long things go wrong (default 5)")
    parser.add_argument("--workers", type=int, default=3, choices=range(1, 17), metavar="N", help="(default 3)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="repeats a run")
    parser.add_argument(
        "--faults", type=share, default=0.03, metavar="F", help="how often each fault strikes, 0 to 1 (default 0.03)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the result to a file")
    return parser


def _at_least_100(text: str) -> int:
    number = int(text)
    if number < 100:
        raise argparse.ArgumentTypeError("at least 100, so that there is every kind of contact")
    return number


if __name__ == "__main__":
    sys.exit(main())
