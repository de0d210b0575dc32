"""The stop switch: no PUT of one portal, or of all, leaves from the next batch on, until somebody starts them again."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from arq.connections import ArqRedis
from ulid import ULID

from config.logging import get_logger
from config.settings import Portal
from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.kept import EVERYONE
from jobs.store.scripts import Script
from jobs.view.portal import read_portals
from jobs.view.stops import Stop, read_stops

SWITCH = Script("switch", replicated=True)


class Switch(StrEnum):
    """What is asked of the stop switch."""

    STOP = "stop"
    START = "start"


async def switch(redis: ArqRedis, to: Switch, portals: Sequence[Portal], *, of_all: bool, by: str) -> list[Stop]:
    """Stop all PUTs of a portal or of all portals, or let them go on. Asking for it twice changes nothing more.

    Look-ups and log-ins go on: what was sent is still accounted for. A stop of all portals and a stop of one are
    separate; a portal goes on when neither is in force.

    Args:
        redis: the connection.
        to: stop or start.
        portals: the portal that it is about; with `of_all`, every configured one.
        of_all: whether it is about all portals, also those that are not configured here.
        by: who asks; kept with the stop and with the portals.

    Returns:
        The stops that are in force now.
    """
    names = [portal.name for portal in portals]
    which = EVERYONE if of_all else names[0]
    await SWITCH(redis, [keys.STOPPED, *map(keys.portal, names)], [to, which, by, str(ULID())])
    if to is Switch.STOP:
        get_logger().warning("deletions_stopped", portal=which, by=by)
    else:
        get_logger().warning("deletions_started", portal=which, by=by)
        for view in await read_portals(redis, portals):
            if view.active_jobs and not view.stopped:
                await wake_lanes(redis, view.name, view.max_concurrency - view.lanes)
    return await read_stops(redis)


def seen_by(stops: Sequence[Stop], portals: Collection[str] | None) -> list[Stop]:
    """Return the stops that concern these portals; all for None."""
    return [stop for stop in stops if portals is None or stop.portal is None or stop.portal in portals]
