"""Creating contacts: the rules, what can be brought back and what cannot, and what the truth tells of it."""

import asyncio
import itertools
from typing import Any

import pytest

import simulator
from simulator import Behaviour, Fault, World
from simulator.client import connect
from simulator.participation import Opportunity
from simulator.records import NOT_RESTORABLE, record
from simulator.users import ACCOUNT, COLLEAGUES, IMPORTER
from tests.support.restoring import CRM, done, restore, whole
from tests.support.simulator_caller import call, delete

ANN = {"firstName": "Ann", "lastName": "Lee", "shareType": 1}


async def test_what_was_deleted_can_be_restored_but_for_what_cannot() -> None:
    async with simulator.running(World(40, varied=True)) as portal, connect(portal.url) as client:
        reply = await delete(portal, list(range(1, 41)))
        lost = await client.records(reply.ids)
        assert len(lost) == 40
        assert all(not one["alive"] for one in lost.values())
        new_ids: dict[int, int] = {}
        for old_id, one in sorted(lost.items(), key=lambda pair: (pair[1]["kind"], pair[0])):
            new_ids[old_id] = await restore(portal, one, new_ids)
        assert sorted(new_ids.values()) == list(range(41, 81))
        restored = await client.records(new_ids.values())
        for old_id, one in lost.items():
            now = restored[new_ids[old_id]]
            assert _mapped(one, new_ids) == {name: now[name] for name in _mapped(one, new_ids)}
            assert (now["created_by"], now["industry"], now["currency"]) == (ACCOUNT, None, None)


def _mapped(lost: dict[str, Any], new_ids: dict[int, int]) -> dict[str, Any]:
    """Return what a restored contact should have in common with a lost one, with its links to restored contacts."""
    links = {"company_id": new_ids.get(lost["company_id"]), "persons": sorted(new_ids[one] for one in lost["persons"])}
    return {name: value for name, value in lost.items() if name not in (*NOT_RESTORABLE, "id", "alive")} | links


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (ANN, 201),
        (ANN | {"lastName": ""}, 201),
        (ANN | {"LASTNAME": "", "jobTitle": None, "about": None}, 201),
        (ANN | {"firstName": ""}, 400),
        (ANN | {"firstName": "  "}, 400),
        (ANN | {"lastName": None}, 500),
        ({"lastName": "Lee"}, 500),
        ({"firstName": "Ann"}, 500),
        ({"firstName": ""}, 500),
        (ANN | {"shareType": "Read"}, 201),
        (ANN | {"shareType": 3}, 400),
        (ANN | {"shareType": "x"}, 400),
        (ANN | {"companyId": 3}, 201),
        (ANN | {"companyId": 5}, 404),
        (ANN | {"companyId": 99}, 404),
        (ANN | {"companyId": "x"}, 400),
        (ANN | {"managerList": [COLLEAGUES[0]]}, 201),
        (ANN | {"managerList": ["nobody"]}, 400),
        (ANN | {"customFieldList": [{"key": 1, "value": "x"}, {"key": 77, "value": "x"}, {"key": 1}]}, 201),
        (ANN | {"customFieldList": [{"key": "x", "value": "x"}]}, 400),
        (ANN | {"customFieldList": ["x"]}, 400),
        ([], 400),
        (b'{"firstName":', 400),
    ],
)
async def test_the_rules_for_persons(sent: object, status: int) -> None:
    async with simulator.running(World(9, invisible=[5], custom_fields={"Number": {}})) as portal:
        reply = await call(portal, "POST", f"{CRM}/contact/person", sent)
        assert reply.status == status
        assert list(portal.truth.created) == ([10] if status == 201 else [])
        if status == 201:
            assert reply.json["response"]["id"] == 10
            assert (reply.json["statusCode"], reply.json["count"]) == (201, 1)


@pytest.mark.parametrize(("sent", "status"), [({"companyName": "Ö & Co"}, 201), ({}, 400), ({"companyName": " "}, 400)])
async def test_the_rules_for_companies(sent: object, status: int) -> None:
    async with simulator.running(World(9)) as portal:
        assert (await call(portal, "POST", f"{CRM}/contact/company", sent)).status == status


