"""What is selected and planned while the portal's other users work is the truth about every contact left alone.

`SELECTION_EXAMPLES=50` tries more filters, each on a portal of its own; `-s` shows what was selected and edited.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import pytest
from arq.connections import ArqRedis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from jobs.store.connection import connect
from jobs.words.filters import Filter
from jobs.words.states import State
from tests.support.changing_portal import CONTACTS, Scene, changing, edited, filters, listed, oracle, scenes, verdict
from tests.support.planning import plan_of_filter, plan_of_list, planned, true_verdicts, verdicts_of
from tests.support.sweeping import MARKS, settings_of
from worker.main import working

pytestmark = MARKS

EXAMPLES = int(os.environ.get("SELECTION_EXAMPLES", "3"))
TIMEOUT = pytest.mark.timeout(120 + 15 * EXAMPLES)


def of_examples(share: float = 1.0) -> settings:
    return settings(
        max_examples=max(2, round(EXAMPLES * share)),
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # an example takes seconds, and does not become clearer by shrinking
        derandomize=EXAMPLES <= 3,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def tell(figures: str) -> None:
    sys.stdout.write(f"\n{figures}\n")


def on(server: EmbeddedServer, scene: Scene, check: Callable[[ArqRedis, simulator.Portal], Awaitable[None]]) -> None:
    """Check something with an empty Redis and a portal that is being edited."""

    async def check_it() -> None:
        redis = connect(server.url)
        try:
            await redis.flushall()
            async with changing(scene) as portal:
                await check(redis, portal)
        finally:
            await redis.aclose(close_connection_pool=True)

    asyncio.run(check_it())


@TIMEOUT
@of_examples()
@given(scene=scenes, selection=filters())
def test_a_filter_selects_what_it_ought_to_while_others_work(
    server: EmbeddedServer, scene: Scene, selection: Filter
) -> None:
    async def check(redis: ArqRedis, portal: simulator.Portal) -> None:
        before = oracle(portal, selection)
        job_id = await plan_of_filter(redis, selection)
        async with working(settings_of(server, portal)):
            job, by_select = await asyncio.gather(planned(redis, job_id), listed(portal, selection))
        after, touched = oracle(portal, selection), edited(portal)
        by_verdict = await verdicts_of(redis, job_id) if job.total else {}
        by_plan = BitMap.union(BitMap(), *map(BitMap, by_verdict.values()))
        tell(
            f"{selection}: {len(by_plan):,} planned, {len(by_select):,} selected, {len(touched)} edited, "
            f"{len(portal.truth.calls)} calls, pages of {scene.page_limit}"
        )
        assert job.state is (State.AWAITING_APPROVAL if by_plan else State.COMPLETED), job.last_error
        assert before - touched == after - touched, "the oracle contradicts itself"
        assert by_select == sorted(set(by_select)), "selected twice, or out of order"
        for found in (by_plan, BitMap(by_select)):
            assert not (found ^ after) - touched, (scene, selection, list((found ^ after) - touched)[:20])
            assert found <= portal.truth.existed | portal.truth.created, "selected, but never there"
            assert not found & portal.world.invisible
        assert job.total == len(by_plan) == sum(map(len, by_verdict.values()))
        for name, ids in by_verdict.items():
            assert {verdict(portal, contact_id) for contact_id in ids} == {name}

    on(server, scene, check)


@TIMEOUT
@of_examples(0.5)
@given(scene=scenes, ids=st.sampled_from([range(1, CONTACTS + 500), range(7, CONTACTS, 11), range(100, 220)]))
def test_a_plan_of_a_list_is_true_while_others_work(server: EmbeddedServer, scene: Scene, ids: range) -> None:
    async def check(redis: ArqRedis, portal: simulator.Portal) -> None:
        job_id = await plan_of_list(redis, ids)
        async with working(settings_of(server, portal, plan_sample=5)):
            job = await planned(redis, job_id)
        found, touched = await verdicts_of(redis, job_id), edited(portal)
        way = "look-ups" if portal.truth.of_kind("look_up") else "the listing"
        tell(f"{ids}: by {way}, {len(touched)} edited, {len(portal.truth.calls)} calls")
        assert job.state is State.AWAITING_APPROVAL
        assert sum(map(len, found.values())) == job.total == len(ids)
        untouched = {name: rest for name, ids in found.items() if (rest := ids - set(touched))}
        assert untouched == true_verdicts(portal, BitMap(ids) - touched)
        for contact_id in touched & BitMap(ids):
            [said] = [name for name, some in found.items() if contact_id in some]
            assert said in {"absent", verdict(portal, contact_id)}

    on(server, scene, check)
