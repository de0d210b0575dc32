"""`crm-sweep stop` and `start`: the switch that holds back the deletions of one portal, or of all."""

from typing import Annotated

import typer

from cli.context import AsJson, operator, redis_of, settings_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import out_after
from config.settings import Settings
from jobs.steering.switch import Switch, switch
from jobs.store.times import clock
from jobs.view.job import to_json
from jobs.view.stops import Stop

_Name = Annotated[
    str | None, typer.Option("--portal", metavar="NAME", help="Only this portal; by default all portals.")
]


def stop(ctx: typer.Context, portal: _Name = None, as_json: AsJson = False) -> ExitCode:
    """Stop all deletions, of one portal or of all, from the next batch on, until `crm-sweep start`.

    Batches that have already left are still recorded, and look-ups go on, so that every contact is accounted for. Plans
    can still be made. The stop survives restarts of workers and Redis.

    Exit codes: 0 done, 2 bad usage, 4 no such portal, 5 Redis cannot be reached.

    Examples:
      crm-sweep stop
      crm-sweep stop --portal main
    """
    return _turn(ctx, Switch.STOP, portal, as_json=as_json)


def start(ctx: typer.Context, portal: _Name = None, as_json: AsJson = False) -> ExitCode:
    """Let deletions go on after `crm-sweep stop`.

    A stop of all portals and a stop of one portal are separate, and each is lifted on its own.

    Exit codes: 0 done, 2 bad usage, 4 no such portal, 5 Redis cannot be reached.

    Examples:
      crm-sweep start
      crm-sweep start --portal main
    """
    return _turn(ctx, Switch.START, portal, as_json=as_json)


def _turn(ctx: typer.Context, to: Switch, portal: str | None, *, as_json: bool) -> ExitCode:
    settings = settings_of(ctx)
    stops = run_async(_switch(settings, to, portal))
    whose = f"deletions at {portal}" if portal is not None else "deletions at all portals"
    deed = f"{whose} are stopped" if to is Switch.STOP else f"the stop of {portal or 'all portals'} is lifted"
    lines = [deed, *(f"in force: {in_words(one)}" for one in stops)]
    if to is Switch.START and stops:
        lines += [f"to lift it: {_how_to_lift(one)}" for one in stops if _concerns(one, portal)]
    text = to_json({"stopped": stops}).decode() if as_json else "\n".join(lines)
    out_after(deed, "this", f"{text}\n")
    return ExitCode.DONE


def in_words(stop: Stop) -> str:
    """Describe a stop in a few words."""
    whose = f"deletions at {stop.portal}" if stop.portal else "deletions at all portals"
    return f"{whose} were stopped by {stop.by} at {clock(stop.at)}"


def _concerns(stop: Stop, portal: str | None) -> bool:
    return portal is None or stop.portal in {None, portal}


def _how_to_lift(stop: Stop) -> str:
    return f"`crm-sweep start --portal {stop.portal}`" if stop.portal else "`crm-sweep start`"


async def _switch(settings: Settings, to: Switch, portal: str | None) -> list[Stop]:
    portals = list(settings.portals.values()) if portal is None else [settings.portal(portal)]
    async with redis_of(settings) as redis:
        return await switch(redis, to, portals, of_all=portal is None, by=operator())