async def test_a_company_takes_those_of_its_persons_that_can_be_seen() -> None:
    async with simulator.running(World(9, invisible=[5])) as portal:
        await done(portal, "POST", "contact/company", {"companyName": "Acme", "personList": [1, 3, 5, 6, 99]}, 201)
        assert record(portal.world, 10)["persons"] == [1, 6]
        await done(portal, "POST", "contact/company/3/person", {"personid": 6}, 201)
        assert record(portal.world, 10)["persons"] == [1]
        assert (await call(portal, "POST", f"{CRM}/contact/company/3/person", {"personid": 5})).status == 404
        assert (await call(portal, "POST", f"{CRM}/contact/company/3/person", {"personid": 0})).status == 400


async def test_a_new_id_is_larger_than_all_before_and_leads_the_descending_list() -> None:
    async with simulator.running(World([5, 70, 9], missing=[])) as portal:
        await delete(portal, [70])
        for expected in (71, 72):
            reply = await done(portal, "POST", "contact/person", ANN, 201)
            assert reply.json["response"]["id"] == expected
        await delete(portal, [72])
        await done(portal, "POST", "contact/company", {"companyName": "Acme"}, 201)
        newest = await done(portal, "GET", "contact/filter?sortBy=id&sortOrder=descending&count=2", None, 200)
        assert newest.ids == [73, 71]
        assert newest.json["total"] == 4


async def test_a_new_contact_has_nothing_that_was_not_sent() -> None:
    async with simulator.running(World(9, varied=True)) as portal:
        await done(
            portal, "POST", "contact/person", ANN | {"about": "", "industry": "x", "id": 5, "currency": "EUR"}, 201
        )
        new = (await done(portal, "GET", "contact/filter?sortBy=id&startIndex=9", None, 200)).json["response"][0]
        assert (new["displayName"], new["firstName"], new["lastName"], new["about"]) == ("Ann Lee", "Ann", "Lee", "")
        assert (new["commonData"], new["customFields"], new["currency"]) == ([], [], None)
        assert new["createBy"]["id"] == ACCOUNT
        assert not {"tags", "addresses", "contactStatus", "industry", "title", "company"} & set(new)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "contact/2/tag", {"tagName": ""}, 400),
        ("POST", "contact/2/tag", {}, 400),
        ("POST", "contact/99/tag", {"tagName": "a"}, 404),
        ("POST", "contact/4/tag", {"tagName": "a"}, 404),
        ("PUT", "contact/2/status", {"contactStatusid": 9}, 404),
        ("PUT", "contact/2/status", {"contactStatusid": -1}, 400),
        ("PUT", "contact/5/status", {"contactStatusid": 1}, 403),
        ("PUT", "contact/99/status", {"contactStatusid": 1}, 404),
        ("POST", "contact/2/data", {"infoType": "Phone", "category": "mobile", "data": "1"}, 400),
        ("POST", "contact/2/data", {"infoType": "Pigeon", "category": "Home", "data": "1"}, 400),
        ("POST", "contact/2/data", {"infoType": 0, "category": "Home", "data": ""}, 400),
        ("POST", "contact/5/data", {"infoType": 0, "category": "Home", "data": "1"}, 404),
        ("POST", "contact/2/data", {"infoType": 7, "category": "Home", "data": "no JSON"}, 400),
        ("POST", "contact/2/batch", {"items": [{"infoType": 7, "category": 1, "data": "no JSON"}]}, 400),
        ("POST", "contact/2/batch", {"items": [{"infoType": 99, "data": "x"}]}, 400),
        ("POST", "contact/2/batch", {"items": ["x"]}, 400),
        ("POST", "contact/2/batch", {}, 201),
        ("POST", "contact/0/batch", {"items": []}, 400),
        ("POST", "contact/5/batch", {"items": []}, 404),
        ("POST", "contact/2/addressdata", {}, 400),
        ("POST", "contact/2/addressdata", {"address": {"city": "Riga", "category": 6}}, 400),
        ("POST", "person/2/customfield/9", {"fieldValue": "x"}, 500),
        ("POST", "person/2/customfield/1", {}, 500),
        ("POST", "person/99/customfield/1", {"fieldValue": "x"}, 201),
        ("PUT", "contact/2/creationdate", {"creationDate": "soon"}, 400),
        ("PUT", "contact/2/creationdate", {}, 500),
        ("PUT", "contact/99/creationdate", {"creationDate": "2020-01-01"}, 404),
        ("POST", "contact/2/opportunity/9", {}, 404),
        ("POST", "contact/99/opportunity/1", {}, 404),
        ("POST", "case/9/contact", {"contactid": 2}, 404),
        ("POST", "case/9/contact", {}, 400),
        ("PUT", "opportunity/9", {}, 404),
        ("PUT", "opportunity/1", {"contactid": 2}, 400),
        ("PUT", "opportunity/1", {"stageid": "x"}, 400),
        ("GET", "opportunity/9", None, 404),
        ("GET", "case/9", None, 404),
        ("GET", "case/bycontact/2", None, 404),
        ("POST", "contact", ANN, 404),
    ],
)
async def test_refusals(method: str, path: str, sent: object, status: int) -> None:
    world = World(9, invisible=[4], read_only=[5], custom_fields={"Number": {}}, opportunities=[Opportunity(1, "Deal")])
    async with simulator.running(world) as portal:
        before = [record(world, number) for number in world.alive]
        assert (await call(portal, method, f"{CRM}/{path}", sent)).status == status
        assert [record(world, number) for number in world.alive] == before
        assert status < 400 or not portal.truth.calls[-1].committed


