"""The simulated portal as a process: ``python -m simulator``."""

import argparse
import asyncio
import signal
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from simulator.behaviour import Behaviour
from simulator.faults import Fault, Misbehaviour
from simulator.routes import KINDS
from simulator.server import running
from simulator.world import World

_EPILOG = """\
examples:
  # 20,000 contacts, some of which it refuses to delete; a call takes 50 ms, plus 2 ms per contact
  {prog} --contacts 20000 --read-only 100 --invoiced 100 --base-ms 50 --per-contact-ms 2 --concurrency 8
  # a tenth of the deletions are answered with 500 after they were committed
  {prog} --contacts 1000 --fault '{{"fault": "error", "when": "after", "rate": 0.1}}'
  # two of five contacts are trash, and other users change contacts from 9000 on while it runs
  {prog} --contacts 10000 --tag trash=4000 --employed --set edits_per_s=20 --set edit_from_id=9000
  # contacts of every kind, opportunities and cases; the answer to every second creation is lost after the commit
  {prog} --varied --fault '{{"fault": "reset", "when": "after", "rate": 0.5, "calls": ["create_person"]}}'
  # can take 5 calls per second, after a minute only 2
  {prog} --contacts 1000 --set capacity_calls_per_s=5 --set 'capacity_changes=[[60, 2]]'

{names}

While it runs, /truth/summary reports what happened, /truth/records what contacts are like or were when they were
deleted, and /truth/creations which call created which. Use /truth/faults, /truth/behaviour and /truth/world to
change it.
"""


@dataclass(frozen=True)
class Options:
    """A parsed command line."""

    world: World
    behaviour: Behaviour
    faults: list[Fault]
    host: str
    port: int
    truth_port: int | None


def parse(argv: Sequence[str], prog: str = "python -m simulator") -> Options:
    """Parse the command line.

    Raises:
        SystemExit: 0 after ``--help``, 2 for bad usage.
    """
    parser = _parser(prog)
    given = parser.parse_args(argv)
    behaviour = Behaviour(seed=given.seed)
    if len(dict(given.tag)) < len(given.tag):
        parser.error("a tag is given twice")
    try:
        switches = {name: getattr(given, name) for name in _SWITCHES if getattr(given, name) is not None}
        behaviour.change(switches | dict(given.set))
        faults = [msgspec.json.decode(text, type=Fault) for text in given.fault]
        world = World(
            given.contacts,
            read_only=given.read_only,
            invoiced=given.invoiced,
            invisible=given.invisible,
            missing=given.missing,
            poisoned=given.poisoned,
            companies=given.companies,
            employed=given.employed,
            no_email=given.no_email,
            tagged=dict(given.tag),
            varied=given.varied,
            seed=given.seed,
        )
    except ValueError as problem:
        parser.error(str(problem))
    return Options(world, behaviour, faults, given.host, given.port, given.truth_port)


