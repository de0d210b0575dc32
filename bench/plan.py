"""`python -m bench plan`: what a plan costs, and what it costs to run with one.

costs   a list of a large portal, planned by look-ups and by the listing: calls, the worker's memory, bytes in Redis
all     every contact of a portal that answers at once, planned and deleted
pairs   runs with a plan against runs without, one after the other
kills   workers and Redis killed (SIGKILL) while a plan is made: calls, and whether the plan is the truth
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from bench import plan_pairs
from bench.plan_costs import Plan, of_everything, of_lists, worst_case
from bench.plan_kills import Killed, killed
from bench.rounds import MODELS
from bench.section import add_number, add_seed, positive, publish, run_with_options, section_parser, table

_PARTS = ("costs", "all", "pairs", "kills")
_COST_COLUMNS = ("plan", "calls", "plan s", "run s", "worker over idle MB", "list B/ID", "verdicts B/ID")
_PAIR_COLUMNS = ("portal", "pairs", "contacts/s without", "with a plan", "ratio", "CPU ratio")
_KILL_COLUMNS = ("killed", "calls undisturbed", "calls", "ratio", "plan s", "untrue verdicts")


def _cost_row(plan: Plan) -> list[str]:
    return [
        f"{plan.contacts:,} of {plan.portal_contacts:,}, by {plan.way}",
        ", ".join(f"{kind} {count:,}" for kind, count in plan.calls.items()),
        f"{plan.plan_s:.1f}",
        "-" if plan.run_s is None else f"{plan.run_s:.1f}",
        f"{plan.worker_growth_bytes / 1e6:.0f}",
        f"{plan.bytes_per_contact('segments'):.3f}",
        f"{plan.bytes_per_contact('verdicts'):.3f}",
    ]


def _kill_row(one: Killed) -> list[str]:
    return [
        f"worker {one.kills} times, Redis {one.redis_kills}; {one.contacts:,} contacts",
        f"{one.calls_undisturbed:,}",
        f"{one.calls:,}",
        f"{one.ratio:.3f}",
        f"{one.plan_s:.1f}",
        str(one.untrue),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("plan", __doc__)
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), help="only these (default: all)")
    add_number(parser, "--contacts", 100_000, "costs: contacts of the list")
    add_number(parser, "--portal-contacts", 1_000_000, "costs: contacts of the portal")
    add_number(parser, "--ids", 10_000_000, "all: contacts of the portal")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["zero", "realistic"], help="pairs: portals")
    add_number(parser, "--pairs", 5, "pairs: how many of each")
    parser.add_argument("--pair-ids", type=positive, help="pairs: contacts of each run (default: as `speed`)")
    add_number(parser, "--kills", 10, "kills: how often a worker is killed")
    parser.add_argument("--redis-kills", type=int, default=1, help="kills: how often Redis is killed (default: 1)")
    add_number(parser, "--kill-contacts", 20_000, "kills: contacts")
    add_seed(parser, "lists, orders and moments")
    return parser


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    tables, document = [], dict[str, Any]()
    plans: list[Plan] = []
    if "costs" in options.only:
        plans += await of_lists(options.contacts, options.portal_contacts, seed=options.seed)
        document["worst_case_bytes_per_id"] = await worst_case(options.contacts, seed=options.seed)
    if "all" in options.only:
        plans.append(await of_everything(options.ids))
    if plans:
        document["plans"] = [plan.as_json() for plan in plans]
        rows = [_cost_row(plan) for plan in plans]
        if "worst_case_bytes_per_id" in document:
            worst = f"{document['worst_case_bytes_per_id']:.3f}"
            rows.append([f"{options.contacts:,}, verdicts at random", *["-"] * 5, worst])
        tables.append(table(_COST_COLUMNS, rows))
    if "pairs" in options.only:
        pairs = {
            model: await plan_pairs.run_pairs(
                model, options.pair_ids or MODELS[model].contacts, options.pairs, seed=options.seed
            )
            for model in options.models
        }
        document["pairs"] = {
            model: [{**dataclasses.asdict(pair), "ratio": pair.ratio} for pair in some] for model, some in pairs.items()
        }
        tables.append(table(_PAIR_COLUMNS, [plan_pairs.rows(model, some) for model, some in pairs.items()]))
    if "kills" in options.only:
        one = await killed(options.kill_contacts, options.kills, options.redis_kills, seed=options.seed)
        document["kills"] = {**dataclasses.asdict(one), "ratio": one.ratio}
        tables.append(table(_KILL_COLUMNS, [_kill_row(one)]))
    publish("Plans", tables, document, command=command, json_to=options.json)


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