async def test_a_value_is_shown_only_if_the_kind_in_the_path_is_right() -> None:
    async with simulator.running(World(9, custom_fields={"Number": {}})) as portal:
        for path, contact_id, expected in (
            ("company", 2, []),
            ("contact", 2, []),
            ("person", 2, ["x"]),
            ("person", 3, []),
        ):
            await done(portal, "POST", f"{path}/{contact_id}/customfield/1", {"fieldValue": "x"}, 201)
            assert [one["value"] for one in record(portal.world, contact_id)["custom_fields"]] == expected
        await done(portal, "POST", "person/2/customfield/1", {"fieldValue": " "}, 201)
        assert record(portal.world, 2)["custom_fields"] == []


async def test_which_custom_fields_there_are() -> None:
    async with simulator.running(World(60, varied=True)) as portal:
        told = {
            kind: (await done(portal, "GET", f"{kind}/customfield/definitions", None, 200)).json["response"]
            for kind in ("contact", "person", "company")
        }
        assert {kind: [one["label"] for one in fields] for kind, fields in told.items()} == {
            "contact": ["Number", "Colour"],
            "person": ["Number", "Remarks, long", "Colour", "Newsletter"],
            "company": ["Number", "Colour", "Founded"],
        }
        assert all(one["relativeItemsCount"] > 0 and one["entityId"] == 0 for one in told["person"])


async def test_the_first_address_posted_is_the_one_that_filters_and_the_bulk_look_up_know() -> None:
    async with simulator.running(World(2, no_email=[1, 2])) as portal:
        items = [
            {"infoType": 1, "category": 0, "data": "a@example.com", "isPrimary": False},
            {"infoType": 1, "category": 1, "data": "b@example.com", "isPrimary": True},
        ]
        await done(portal, "POST", "contact/1/batch", {"items": items}, 201)
        shown = (await done(portal, "GET", "contact/1", None, 200)).json["response"]["commonData"]
        assert [(one["data"], one["category"], one["isPrimary"]) for one in shown] == [
            ("a@example.com", 0, False),
            ("b@example.com", 1, True),
        ]
        assert shown[0]["id"] != shown[1]["id"]
        looked_up = (await done(portal, "GET", "contact/mail?contactids=1", None, 200)).json["response"]
        assert looked_up[0]["email"]["data"] == "b@example.com"
        assert list(portal.world.select(without_email=True)) == [2]


async def test_dates_are_read_in_the_portals_time_zone() -> None:
    async with simulator.running(World(2), Behaviour(utc_offset_minutes=120)) as portal:
        for sent, expected in (("2020-05-01T10:00:00", "10:00"), ("2020-05-01T10:00:00.0000000Z", "12:00")):
            await done(portal, "PUT", "contact/1/creationdate", {"creationDate": sent}, 200)
            shown = (await done(portal, "GET", "contact/1", None, 200)).json["response"]
            assert shown["created"] == f"2020-05-01T{expected}:00.0000000+02:00"
        await done(portal, "PUT", "contact/1/lastmodifeddate", {"lastModifedDate": "2021-06-01T00:00:00Z"}, 200)
        assert record(portal.world, 1)["modified"] == "2021-06-01T02:00:00.0000000Z"
        assert record(portal.world, 1)["created"] == "2020-05-01T12:00:00.0000000Z"


