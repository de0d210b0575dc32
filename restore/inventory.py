"""What exists on the portal now, of that which restored contacts refer to."""

from collections.abc import Iterable
from typing import Any

from pyroaring import BitMap

from restore.caller import Caller
from restore.calls import Known
from worker.creating_client import objects
from worker.portal_answers import Failure, LookedUp
from worker.wire import API

_PAGE = 1000


async def take_inventory(caller: Caller, *, opportunities: bool, cases: bool) -> Known:
    """Ask the portal for its custom fields and stages, and for its opportunities and cases where contacts had any.

    Args:
        caller: makes the calls.
        opportunities: whether any contact took part in an opportunity.
        cases: likewise for cases.
    """
    return Known(
        person_fields=await _ids(caller, "person/customfield/definitions"),
        company_fields=await _ids(caller, "company/customfield/definitions"),
        stages=await _ids(caller, "contact/status"),
        opportunities=await _listed(caller, "opportunity") if opportunities else None,
        cases=await _listed(caller, "case") if cases else None,
    )


async def still_there(caller: Caller, contact_ids: BitMap) -> BitMap:
    """Return those of the contacts that the account sees under these IDs.

    Raises:
        PortalRefuses: the portal does not say.
    """
    there, left = BitMap(), list(contact_ids)
    while left:
        asked = left[:_PAGE]

        async def look(asked: list[int] = asked) -> LookedUp | Failure:
            return await caller.client.look_up(asked, may_send=caller.may_send)

        answer = await caller.must(look)
        there |= BitMap(answer.visible)
        left = left[len(answer.asked) :]
    return there


async def _ids(caller: Caller, path: str) -> frozenset[int] | None:
    said = await caller.optional(f"{API}/crm/{path}")
    items = objects(said) if said else None
    return None if items is None else frozenset(_numbers(items))


async def _listed(caller: Caller, kind: str) -> frozenset[int] | None:
    found: set[int] = set()
    start = 0
    while True:
        said = await caller.optional(f"{API}/crm/{kind}/filter?count={_PAGE}&startIndex={start}")
        items = objects(said) if said else None
        if items is None:
            return None
        found.update(_numbers(items))
        if len(items) < _PAGE:
            return frozenset(found)
        start += len(items)


def _numbers(items: Iterable[dict[str, Any]]) -> Iterable[int]:
    return (item["id"] for item in items if isinstance(item.get("id"), int))
