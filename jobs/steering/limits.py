"""Changing how hard a portal is driven."""

from arq.connections import ArqRedis
from ulid import ULID

from config.portal import MAX_CONCURRENCY, REQUESTS_PER_SECOND
from config.settings import Portal
from jobs.lanes.wake import wake_lanes
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.view.portal import read_portal

SET_LIMITS = Script("set_limits")

#: Passed to `set_limits` to return to the configured value.
CONFIGURED = "default"

_RANGES = {"requests_per_second": REQUESTS_PER_SECOND, "max_concurrency": MAX_CONCURRENCY}


async def set_limits(
    redis: ArqRedis,
    portal: Portal,
    *,
    by: str,
    requests_per_second: float | str | None = None,
    max_concurrency: int | str | None = None,
) -> None:
    """Change how hard a portal is driven, for all workers from their next call on.

    Args:
        redis: the connection.
        portal: the portal's settings.
        by: who asks; kept with the portal.
        requests_per_second: the new ceiling, in the range of the setting; CONFIGURED returns to the configured one,
            None leaves it unchanged.
        max_concurrency: the new maximum of calls in flight, likewise.

    Raises:
        ValueError: a value is outside the setting's range.
    """
    wanted = {"requests_per_second": requests_per_second, "max_concurrency": max_concurrency}
    for name, value in wanted.items():
        least, most = _RANGES[name]
        if not (value is None or value == CONFIGURED or least <= float(value) <= most):
            raise ValueError(f"{name}: expected {least:g} to {most:g}, got {value}")
    asked = ", ".join(f"{name} {_spoken(value)}" for name, value in wanted.items() if value is not None)
    if not asked:
        return
    arguments = ["" if value is None else value for value in wanted.values()]
    await SET_LIMITS(redis, [keys.portal(portal.name)], [*arguments, by, asked, str(ULID())])
    view = await read_portal(redis, portal)
    if view.active_jobs:
        await wake_lanes(redis, portal.name, view.max_concurrency - view.lanes)


def _spoken(value: float | str) -> str:
    return "as configured" if value == CONFIGURED else f"{float(value):g}"
