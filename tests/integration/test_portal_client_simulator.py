"""The client on the simulated portal, in every format and casing that the portal knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import simulator
from config.portal import Portal
from simulator import Behaviour, Fault, World
from worker.portal_answers import Deleted, Failure, LookedUp, Remedy, Visible
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore


async def _pace() -> None:
    return None


@asynccontextmanager
async def both(
    world: World, behaviour: Behaviour | None = None, faults: list[Fault] | None = None, **settings: Any
) -> AsyncIterator[tuple[PortalClient, simulator.Portal]]:
    async with simulator.running(world, behaviour, faults) as portal:
        credentials = {} if "username" in settings else {"token": portal.behaviour.token}
        config = Portal.model_validate({"name": "main", "url": portal.url, **credentials, **settings})
        client = PortalClient(config, LocalTokenStore(), _pace)
        try:
            yield client, portal
        finally:
            await client.close()


@pytest.mark.parametrize("casing", ["camel", "pascal", "upper_id"])
@pytest.mark.parametrize("envelope_casing", ["camel", "pascal"])
@pytest.mark.parametrize("answer_format", ["json", "xml"])
@pytest.mark.parametrize("answer_order", ["id", "shuffled"])
async def test_the_ledger_of_a_call_is_the_portals_truth(
    casing: Any, envelope_casing: Any, answer_format: str, answer_order: Any
) -> None:
    behaviour = Behaviour(casing=casing, envelope_casing=envelope_casing, answer_order=answer_order)
    world = World(300, read_only=20, invoiced=20, invisible=20)
    ids = list(range(1, 401))
    async with both(world, behaviour, answer_format=answer_format) as (client, portal):
        deleted = await client.delete(ids)
        assert isinstance(deleted, Deleted), deleted
        assert deleted.listed == set(portal.truth.deleted)
        assert not deleted.unlisted_doubtful
        left = [each for each in ids if each not in deleted.listed]
        looked_up = await client.look_up(left)
        assert isinstance(looked_up, LookedUp), looked_up
        assert list(looked_up.asked) == left
        assert sorted(looked_up.visible.values()) == [Visible.HAS_INVOICE] * 20 + [Visible.READ_ONLY] * 20


async def test_an_old_portal_is_looked_up_one_by_one() -> None:
    async with both(World(5, read_only=1), Behaviour(bulk_look_up=False)) as (client, _):
        failure = await client.look_up([1, 2])
        assert isinstance(failure, Failure)
        assert failure.action is Remedy.RETRY
        assert await client.check() is None
        seen = [await client.look_up([each]) for each in range(1, 8)]
    assert all(isinstance(each, LookedUp) for each in seen)
    assert sum(len(each.visible) for each in seen if isinstance(each, LookedUp)) == 5


async def test_a_full_size_batch_is_listed_whole() -> None:
    async with both(World(1000)) as (client, _):
        outcome = await client.delete(range(1, 1001))
    assert isinstance(outcome, Deleted)
    assert len(outcome.listed) == 1000
    assert not outcome.unlisted_doubtful


async def test_a_portal_that_lists_fewer_leaves_the_rest_doubtful() -> None:
    async with both(World(100), Behaviour(page_limit=60)) as (client, _):
        outcome = await client.delete(range(1, 101))
    assert isinstance(outcome, Deleted)
    assert len(outcome.listed) == 60
    assert outcome.unlisted_doubtful


async def test_logging_in_and_out_everywhere_costs_one_more_log_in() -> None:
    behaviour = Behaviour()
    settings: dict[str, Any] = {"username": behaviour.user_name, "password": behaviour.password}
    async with both(World(10), behaviour, **settings) as (client, portal):
        assert isinstance(await client.delete([1]), Deleted)
        portal.authentication.log_out_everywhere()
        assert isinstance(await client.delete([2]), Deleted)
        assert set(portal.truth.deleted) == {1, 2}


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"ip_restricted": True}, "portal_forbidden"),
        ({"module_denied": True}, "portal_forbidden"),
        ({"unpaid": "licence"}, "portal_payment"),
        ({"unpaid": "tariff"}, "portal_payment"),
        ({"suspended": True}, "portal_protocol"),
        ({"in_maintenance": True}, "push_back"),
    ],
)
async def test_faults_of_the_portal_and_the_account_delete_nothing(switches: dict[str, Any], reason: str) -> None:
    async with both(World(10), Behaviour(**switches)) as (client, portal):
        failure = await client.delete([1, 2])
        problem = await client.check()
        assert not portal.truth.deleted
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.may_have_deleted) == (reason, False)
    assert problem is not None
    assert problem.reason == reason