async def test_changing_an_opportunity_empties_what_is_not_sent() -> None:
    deal = Opportunity(
        1, "Deal", description="Important", bid_value=5.0, stage=3, private=True, access=[IMPORTER, ACCOUNT]
    )
    world = World(9, opportunities=[deal])
    async with simulator.running(world) as portal:
        before = (await done(portal, "GET", "opportunity/1", None, 200)).json["response"]
        after = (await done(portal, "PUT", "opportunity/1", whole(before, 2), 200)).json["response"]
        assert after.pop("contact")["id"] == 2
        assert after == before
        deal.access = [IMPORTER]
        await done(portal, "PUT", "opportunity/1", whole(before, 2) | {"accessList": [IMPORTER]}, 200)
        assert deal.access == [IMPORTER, ACCOUNT]
        assert record(world, 2)["opportunities"] == [{"id": 1, "main": True, "member": False}]
        least = {"title": "Deal", "responsibleid": IMPORTER, "stageid": 1, "bidCurrencyAbbr": "eur", "members": [1, 99]}
        emptied = (await done(portal, "PUT", "opportunity/1", least, 200)).json["response"]
        assert (emptied["description"], emptied["isPrivate"], emptied["bidCurrency"]["abbreviation"]) == (
            "",
            False,
            "EUR",
        )
        assert not {"contact", "bidValue", "accessList"} & set(emptied)
        assert [one["id"] for one in emptied["members"]] == [1]
        assert (await call(portal, "PUT", f"{CRM}/opportunity/1", least | {"bidCurrencyAbbr": "XXX"})).status == 500


async def test_an_account_that_is_no_administrator_loses_sight_of_what_it_creates() -> None:
    async with simulator.running(World(2), Behaviour(administrator=False)) as portal:
        for sent, visible, editable in (
            ({"shareType": 0}, False, False),
            ({"shareType": 0, "managerList": [ACCOUNT]}, True, True),
            ({"shareType": 2}, True, False),
            ({"shareType": 1}, True, True),
        ):
            new_id = (await done(portal, "POST", "contact/person", ANN | sent, 201)).json["response"]["id"]
            assert (await call(portal, "GET", f"{CRM}/contact/{new_id}")).status == (200 if visible else 404)
            reply = await call(portal, "POST", f"{CRM}/contact/{new_id}/batch", {"items": []})
            assert reply.status == (201 if editable else 404)


# --- misbehaviour and truth -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        (Fault(fault="error", when="after", calls=["create_person"]), True),
        (Fault(fault="reset", when="after", calls=["create_person"]), True),
        (Fault(fault="hang", when="after", calls=["*"]), True),
        (Fault(fault="html", when="after", calls=["create_person"]), True),
        (Fault(fault="cut", calls=["create_person"]), True),
        (Fault(fault="forbidden", when="after", calls=["create_person"]), True),
        (Fault(fault="gateway_timeout", calls=["create_person"]), True),
        (Fault(fault="late", delay_s=0.05, calls=["create_person"]), False),
        (None, False),
    ],
    ids=str,
)
async def test_the_truth_knows_whether_the_answer_to_a_creation_was_lost(fault: Fault | None, lost: bool) -> None:
    async with simulator.running(World(3), faults=[fault] if fault else []) as portal, connect(portal.url) as client:
        try:
            async with asyncio.timeout(0.5):
                reply = await call(portal, "POST", f"{CRM}/contact/person", ANN)
            assert lost != (reply.status == 201)
        except (TimeoutError, ConnectionResetError, asyncio.IncompleteReadError):
            assert lost
        await portal.truth.until(lambda: bool(portal.truth.creations) and portal.truth.in_flight == 0)
        (creation,) = await client.creations()
        assert (creation["contact_id"], creation["answer_lost"], creation["kind"]) == (4, lost, "create_person")
        assert creation == await client.creation(4)
        assert await client.creation(3) is None
        assert await client.creations(since_id=4) == []
        assert (await client.call(creation["request"]))["created"] == 4
        assert (await client.summary())["created_by_calls"] == 1


@pytest.mark.parametrize("kind", ["error", "reset", "throttle", "unavailable", "deadlock", "html", "forbidden"])
async def test_what_fails_before_the_commit_creates_nothing(kind: Any) -> None:
    async with simulator.running(World(3), faults=[Fault(fault=kind, calls=["create_company"])]) as portal:
        try:
            reply = await call(portal, "POST", f"{CRM}/contact/company", {"companyName": "Acme"})
            assert reply.status != 201
        except (ConnectionResetError, asyncio.IncompleteReadError):
            assert kind == "reset"
        assert (len(portal.truth.alive), portal.truth.creations, portal.truth.calls[0].committed) == (3, {}, False)


