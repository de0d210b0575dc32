"""Changing how hard a portal is driven, and opening its windows once."""

from arq.connections import ArqRedis
from ulid import ULID

from config.portal import MAX_CONCURRENCY, REQUESTS_PER_SECOND
from config.settings import Portal
from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.store.times import clock, iso, server_ms
from jobs.view.portal import read_portal

SET_LIMITS = Script("set_limits", replicated=True)

#: Passed to `set_limits` to return to the configured value.
CONFIGURED = "default"

#: A portal can be opened outside its windows for at most so long, days.
OPEN_AT_MOST_DAYS = 7

_RANGES = {"requests_per_second": REQUESTS_PER_SECOND, "max_concurrency": MAX_CONCURRENCY}


async def set_limits(
    redis: ArqRedis,
    portal: Portal,
    *,
    by: str,
    requests_per_second: float | str | None = None,
    max_concurrency: int | str | None = None,
    open_until_ms: int | str | None = None,
) -> None:
    """Change how hard a portal is driven, for all workers from their next call on.

    Args:
        redis: the connection.
        portal: the portal's settings.
        by: who asks; kept with the portal.
        requests_per_second: the new ceiling, in the range of the setting; CONFIGURED returns to the configured one,
            None leaves it unchanged.
        max_concurrency: the new maximum of calls in flight, likewise.
        open_until_ms: until when contacts may be deleted although the portal's windows are closed, Unix milliseconds,
            at most `OPEN_AT_MOST_DAYS` ahead; CONFIGURED takes it back.

    Raises:
        ValueError: a value is outside the setting's range, or the time is not ahead or too far away.
    """
    wanted = {"requests_per_second": requests_per_second, "max_concurrency": max_concurrency}
    for name, value in wanted.items():
        least, most = _RANGES[name]
        if not (value is None or value == CONFIGURED or least <= float(value) <= most):
            raise ValueError(f"{name}: expected {least:g} to {most:g}, got {value}")
    told = [f"{name} {_spoken(value)}" for name, value in wanted.items() if value is not None]
    if open_until_ms == CONFIGURED:
        told.append("open_until taken back")
    elif open_until_ms is not None:
        await _check_open_until(redis, int(open_until_ms))
        told.append(f"open_until {clock(iso(int(open_until_ms)))}")
    if not told:
        return
    asked = ", ".join(told)
    arguments = ["" if value is None else value for value in (*wanted.values(), open_until_ms)]
    await SET_LIMITS(redis, [keys.portal(portal.name)], [*arguments, by, asked, str(ULID())])
    view = await read_portal(redis, portal)
    if view.active_jobs:
        await wake_lanes(redis, portal.name, view.max_concurrency - view.lanes)


async def _check_open_until(redis: ArqRedis, open_until_ms: int) -> None:
    ahead_ms = open_until_ms - server_ms(await redis.time())
    if ahead_ms <= 0:
        raise ValueError(f"open_until: expected a time that is still to come, got {clock(iso(open_until_ms))}")
    if ahead_ms > OPEN_AT_MOST_DAYS * 86_400_000:
        raise ValueError(
            f"open_until: expected a time at most {OPEN_AT_MOST_DAYS} days ahead, got {clock(iso(open_until_ms))}"
        )


def _spoken(value: float | str) -> str:
    return "as configured" if value == CONFIGURED else f"{float(value):g}"
