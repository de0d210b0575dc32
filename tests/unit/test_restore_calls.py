"""The calls that restore a contact give back everything that can be given back, and nothing else."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from restore import calls
from restore.calls import Call, Known
from restore.lost import Lost, always_lost
from restore.record import Record
from tests.support.restore_records import IDS, made_by, records

EVERYTHING = Known()
NOTHING = Known(frozenset(), frozenset(), frozenset(), frozenset(), frozenset())


def bodies(made: list[Call], part: str) -> list[object]:
    return [call for call in made if part in call.path]


@given(records(), IDS, st.integers(0, 9))
def test_everything_that_a_record_has_is_in_a_call(record: Record, new_id: int, company: int) -> None:
    body = calls.creation(record, company, EVERYTHING).body
    made = calls.completion(record, new_id, EVERYTHING)
    assert record.name in {body.get("firstName"), body.get("companyName")}
    assert body["about"] == record.about
    assert body["shareType"] == record.share_type
    assert tuple(body.get("managerList", ())) == record.access
    assert {item["key"]: item["value"] for item in body.get("customFieldList", ())} == record.custom_fields
    if not record.is_company:
        assert (body["lastName"], body["jobTitle"]) == (record.last_name, record.job_title)
        assert body["companyId"] == company
    [*details] = [call.body["items"] for call in made if call.path.endswith("/batch")]
    assert [item["data"] for items in details for item in items] == [detail.data for detail in record.details]
    assert tuple(call.body["tagName"] for call in made if call.path.endswith("/tag")) == record.tags
    assert [call.body["contactStatusid"] for call in made if call.path.endswith("/status")] == (
        [record.stage] if record.stage else []
    )
    assert len(bodies(made, "/opportunity/")) == len(record.opportunities)
    assert len(bodies(made, "case/")) == len(record.cases)
    assert (made[-1].body == {"creationDate": record.created}) if record.created else True


@given(records(), IDS)
def test_each_call_that_follows_is_about_the_new_contact_and_says_what_is_lost_without_it(
    record: Record, new_id: int
) -> None:
    for call in calls.completion(record, new_id, EVERYTHING):
        assert str(new_id) in call.path.split("/") or call.body["contactid"] == new_id
        assert call.loses
        assert call.target.startswith("/api/2.0/crm/")


@given(records(), IDS)
def test_what_does_not_exist_any_more_is_not_sent_but_told(record: Record, new_id: int) -> None:
    assert "customFieldList" not in calls.creation(record, 0, NOTHING).body
    made = calls.completion(record, new_id, NOTHING)
    assert not bodies(made, "/status")
    missing = NOTHING.missing(record)
    assert (Lost.CUSTOM_FIELDS in missing) is bool(record.custom_fields)
    assert (Lost.STAGE in missing) is bool(record.stage)
    links = NOTHING.missing_links(record)
    assert (Lost.OPPORTUNITIES in links) is bool(record.opportunities)
    assert (Lost.CASES in links) is bool(record.cases)
    assert EVERYTHING.missing(record) | EVERYTHING.missing_links(record) == Lost(0)


@given(records(), IDS)
def test_a_contact_that_was_created_in_full_needs_no_mending(record: Record, new_id: int) -> None:
    call = calls.creation(record, 0, EVERYTHING)
    assert calls.mending(record, made_by(call, new_id), EVERYTHING) == []
    half_made = made_by(call, new_id, custom_fields={}, access=())
    mended = calls.mending(record, half_made, EVERYTHING)
    assert len(bodies(mended, "/customfield/")) == len(record.custom_fields)
    assert len(bodies(mended, "/access")) == bool(record.access)


def test_the_main_contact_is_set_only_where_there_is_none() -> None:
    deal = {
        "id": 5,
        "title": "Hotel",
        "responsible": {"id": "guid", "displayName": "Bo"},
        "bidtype": 1,
        "bidvalue": 10.5,
        "bidcurrency": {"abbreviation": "EUR"},
        "stage": {"Id": 3, "title": "won"},
        "isprivate": False,
        "expectedclosedate": "2026-01-01T00:00:00.0000000Z",
    }
    call = calls.main_contact(deal, 9)
    assert call
    assert call.path == "opportunity/5"
    assert call.body == {
        "contactid": 9,
        "title": "Hotel",
        "responsibleid": "guid",
        "bidType": 1,
        "bidValue": 10.5,
        "bidCurrencyAbbr": "EUR",
        "perPeriodValue": 0,
        "stageid": 3,
        "successProbability": 0,
        "expectedCloseDate": "2026-01-01T00:00:00.0000000Z",
        "isPrivate": False,
    }
    assert calls.main_contact(deal | {"contact": {"id": 8}}, 9) is None
    assert calls.main_contact_of(deal | {"contact": {"id": 8}}) == 8


def test_what_no_call_can_bring_back_is_told_if_it_was_there() -> None:
    bare = Record(id=1, is_company=False, name="Ann")
    assert always_lost(bare) == Lost(0)
    full = msgspec.structs.replace(bare, has_creator=True, industry="Food", has_currency=True, type_id=2, task_count=1)
    assert always_lost(full).words == ["creator", "industry", "currency", "type", "tasks"]
