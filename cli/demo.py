"""`crm-sweep demo`: a cleanup from end to end, with everything real except the portal, checked against its truth."""

import asyncio
import contextlib
import csv
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.children import die_with_parent, end
from cli.context import operator, redis_of
from cli.demo_campaign import run_campaign
from cli.demo_truth import Truth, compare
from cli.embedded import EmbeddedServer
from cli.errors import UsageError, exit_code_of
from cli.exit_codes import ExitCode
from cli.intake import read_list, tell
from cli.interrupts import terminable, undisturbed
from cli.keeper import on_server
from cli.loop import run_async
from cli.output import note, out, plural, rendered
from cli.progress import display, follow
from cli.summary import summary
from config.settings import Settings, load_settings
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.ledger.rows import read_results
from jobs.store.keys import WORKERS
from jobs.view.job import Job
from simulator.client import connect

#: The portal has more contacts than are listed: those must still be there at the end.
LISTED = 20_000
BYSTANDERS = 500
MISSING, READ_ONLY, INVOICED, DUPLICATES = 300, 120, 180, 250

_PORTAL = [
    *("--contacts", str(LISTED + BYSTANDERS)),
    *("--missing", str(MISSING)),
    *("--read-only", str(READ_ONLY)),
    *("--invoiced", str(INVOICED)),
    *("--base-ms", "60"),
    *("--per-contact-ms", "2"),
    *("--jitter", "0.3"),
    *("--concurrency", "8"),
    *("--seed", "1"),
    # Now and then the portal deletes contacts and then answers 500, as the real one does.
    *("--fault", '{"fault": "error", "when": "after", "rate": 0.03}'),
]

_CONFIGURATION = """\
[redis]
url = "{redis}"

[portals.demo]
url = "{portal}"
token = "simulator-token"
requests_per_second = 12.0
burst = 2
max_concurrency = 6
batch_size_start = 100
batch_size_max = 200
canary = "25"
plan_sample = 3
"""

_GO_ON = "then start the demo again"

#: Lets an open page show the end before everything shuts down.
_LAST_LOOK_S = 1.5

_START_S = 30.0
_STOP_S = 10.0
_LIMIT_S = 180.0


def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep everything running afterwards, until Ctrl-C, to try the page.")
    ] = False,
) -> ExitCode:
    """Clean up a simulated portal, and check the ledgers against it. Takes about 25 seconds.

    First a campaign by filter: a plan, its approval, and a canary that catches what has changed since then. Then a list
    of 20,000 contact IDs, on a portal that now and then answers with an error after it has deleted.

    Needs no setup: it starts a Redis, a simulated portal, a worker and the API with its page in a temporary directory,
    and leaves nothing behind. The exit code is 0 only if the ledgers and the portal agree about every contact.

    Examples:
      crm-sweep demo
      crm-sweep demo --stay
    """
    with terminable(), contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(_temporary_directory()))
        server = stack.enter_context(EmbeddedServer(directory / "redis"))
        portal_url = stack.enter_context(_listening("simulator", *_PORTAL))
        configuration = directory / "crm-sweep.toml"
        configuration.write_text(_CONFIGURATION.format(redis=server.url.get_secret_value(), portal=portal_url))
        settings = load_settings(configuration, {})
        stack.enter_context(_worker(configuration, directory / "worker.log"))
        page = stack.enter_context(_listening("--config", str(configuration), "api", "--port", "0"))
        note(f"a simulated portal with {LISTED + BYSTANDERS - MISSING:,} contacts, a Redis and a worker are running")
        note(f"watch it in a browser: {page}")
        contacts = directory / "contacts.csv"
        _write_list(contacts)
        job, agreed = run_async(on_server(server, _clean_up(settings, contacts, portal_url), go_on=_GO_ON))
        if stay:
            note(f"everything stays up for you to try, until Ctrl-C: {page}")
            with contextlib.suppress(KeyboardInterrupt):  # the way it is meant to end
                run_async(on_server(server, _until_interrupted(), go_on=_GO_ON))
    if not agreed:
        return ExitCode.JOB_ENDED_BADLY
    return exit_code_of(job)