async def test_other_changes_can_be_lost_too() -> None:
    fault = Fault(fault="error", when="after", calls=["add_tag"], next_calls=1)
    async with simulator.running(World(3), faults=[fault]) as portal, connect(portal.url) as client:
        assert (await call(portal, "POST", f"{CRM}/contact/1/tag", {"tagName": "a"})).status == 500
        assert record(portal.world, 1)["tags"] == ["a"]
        (seen,) = await client.calls()
        assert (seen["kind"], seen["committed"], seen["contact_id"], seen["created"]) == ("add_tag", True, 1, None)


async def test_creating_takes_its_own_time_and_commits_in_between() -> None:
    behaviour = Behaviour(base_ms=10, write_ms=90, commit_at=0.5)
    async with simulator.running(World(3), behaviour) as portal:
        await call(portal, "POST", f"{CRM}/contact/person", ANN)
        (seen,) = portal.truth.calls
        assert seen.committed_s is not None
        assert seen.answered_s is not None
        assert seen.committed_s - seen.arrived_s >= 0.045
        assert seen.answered_s - seen.committed_s >= 0.045


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (Behaviour(module_denied=True), 403),
        (Behaviour(suspended=True), 404),
        (Behaviour(in_maintenance=True), 503),
        (Behaviour(unpaid="tariff"), 402),
        (Behaviour(token="other"), 201),
        (Behaviour(capacity_calls_per_s=0.001, capacity_calls=["create_person"]), 201),
    ],
    ids=str,
)
async def test_who_may_create_is_checked_as_for_every_call(behaviour: Behaviour, status: int) -> None:
    async with simulator.running(World(3), behaviour) as portal:
        replies = [await call(portal, "POST", f"{CRM}/contact/person", ANN, authenticated=one) for one in (True, False)]
        assert replies[0].status == status
        assert replies[1].status == {404: 404, 503: 503}.get(status, 429 if behaviour.capacity_calls_per_s else 401)
        assert len(portal.truth.creations) == (status == 201)


async def test_all_records_of_the_living_and_the_dead() -> None:
    async with simulator.running(World(1200, tagged={"a": [1, 1200]})) as portal, connect(portal.url) as client:
        await delete(portal, list(range(1, 601)))
        dead = [one async for one in client.all_records("deleted")]
        living = [one async for one in client.all_records()]
        assert [one["id"] for one in itertools.chain(dead, living)] == list(range(1, 1201))
        assert (dead[0]["alive"], dead[0]["tags"], living[-1]["tags"]) == (False, ["a"], ["a"])
        assert await client.records([1, 1200, 5000]) == {1: dead[0], 1200: living[-1]}
        assert (await call(portal, "GET", "/truth/records?of=nobody")).status == 400
        assert (await call(portal, "GET", "/truth/records?ids=1,1200")).json == [dead[0], living[-1]]


async def test_a_new_world_can_be_varied_and_have_opportunities_and_cases() -> None:
    async with simulator.running(World(3)) as portal, connect(portal.url) as client:
        deal = {"id": 7, "title": "Deal", "contact_id": 1, "members": [1, 2]}
        await client.reset(
            contacts=90,
            varied=True,
            private=[8],
            opportunities=[deal],
            cases=[{"id": 3, "title": "Case", "members": [9]}],
        )
        records = await client.records([1, 8, 9])
        assert {"id": 7, "main": True, "member": True} in records[1]["opportunities"]
        assert records[8]["share_type"] == 0
        assert 3 in records[9]["cases"]
        field = records[9]["custom_fields"][0]["id"] if records[9]["custom_fields"] else 1
        await client.change_world(remove_opportunities=[7], remove_cases=[3], remove_fields=[field])
        records = await client.records([1, 9])
        assert 7 not in [part["id"] for part in records[1]["opportunities"]]
        assert 3 not in records[9]["cases"]
        assert field not in [one["id"] for one in records[9]["custom_fields"]]
        assert (await call(portal, "POST", f"{CRM}/person/9/customfield/{field}", {"fieldValue": "x"})).status == 500


async def test_waiting_for_creations() -> None:
    async with simulator.running(World(3)) as portal, connect(portal.url) as client:
        with pytest.raises(TimeoutError):
            await client.wait(created=1, timeout_s=0.01)
        waiting = asyncio.create_task(client.wait(created=2))
        await done(portal, "POST", "contact/person", ANN, 201)
        await done(portal, "POST", "contact/company", {"companyName": "Acme"}, 201)
        await waiting