async def run(options: Options) -> None:
    """Run the portal until SIGTERM or SIGINT; print one line with its address when it is ready."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(
        options.world,
        options.behaviour,
        options.faults,
        host=options.host,
        port=options.port,
        truth_port=options.truth_port,
    ) as portal:
        sys.stdout.write(f"listening on {portal.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: Sequence[str] | None = None, prog: str = "python -m simulator") -> int:
    """Run the portal that the command line describes; return 0 after an orderly stop, 1 if it cannot listen."""
    options = parse(sys.argv[1:] if argv is None else argv, prog)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(options))
    except OSError as problem:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {problem}\n")
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not available on some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop


#: Switches with an option of their own; the others are set with --set.
_SWITCHES = (
    "base_ms",
    "per_contact_ms",
    "write_ms",
    "jitter",
    "concurrency",
    "commit_at",
    "casing",
    "token",
    "user_name",
    "password",
)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A simulated ONLYOFFICE portal with contacts that can be listed, deleted and created.",
        epilog=_EPILOG.format(prog=prog, names=_names()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_argument_group("where it listens")
    where.add_argument("--host", default="127.0.0.1", help="address (default 127.0.0.1)")
    where.add_argument("--port", type=_count, default=0, help="port; 0 picks a free one (default)")
    where.add_argument("--truth-port", type=_count, help="port for /truth/ alone, 0 for a free one (default: --port's)")
    world = parser.add_argument_group("contacts, with the IDs 1 to N; those up to --poisoned are disjoint")
    world.add_argument("--contacts", type=_count, default=1000, metavar="N", help="IDs 1 to N (default 1000)")
    for name, what in (
        ("read-only", "can be seen but not edited"),
        ("invoiced", "are on an invoice"),
        ("invisible", "exist but cannot be seen"),
        ("missing", "do not exist after all"),
        ("poisoned", "make every batch with one of them fail"),
    ):
        world.add_argument(f"--{name}", type=_count, default=0, metavar="N", help=f"how many of them {what}")
    world.add_argument("--companies", type=_count, metavar="N", help="how many are companies (default every fifth)")
    world.add_argument("--employed", action="store_true", help="persons belong to the company before them")
    world.add_argument("--varied", action="store_true", help="contacts differ in all that their records tell")
    world.add_argument("--no-email", type=_count, default=0, metavar="N", help="how many have no e-mail address")
    world.add_argument(
        "--tag", action="append", type=_tag, default=[], metavar="NAME=N", help="how many have a tag; can be repeated"
    )
    world.add_argument(
        "--seed", type=int, default=0, help="seed for choosing them and for all other chance (default 0)"
    )
    time = parser.add_argument_group("time of a call")
    time.add_argument("--base-ms", type=float, metavar="MS", help="milliseconds per call (default 0)")
    time.add_argument("--write-ms", type=float, metavar="MS", help="and per creation or change (default 0)")
    time.add_argument("--per-contact-ms", type=float, metavar="MS", help="and per contact of a deletion (default 0)")
    time.add_argument("--jitter", type=float, metavar="F", help="0 to 1: vary it by up to this share (default 0)")
    time.add_argument(
        "--commit-at", type=float, metavar="F", help="0 to 1: share of it before the commit (default 0.4)"
    )
    time.add_argument(
        "--concurrency", type=_count, metavar="N", help="calls at the same time; 0 for no limit (default)"
    )
    account = parser.add_argument_group("account")
    account.add_argument("--token", help="token that is valid from the start (default simulator-token)")
    account.add_argument("--user-name", help="for log-in (default admin@example.com)")
    account.add_argument("--password", help="for log-in (default simulator-password)")
    more = parser.add_argument_group("misbehaviour")
    more.add_argument("--casing", choices=["camel", "pascal", "upper_id"], help="of the keys (default camel)")
    more.add_argument("--fault", action="append", default=[], metavar="JSON", help="a fault rule; can be repeated")
    more.add_argument(
        "--set", action="append", type=_assignment, default=[], metavar="NAME=VALUE", help="any other switch"
    )
    return parser


def _names() -> str:
    lists = {
        "faults": typing.get_args(Misbehaviour),
        "members of a fault rule": msgspec.structs.asdict(Fault(fault="hang")),
        "calls they can strike": ("*", *KINDS),
        "switches for --set": msgspec.structs.asdict(Behaviour()),
    }
    return "\n".join(
        textwrap.fill(", ".join(names), 110, initial_indent=f"{title}: ", subsequent_indent="  ")
        for title, names in lists.items()
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _tag(text: str) -> tuple[str, int]:
    """Split NAME=N at its last sign."""
    name, sign, count = text.rpartition("=")
    if not sign or not name.strip() or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=N")
    return name, int(count)


def _assignment(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE; the value is plain text if the switch is a string, otherwise JSON."""
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    name = name.replace("-", "_")
    if isinstance(getattr(Behaviour(), name, None), str):
        return name, value
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