async def _clean_up(settings: Settings, contacts: Path, portal_url: str) -> tuple[Job, bool]:
    portal = settings.portal("demo")
    async with redis_of(settings, patience_s=_LIMIT_S) as redis, connect(portal_url) as simulated:
        await _worker_is_there(redis)
        note("1. a campaign by filter: what is tagged trash and not vip")
        campaign = await run_campaign(redis, settings, simulated, LISTED + 1)
        note("2. a list of 20,000 contact IDs")
        intake = read_list(str(contacts))
        tell(contacts.name, intake)
        accepted = await submit(
            redis,
            submission_for(
                portal,
                intake.ids,
                by=operator(),
                label="spring cleanup",
                duplicates=intake.duplicates,
            ),
        )
        try:
            with display() as show:
                async with asyncio.timeout(_LIMIT_S):
                    job = await follow(redis, accepted.job_id, show, until=lambda job: job.ended, patience_s=None)
        except TimeoutError:
            raise UsageError(f"the demo is not done after {_LIMIT_S:.0f} s; is the machine very busy?") from None
        await asyncio.sleep(_LAST_LOOK_S)
        out(rendered(summary(job)))
        truth = await Truth.read(portal_url)
        lines = [line for each in (campaign, job) async for part in read_results(redis, each.id) for line in part]
    ids = BitMap(line.contact_id for line in lines)
    disagreements = compare(lines, ids, truth)
    for disagreement in disagreements[:10]:
        note(f"disagreement: {disagreement}")
    if disagreements:
        out(f"the ledgers and the portal disagree about {plural(len(disagreements), 'contact')}\n")
    else:
        out(
            f"the ledgers and the portal agree about all {len(lines):,} contacts; "
            f"the {len(truth.alive - ids):,} others that the portal has are untouched\n"
        )
    return job, not disagreements


async def _worker_is_there(redis: ArqRedis) -> None:
    """Wait until the worker has reported that it is alive.

    Raises:
        UsageError: it does not.
    """
    for _ in range(round(_START_S / 0.05)):
        if await redis.zcard(WORKERS):
            return
        await asyncio.sleep(0.05)
    raise UsageError("the worker did not start")


def _write_list(target: Path) -> None:
    """Write a list such as people have: a CSV with other columns, unsorted, with duplicates."""
    chance = random.Random(1)  # noqa: S311 - the same list every time
    ids = list(range(1, LISTED + 1))
    ids += chance.sample(ids, DUPLICATES)
    chance.shuffle(ids)
    with target.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Name", "Contact_ID", "Last seen"])
        rows.writerows([f"Contact, No. {contact_id}", contact_id, "2019-05-01"] for contact_id in ids)


@contextlib.contextmanager
def _temporary_directory() -> Iterator[str]:
    # Like everything else, removed with signals ignored: a second Ctrl-C must not leave anything behind.
    directory = tempfile.TemporaryDirectory(prefix="crm-sweep-demo-")
    try:
        yield directory.name
    finally:
        with undisturbed():
            directory.cleanup()


@contextlib.contextmanager
def _listening(*arguments: str) -> Iterator[str]:
    """Run a server of this program; yield the address on which it reports that it listens."""
    with _process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        first_line = process.stdout.readline().decode() if process.stdout else ""
        _, _, url = first_line.partition("listening on ")
        if not url:
            raise UsageError(f"`crm-sweep {' '.join(arguments[:3])} …` did not start")
        yield url.strip()


async def _until_interrupted() -> None:
    await asyncio.Event().wait()


@contextlib.contextmanager
def _worker(configuration: Path, log: Path) -> Iterator[None]:
    with log.open("wb") as stderr, _process("--config", str(configuration), "worker", stderr=stderr):
        yield


@contextlib.contextmanager
def _process(
    *arguments: str, stdout: int | None = None, stderr: IO[bytes] | int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command of this program for the duration of the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRM_SWEEP_")}
    process = subprocess.Popen(  # noqa: S603 - our own program, no shell
        [sys.executable, "-m", "cli", *arguments],
        stdin=subprocess.DEVNULL,
        env=environment,
        # Not in the terminal's process group: Ctrl-C must reach the demo, and the others only through the demo.
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs yet, and it is a single system call
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        with undisturbed():
            try:
                if process.poll() is None:
                    end(process.pid)
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
