"""One real lane in the test's own process, without a worker around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq.connections import ArqRedis
from pyroaring import BitMap

from config.logging import get_logger
from config.portal import Portal
from tests.support.lanes import lane, terms
from worker.decide import Decider
from worker.dispatch import Dispatcher
from worker.drain import Drain
from worker.forecast import Forecasts
from worker.gatekeeper import Gatekeeper
from worker.kept import KeptRecords
from worker.lane import Lane
from worker.planner import planner_for
from worker.portal_client import PortalClient
from worker.push_back import PushBack
from worker.segments import Segments
from worker.token_store import RedisTokenStore


@asynccontextmanager
async def one_lane(redis: ArqRedis, portal: Portal, name: str, ttl_s: float = 600.0) -> AsyncIterator[Lane]:
    """Make a lane that has no lease yet.

    Args:
        redis: the connection.
        portal: what it drives.
        name: its token.
        ttl_s: how long its lease lasts.
    """

    async def pace() -> None:
        pass

    client = PortalClient(portal, RedisTokenStore(redis, portal.name), pace)
    decider, segments = Decider(portal, uniform=lambda _low, _high: 0.0), Segments(redis)
    ledger, drain = lane(redis, name, ttl_s), Drain()
    dispatcher = Dispatcher(
        ledger=ledger,
        portal=portal,
        conditions="",
        client=client,
        segments=segments,
        protected=BitMap(),
        forecasts=Forecasts(redis),
        kept=KeptRecords(redis),
        planner=planner_for(redis, client, segments, decider, terms()),
        decider=decider,
        push_back=PushBack(0.1, 1.0, portal.retry_after_max_s),
        drain=drain,
        log=get_logger(),
    )
    yield Lane(
        ledger=ledger,
        terms=terms(batch_size=portal.batch_size_start),
        gatekeeper=Gatekeeper(portal),
        dispatcher=dispatcher,
        drain=drain,
        slice_s=60.0,
        log=get_logger(),
    )
    await client.close()
