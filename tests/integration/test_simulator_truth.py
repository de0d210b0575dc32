"""What the truth says, in process and over HTTP."""

import pytest
from pyroaring import BitMap

import simulator
from simulator import Behaviour, Fault, Portal, World
from tests.support.simulator_caller import call, control, delete


async def tell(portal: Portal, name: str) -> bytes:
    return (await call(portal, "GET", f"/truth/{name}")).body


async def test_who_was_deleted_when_and_by_which_request() -> None:
    async with simulator.running(World(9)) as portal:
        await delete(portal, [1, 2])
        await delete(portal, [2, 3])
        deletions = (await call(portal, "GET", "/truth/deletions")).json
        assert [(entry["request"], entry["ids"]) for entry in deletions] == [(1, [1, 2]), (2, [3])]
        assert 0 <= deletions[0]["at_ms"] <= deletions[1]["at_ms"]
        lines = (await tell(portal, "deletions?format=text")).decode().split()
        assert [line.split(",")[::2] for line in lines] == [["1", "1"], ["2", "1"], ["3", "2"]]
        two = (await call(portal, "GET", "/truth/contact/2")).json
        assert (two["existed"], two["alive"], two["sent_in"], two["deleted_by"]) == (True, False, [1, 2], 1)
        nine = (await call(portal, "GET", "/truth/contact/9")).json
        assert (nine["alive"], nine["sent_in"], nine["deleted_by"], nine["deleted_at_ms"]) == (True, [], None, None)


async def test_every_request_is_recorded() -> None:
    async with simulator.running(World(9)) as portal:
        await delete(portal, [1, 1, 2])
        await call(portal, "GET", "/api/2.0/crm/contact/mail?contactids=1")
        await call(portal, "GET", "/api/2.0/nothing")
        recorded = (await call(portal, "GET", "/truth/requests")).json
        assert [entry["number"] for entry in recorded] == [1, 2, 3]
        assert [entry["kind"] for entry in recorded] == ["delete", "look_up", "other"]
        assert [entry["contacts"] for entry in recorded] == [3, 1, 0]
        assert [entry["status"] for entry in recorded] == [200, 200, 404]
        assert [entry["committed"] for entry in recorded] == [True, False, False]
        assert all(entry["delivered"] for entry in recorded)
        assert len((await call(portal, "GET", "/truth/requests?kind=look_up")).json) == 1
        assert len((await call(portal, "GET", "/truth/requests?since=2")).json) == 1
        one = (await call(portal, "GET", "/truth/requests/1")).json
        assert (one["asked"], one["deleted_ids"], one["listed"]) == ([1, 2], [1, 2], [1, 2])
        assert (await call(portal, "GET", "/truth/requests/4")).status == 404
        arrivals = (await call(portal, "GET", "/truth/arrivals")).json
        assert arrivals == sorted(arrivals)
        assert len(arrivals) == 3
        assert arrivals == [entry["at_ms"] for entry in recorded]


async def test_the_counts() -> None:
    world = World(9, missing=[9], invoiced=[3])
    async with simulator.running(world, faults=[Fault(fault="cut", call_numbers=[2])]) as portal:
        await delete(portal, [1, 2, 3, 9])
        with pytest.raises(EOFError):
            await delete(portal, [4])
        await delete(portal, [4])
        portal.truth.delete_outside([5])
        portal.truth.create([100])
        counts = (await call(portal, "GET", "/truth/summary")).json
        assert counts["existed"] == 8
        assert counts["deleted"] == 3
        assert counts["deleted_outside"] == 1
        assert counts["created"] == 1
        assert counts["alive"] == counts["existed"] - counts["deleted"] - counts["deleted_outside"] + counts["created"]
        assert counts["calls_by_kind"] == {"delete": 3}
        assert counts["calls_by_fault"] == {"cut": 1}
        assert counts["deletions_committed"] == 2
        assert counts["deletions_committed_but_not_delivered"] == 1
        assert counts["contacts_sent"] == 5
        assert counts["contacts_sent_again"] == 1
        assert counts["contacts_resent_after_confirmation"] == 0


