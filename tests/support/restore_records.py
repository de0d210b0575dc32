"""What tests of restoring share: records of every kind, and what a creating call makes of its parameters."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from restore.calls import Call
from restore.record import ADDRESS, Detail, Link, Record

IDS = st.integers(1, 2_147_483_647)
#: Whatever can be in a text of the portal: it has no control characters in names, and never changes what it stores.
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
NAMES = TEXTS.filter(str.strip)

DETAILS = st.builds(
    Detail, kind=st.sampled_from([0, 1, 2, 5]), category=st.integers(0, 5), data=TEXTS, is_primary=st.booleans()
)
ADDRESSES = st.builds(
    lambda parts, category, is_primary: Detail(ADDRESS, category, msgspec.json.encode(parts).decode(), is_primary),
    st.fixed_dictionaries(dict.fromkeys(("street", "city", "state", "zip", "country"), TEXTS)),
    st.integers(0, 5),
    st.booleans(),
)


def records(*, is_company: bool | None = None) -> st.SearchStrategy[Record]:
    """Generate records of contacts."""
    return st.builds(
        Record,
        id=IDS,
        is_company=st.booleans() if is_company is None else st.just(is_company),
        name=NAMES,
        last_name=TEXTS,
        job_title=TEXTS,
        about=TEXTS,
        share_type=st.integers(0, 2),
        access=st.lists(st.uuids().map(str), max_size=3, unique=True).map(tuple),
        custom_fields=st.dictionaries(st.integers(1, 50), NAMES, max_size=4),
        details=st.lists(st.one_of(DETAILS, ADDRESSES), max_size=4).map(tuple),
        tags=st.lists(NAMES, max_size=3, unique=True).map(tuple),
        stage=st.integers(0, 4),
        created=st.sampled_from(["", "2024-05-31T10:00:00.0000000Z"]),
        opportunities=st.lists(st.builds(Link, IDS, st.booleans()), max_size=2).map(tuple),
        cases=st.lists(st.builds(Link, IDS), max_size=2).map(tuple),
        industry=TEXTS,
        task_count=st.integers(0, 2),
    )


def made_by(call: Call, new_id: int, **changes: Any) -> Record:
    """Return the contact that a creating call makes, as a listing shows it."""
    body = call.body
    is_company = "companyName" in body
    found = Record(
        id=new_id,
        is_company=is_company,
        name=body["companyName"] if is_company else body["firstName"],
        last_name=body.get("lastName", ""),
        job_title=body.get("jobTitle", ""),
        about=body["about"],
        company=body.get("companyId", 0),
        share_type=body["shareType"],
        access=tuple(body.get("managerList", ())),
        custom_fields={item["key"]: item["value"] for item in body.get("customFieldList", ())},
    )
    return msgspec.structs.replace(found, **changes)
