"""`crm-sweep portals` and `limits`: how hard the portals are driven, and how to change that while jobs run."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from cli.context import AsJson, operator, redis_of, settings_of
from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import note, out, out_after, rendered
from config.portal import MAX_CONCURRENCY, REQUESTS_PER_SECOND
from config.settings import Portal, Settings
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.store.times import clock
from jobs.view.job import to_json
from jobs.view.portal import PortalView, read_portal, read_portals

_LEAST_RATE, _MOST_RATE = REQUESTS_PER_SECOND
_LEAST_CONCURRENCY, _MOST_CONCURRENCY = MAX_CONCURRENCY


def portals(ctx: typer.Context, as_json: AsJson = False) -> ExitCode:
    """Show the configured portals: their limits, how hard they are driven now, and what they wait for.

    Exit codes: 0 done, 2 bad usage, 5 Redis cannot be reached.

    Examples:
      crm-sweep portals
      crm-sweep portals --json | jq '.portals[].learned_requests_per_second'
    """
    views = run_async(_read(settings_of(ctx)))
    if as_json:
        out(to_json({"portals": views}).decode() + "\n")
    elif views:
        out(rendered(_table(views), fitted=False))
        if any(any(_changed(view)) for view in views):
            note("* changed live; `crm-sweep limits NAME --reset` goes back to the configuration")
    else:
        note("no portal is configured; `crm-sweep check` checks the configuration")
    return ExitCode.DONE


def limits(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The portal's name.", show_default=False)],
    *,
    requests_per_second: Annotated[
        float | None,
        typer.Option("--requests-per-second", min=_LEAST_RATE, max=_MOST_RATE, help="All calls of all workers."),
    ] = None,
    max_concurrency: Annotated[
        int | None,
        typer.Option("--max-concurrency", min=_LEAST_CONCURRENCY, max=_MOST_CONCURRENCY, help="Calls in flight."),
    ] = None,
    open_until: Annotated[
        str,
        typer.Option(
            "--open-until",
            metavar="TIME",
            help="Allow deletions outside the portal's windows until then, once; `none` takes it back.",
        ),
    ] = "",
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the configured limits.")] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Change how hard a portal is driven while jobs run: each worker applies the change from its next batch on.

    TIME is a date and a time of day, in the portal's time zone unless it names another; at most 7 days ahead.

    The change lasts until the next one, even across restarts; the configuration file stays as it is. Without options,
    the limits are only shown.

    Exit codes: 0 done, 2 bad usage, 4 no such portal, 5 Redis cannot be reached.

    Examples:
      crm-sweep limits main
      crm-sweep limits main --requests-per-second 2.5 --max-concurrency 2
      crm-sweep limits main --open-until 2026-11-27T06:00
      crm-sweep limits main --reset
    """
    if reset and (requests_per_second is not None or max_concurrency is not None):
        raise UsageError("--reset goes back to the configuration; use either that or new limits, not both")
    settings = settings_of(ctx)
    portal = settings.portal(name)
    rate: float | str | None = CONFIGURED if reset else requests_per_second
    concurrency: int | str | None = CONFIGURED if reset else max_concurrency
    open_until_ms = _moment_ms(open_until, portal) if open_until else None
    view = run_async(_limit(settings, portal, rate, concurrency, open_until_ms))
    text = f"{to_json(view).decode() if as_json else drive(view)}\n"
    if rate is None and concurrency is None and open_until_ms is None:
        out(text)
    else:
        out_after(f"the limits are set ({drive(view)})", "this", text)
    return ExitCode.DONE


async def _read(settings: Settings) -> list[PortalView]:
    async with redis_of(settings) as redis:
        return await read_portals(redis, settings.portals.values())


async def _limit(
    settings: Settings,
    portal: Portal,
    rate: float | str | None,
    concurrency: int | str | None,
    open_until_ms: int | str | None,
) -> PortalView:
    async with redis_of(settings) as redis:
        try:
            await set_limits(
                redis,
                portal,
                by=operator(),
                requests_per_second=rate,
                max_concurrency=concurrency,
                open_until_ms=open_until_ms,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        return await read_portal(redis, portal)


def _moment_ms(text: str, portal: Portal) -> int | str:
    if text == "none":
        return CONFIGURED
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--open-until: expected a time such as 2026-11-27T06:00, or `none`, got {text!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(portal.timezone))
    return round(moment.timestamp() * 1000)


def drive(view: PortalView) -> str:
    """Return one line about how hard a portal is driven."""
    rate = (
        f"{view.requests_per_second:g} calls/s{_unlike(view.requests_per_second, view.configured_requests_per_second)}"
    )
    if view.learned_requests_per_second < view.requests_per_second:
        rate += f", driven at {view.learned_requests_per_second:g} since it pushed back"
    concurrency = f"{view.max_concurrency} in flight{_unlike(view.max_concurrency, view.configured_max_concurrency)}"
    rest = f"; {_rest(view)}" if view.push_back_until else ""
    return (
        f"{view.name}: at most {rate}; at most {concurrency}, {view.in_flight} now; batches of {view.batch_size}{rest}"
        f"{_gates(view)}"
    )


def _gates(view: PortalView) -> str:
    """Say what guards the portal's deletions now, where anything does."""
    told = ""
    if view.max_contacts_per_day:
        told += f"; {view.sent_today:,} of {view.max_contacts_per_day:,} contacts sent today"
    if view.open_until:
        told += f"; deletions allowed until {clock(view.open_until)} whatever its windows"
    if view.stopped:
        whose = "" if view.stopped.portal else " at all portals"
        told += f"; deletions{whose} stopped by {view.stopped.by} at {clock(view.stopped.at)}"
    elif view.held_by:
        until = f" until {clock(view.held_until)}" if view.held_until else ""
        told += f"; no deletion{until}: {view.held_by}"
    return told


def _rest(view: PortalView) -> str:
    asked = f" (the portal had asked for {clock(view.rest_asked_until)})" if view.rest_asked_until else ""
    return f"no call before {clock(view.push_back_until or '')}{asked}"


def _unlike(now: float, configured: float) -> str:
    return "" if now == configured else f" (configured {configured:g})"


def _table(views: list[PortalView]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("portal", "calls/s", "learned", "in flight", "batch", "jobs", "waits for"):
        table.add_column(name, justify="left" if name in {"portal", "waits for"} else "right", no_wrap=True)
    for view in views:
        waits = view.fault or ""
        if view.held_by and not waits:
            waits = f"{view.held_by}{f' until {clock(view.held_until)}' if view.held_until else ''}"
        if view.push_back_until and not waits:
            waits = f"{view.push_back_reason} until {view.push_back_until[11:19]} UTC"
        rate_mark, concurrency_mark = ("*" if changed else "" for changed in _changed(view))
        table.add_row(
            view.name,
            f"{view.requests_per_second:g}{rate_mark}",
            f"{view.learned_requests_per_second:g}",
            f"{view.in_flight} of {view.max_concurrency}{concurrency_mark}",
            f"{view.batch_size}",
            f"{view.active_jobs:,}",
            waits,
        )
    return table


def _changed(view: PortalView) -> tuple[bool, bool]:
    """Return which limits differ from the configuration: the rate, the concurrency."""
    return (
        view.requests_per_second != view.configured_requests_per_second,
        view.max_concurrency != view.configured_max_concurrency,
    )
