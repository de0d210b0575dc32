"""`crm-sweep select`: what a filter matches on a portal, as a file to look at and to hand on."""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from redis.exceptions import RedisError
from rich.progress import Progress, SpinnerColumn, TextColumn

from cli import selection_csv
from cli.context import AsJson, redis_of, settings_of
from cli.errors import PortalFailed, UsageError
from cli.exit_codes import ExitCode
from cli.filter_options import (
    CreatedFrom,
    CreatedTo,
    Everything,
    Responsible,
    Stage,
    Tags,
    Text,
    Type,
    WantedView,
    WithoutEmail,
    WithoutTags,
    filter_of,
)
from cli.listing import Listing
from cli.loop import run_async
from cli.output import note, notes, out, out_after, plural
from cli.pace import Pace
from cli.report import check_target, written
from cli.summary import duration
from config.settings import Portal, Settings
from jobs.intake.protected import load_protected
from jobs.store.connection import AWAY
from jobs.store.format_number import check_format
from jobs.words.filters import Filter
from jobs.words.verdicts import Verdict
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore, RedisTokenStore
from worker.verdicts import Verdicts

#: How long to wait for Redis before going on without it, seconds.
_PATIENCE_S = 0.3
_STUCK_S = 5.0
#: The portal's search finds at most so many contacts.
_SEARCH_LIMIT = 1000


class Selected(msgspec.Struct, frozen=True):
    """What was found, as `--json` prints it."""

    portal: str
    filter: dict[str, Any]
    output: str
    matched: int
    deletable: int
    read_only: int
    has_invoice: int
    protected: int
    calls: int
    seconds: float


def select(
    ctx: typer.Context,
    *,
    portal: Annotated[
        str, typer.Option("--portal", metavar="NAME", help="The configured portal to list.", show_default=False)
    ],
    tags: Tags = None,
    without_tags: WithoutTags = None,
    view: WantedView = None,
    stage: Stage = None,
    type_: Type = None,
    responsible: Responsible = None,
    created_from: CreatedFrom = None,
    created_to: CreatedTo = None,
    without_email: WithoutEmail = False,
    text: Text = None,
    everything: Everything = False,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="File to write to, completely or not at all.")
    ] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Write the contacts that a filter matches to a CSV, to look at in a spreadsheet. Deletes nothing, makes no job.

    The columns are id, display_name, kind, tags, created and deletable. The last one is yes, read_only (the account has
    no right to change the contact), has_invoice (the portal will not delete it) or protected. `plan`, `run` and
    `submit` take the file as it is, even after rows were removed or a spreadsheet has saved it again.

    The calls keep to the portal's limits, together with those of all workers. With -o, --json prints a summary.

    Exit codes: 0 done, even if nothing matches, 1 the file or standard output cannot be written, 2 bad usage or filter,
    4 no such portal, 5 the portal cannot be reached or refuses.

    Examples:
      crm-sweep select --portal main --tag trash --without-tag vip -o trash.csv
      crm-sweep select --portal main --view person --without-email --created-to 2019-12-31 -o old.csv
      crm-sweep select --portal main --everything | head
    """
    settings = settings_of(ctx)
    configured = settings.portal(portal)
    selection = filter_of(
        tags=tags,
        without_tags=without_tags,
        view=view,
        stage=stage,
        type=type_,
        responsible=responsible,
        created_from=created_from,
        created_to=created_to,
        without_email=without_email,
        text=text,
        everything=everything,
    )
    if as_json and target is None:
        raise UsageError("--json prints a summary instead of the contacts: name a file for them with -o")
    if target:
        check_target(target)
    found = run_async(_select(settings, configured, selection, target))
    _tell(selection, found)
    if as_json:
        out_after(f"{target} is written", "its summary", msgspec.json.encode(found).decode() + "\n")
    return ExitCode.DONE


async def _select(settings: Settings, portal: Portal, selection: Filter, target: Path | None) -> Selected:
    began_s = time.monotonic()
    seen: Counter[Verdict] = Counter()
    verdicts = Verdicts(portal, load_protected(portal))
    async with _listing(settings, portal, selection) as listing:
        with written(target) if target else contextlib.nullcontext(out) as write, _progress(target) as show:
            write(selection_csv.HEADER)
            try:
                async for contacts in listing.pages():
                    judged = [(contact, verdicts.of(contact).verdict) for contact in contacts]
                    write(selection_csv.rows(judged))
                    seen.update(verdict for _, verdict in judged)
                    show(
                        f"{listing.read:,} contacts read, {seen.total():,} match, {plural(listing.pace.calls, 'call')}"
                    )
            except PortalFailed as error:
                unfinished = f"{target} is not written" if target else "what was written is not complete"
                raise PortalFailed(f"{error}; {unfinished}") from None
        return Selected(
            portal=portal.name,
            filter=selection.members(),
            output=str(target) if target else "-",
            matched=seen.total(),
            deletable=seen[Verdict.DELETABLE],
            read_only=seen[Verdict.READ_ONLY],
            has_invoice=seen[Verdict.HAS_INVOICE],
            protected=seen[Verdict.PROTECTED],
            calls=listing.pace.calls,
            seconds=round(time.monotonic() - began_s, 3),
        )


@contextlib.asynccontextmanager
async def _listing(settings: Settings, portal: Portal, selection: Filter) -> AsyncIterator[Listing]:
    """Prepare a pass that shares turns and log-ins with the workers if Redis answers, and does without if not."""
    async with redis_of(settings, patience_s=_PATIENCE_S, must_answer=False) as redis:
        pace = Pace(portal, redis)
        tokens: RedisTokenStore | LocalTokenStore = RedisTokenStore(redis, portal.name)
        try:
            async with asyncio.timeout(_STUCK_S):  # a server that is stuck takes the command, and never answers
                await check_format(redis)
        except (*AWAY, RedisError) as error:
            pace.alone(error)
            tokens = LocalTokenStore()
        client = PortalClient(portal, tokens, pace)
        try:
            yield Listing(portal, client, pace, selection)
        finally:
            await client.close()


@contextlib.contextmanager
def _progress(target: Path | None) -> Iterator[Callable[[str], None]]:
    console = notes()
    if not console.is_terminal or (target is None and sys.stdout.isatty()):
        yield lambda _text: None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("listing", total=None)
        yield lambda text: progress.update(task, description=text)


def _tell(selection: Filter, found: Selected) -> None:
    """Tell the user what was found, and what to be careful about."""
    kept = [
        f"{count:,} {word}"
        for word, count in (
            ("deletable", found.deletable),
            ("read-only", found.read_only),
            ("on an invoice", found.has_invoice),
            ("protected", found.protected),
        )
        if count
    ]
    counts = f": {', '.join(kept)}" if kept else ""
    where = f"{found.output}: " if found.output != "-" else ""
    took = f"{plural(found.calls, 'call')} in {duration(found.seconds)}"
    note(f"{where}{plural(found.matched, 'contact')} of portal {found.portal}{counts} ({took})")
    note(f"{where}the filter selects {selection}")
    if selection.text and found.matched >= _SEARCH_LIMIT:
        note(f"the portal's search stops at {_SEARCH_LIMIT:,} hits: there may be more")
