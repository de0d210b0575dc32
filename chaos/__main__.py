"""`python -m chaos`: check with real processes that the ledger tells the truth whatever happens.

Exit codes: 0 ledger and portal agree about every contact, 1 they do not (or the run itself failed), 2 bad usage,
130 interrupted. Data and logs of a run that did not end well are kept.
"""

import argparse
import sys

from chaos.command import add_options, forget_settings, perform
from chaos.plan import Plan
from chaos.report import as_text
from chaos.story import Story


def main() -> int:
    """Run the command and return the exit code."""
    forget_settings()
    parser = _parser()
    given = parser.parse_args()
    plan = Plan(ids=given.ids, minutes=given.minutes, workers=given.workers, seed=given.seed, fault_rate=given.faults)
    about = f"at most {plan.requests_per_second:g} calls/s"
    return perform(plan, parser, about, lambda directory: Story(plan, directory).play(), as_text, json_to=given.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Run real jobs on a simulated portal while everything around them fails, then compare the ledger "
        "with what really happened, contact by contact. `python -m chaos.hosts` does so with more than one machine.",
    )
    parser.add_argument("--ids", type=_at_least_100, default=100_000, help="contact IDs on the lists (default 100000)")
    add_options(parser, most_workers=16, fault_rate=0.03)
    return parser


def _at_least_100(text: str) -> int:
    number = int(text)
    if number < 100:
        raise argparse.ArgumentTypeError("at least 100, so that there is every kind of contact")
    return number


if __name__ == "__main__":
    sys.exit(main())