async def test_a_confirmed_contact_that_is_sent_again_shows() -> None:
    async with simulator.running(World(9)) as portal:
        await delete(portal, [1, 2])
        await delete(portal, [2, 99])
        assert list(portal.truth.resent_after_confirmation) == [2]
        assert (await call(portal, "GET", "/truth/contacts/sent_again")).json == [2]
        assert (await call(portal, "GET", "/truth/contacts/resent_after_confirmation")).json == [2]


async def test_id_sets_in_every_form() -> None:
    async with simulator.running(World(200_000)) as portal:
        await delete(portal, list(range(1, 1001)))
        alive = list(range(1001, 200_001))
        assert (await call(portal, "GET", "/truth/contacts/alive")).json == alive
        assert list(BitMap.deserialize(await tell(portal, "contacts/alive?format=roaring"))) == alive
        assert [int(line) for line in (await tell(portal, "contacts/alive?format=text")).split()] == alive
        assert (await call(portal, "GET", "/truth/contacts/nobody")).status == 404


async def test_the_world_can_be_changed_from_outside() -> None:
    async with simulator.running(World(9)) as portal:
        await control(
            portal,
            "world",
            {"create": [100], "delete": [1], "add_invoice": [2], "make_read_only": [3], "hide": [4], "poison": [5]},
        )
        assert (await delete(portal, [1, 2, 3, 4, 100], "?fields=id")).ids == [100]
        assert (await delete(portal, [5])).status == 500
        await control(portal, "world", {"remove_invoice": [2], "make_writable": [3], "show": [4], "cure": [5]})
        assert (await delete(portal, [1, 2, 3, 4, 5], "?fields=id")).ids == [2, 3, 4, 5]
        assert list(portal.truth.deleted_outside) == [1]
        assert list(portal.truth.created) == [100]


async def test_a_reset_starts_over() -> None:
    async with simulator.running(World(9), faults=[Fault(fault="hang")]) as portal:
        await control(portal, "reset", {"contacts": 20, "read_only": [1], "invoiced": 2})
        assert (await delete(portal, [1, 2], "?fields=id")).status == 200
        assert portal.truth.calls[0].number == 1
        assert len(portal.truth.existed) == 20
        assert list(portal.world.read_only) == [1]
        assert portal.faults.rules == []


async def test_faults_can_be_listed_and_cleared() -> None:
    async with simulator.running(World(9)) as portal:
        await control(portal, "faults", [{"fault": "throttle"}, {"fault": "hang"}])
        await delete(portal, [1])
        listed = (await call(portal, "GET", "/truth/faults")).json
        assert [(rule["fault"], rule["seen"], rule["struck"]) for rule in listed] == [
            ("throttle", 1, 1),
            ("hang", 1, 0),
        ]
        assert (await call(portal, "DELETE", "/truth/faults")).json == []
        assert (await delete(portal, [1])).status == 200


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("faults", {"fault": "flood"}),
        ("behaviour", {"base_ms": -1}),
        ("behaviour", {"warp": 9}),
        ("world", {"explode": [1]}),
        ("world", {"create": [-1]}),
        ("reset", {"contacts": 1, "read_only": 5}),
        ("reset", b"{"),
    ],
)
async def test_a_control_call_that_makes_no_sense_changes_nothing(name: str, body: object) -> None:
    async with simulator.running(World(9)) as portal:
        reply = await control(portal, name, body)
        assert reply.status == 400
        assert reply.json["error"]
        assert portal.behaviour == Behaviour()
        assert len(portal.truth.alive) == 9


async def test_waiting_for_something_to_happen() -> None:
    async with simulator.running(World(9)) as portal:
        assert (await call(portal, "GET", "/truth/wait?deleted=1&timeout_s=0.01")).status == 408
        await delete(portal, [1])
        assert (await call(portal, "GET", "/truth/wait?kind=delete&arrived=1&answered=1&deleted=1")).json[
            "deleted"
        ] == 1


async def test_the_truth_can_have_an_address_of_its_own() -> None:
    async with simulator.running(World(9), truth_port=0) as portal:
        assert portal.truth_url.removesuffix("/truth") != portal.url
        assert (await call(portal, "GET", "/truth/summary")).json["existed"] == 9
        away = portal.truth_url
        portal.truth_url = portal.url
        assert (await call(portal, "GET", "/truth/summary")).status == 404
        portal.url = away.removesuffix("/truth")
        assert (await delete(portal, [1])).status == 404
        assert portal.truth.calls == []
