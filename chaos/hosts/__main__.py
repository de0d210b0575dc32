"""`python -m chaos.hosts`: check with a host for everybody that the ledger tells the truth when hosts fail and part.

Exit codes: 0 ledgers and portal agree about every contact and every promise stands, 1 they do not (or the run itself
failed), 2 bad usage, or no hosts can be made here, 130 interrupted. Data and logs of a run that did not end well are
kept.
"""

import argparse
import sys

from chaos.command import add_options, forget_settings, perform, positive
from chaos.hosts.bridge import Bridge
from chaos.hosts.failovers import ACTS, acts_possible_on
from chaos.hosts.loopback import Loopback
from chaos.hosts.namespaces import NoNamespaces, enter, is_inside
from chaos.hosts.plan import HostsPlan
from chaos.hosts.report import as_text
from chaos.hosts.story import HostsStory


def main() -> int:
    """Run the command and return the exit code."""
    forget_settings()
    parser = _parser()
    given = parser.parse_args()
    if not (given.loopback or is_inside()):
        try:
            enter([sys.executable, "-m", "chaos.hosts", *sys.argv[1:]])
        except NoNamespaces as error:
            parser.error(f"no hosts can be made here: {error}. Run it as root, or with --loopback")
    plan = HostsPlan(
        minutes=given.minutes,
        failovers=given.failovers,
        workers=given.workers,
        min_replicas=given.min_replicas,
        replica_timeout_s=given.replica_timeout,
        seed=given.seed,
        fault_rate=given.faults,
        acts=tuple(given.acts),
        asides=given.asides,
    )
    network = Loopback(plan.hosts) if given.loopback else Bridge(plan.hosts)
    impossible = set(plan.acts) - set(acts_possible_on(network))
    if impossible:
        parser.error(f"not possible here: {', '.join(sorted(impossible))}")
    about = f"{len(plan.hosts)} hosts {'on loopback' if given.loopback else 'in network namespaces'}"
    return perform(
        plan,
        parser,
        about,
        lambda directory: HostsStory(plan, network, directory).play(),
        as_text,
        json_to=given.json,
        keep=given.keep,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos.hosts",
        description="Run real jobs with a primary, two replicas, three Sentinels, workers, the API and a simulated "
        "portal, each on a host of its own, while hosts fail and part; then compare the ledgers with what really "
        "happened, contact by contact, and the API's promises with what became of them.",
    )
    add_options(parser, most_workers=8, fault_rate=0.005)
    parser.add_argument("--failovers", type=int, default=0, metavar="N", help="end earlier, after so many fail-overs")
    parser.add_argument(
        "--min-replicas",
        type=int,
        default=2,
        choices=range(3),
        help="how many replicas must have a claim (default 2: both); with 0 the ledgers must be caught lying",
    )
    parser.add_argument(
        "--replica-timeout", type=positive, default=1.0, metavar="S", help="how long a claim waits for them (default 1)"
    )
    parser.add_argument(
        "--acts", nargs="+", choices=ACTS, default=(), metavar="ACT", help=f"only these: {', '.join(ACTS)}"
    )
    parser.add_argument(
        "--no-asides", dest="asides", action="store_false", help="leave workers, the API and the network alone"
    )
    parser.add_argument(
        "--loopback", action="store_true", help="make no hosts: needs no rights, but nothing can be cut off or slowed"
    )
    parser.add_argument("--keep", action="store_true", help="keep data and logs even if the run ends well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
