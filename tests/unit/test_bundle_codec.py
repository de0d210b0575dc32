"""Objects of a bundle: what goes in comes out, for the right key and unchanged only."""

import hashlib
import json
from typing import Any

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.bundles.codec import lines_of, read_identities
from jobs.bundles.errors import BadIdentity, BundleDamaged
from jobs.bundles.record import Case, Opportunity, Record, read_line, record_line, with_tags
from tests.support.bundles import PUBLIC_KEY, lines_in, sealed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONTACTS = st.dictionaries(st.text(), JSON, max_size=8)
OPPORTUNITIES = st.lists(st.builds(Opportunity, st.integers(1, 2**31), st.text(), st.booleans()), max_size=3)
CASES = st.lists(st.builds(Case, st.integers(1, 2**31), st.text()), max_size=3)


@given(st.lists(st.tuples(CONTACTS, OPPORTUNITIES, CASES), max_size=12), st.booleans())
@settings(deadline=None, max_examples=60)
def test_records_come_back_as_they_were_whatever_is_in_them(records: list[Any], pretty: bool) -> None:
    lines = [
        record_line(json.dumps(contact, indent=2 if pretty else None).encode(), opportunities, cases)
        for contact, opportunities, cases in records
    ]
    one = sealed(lines)
    found = [read_line(line) for line in lines_in(one.data)]
    assert found == [Record(contact, tuple(links), tuple(cases)) for contact, links, cases in records]
    assert one.contacts == len(records)
    assert one.plain_bytes == sum(map(len, lines))
    assert one.sha256 == hashlib.sha256(one.data).hexdigest()


def test_large_objects_are_read_line_by_line() -> None:
    lines = [record_line(json.dumps({"id": number, "about": "ä" * 700}).encode()) for number in range(3000)]
    one = sealed(lines)
    assert [json.loads(line)["contact"]["id"] for line in lines_in(one.data)] == list(range(3000))
    assert len(one.data) < one.plain_bytes / 10


CONTENT = sealed([record_line(b'{"id": 1}')]).data


@given(st.integers(0, len(CONTENT) - 1), st.sampled_from(["cut", "beheaded", "flipped", "longer"]))
@settings(deadline=None)
def test_any_change_of_an_object_is_noticed(at: int, how: str) -> None:
    broken = {
        "cut": CONTENT[:at],
        "beheaded": CONTENT[at + 1 :],
        "flipped": CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :],
        "longer": CONTENT + b"x",
    }
    with pytest.raises((BundleDamaged, BadIdentity)):
        lines_in(broken[how])


def test_another_key_opens_nothing() -> None:
    other = read_identities(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(BadIdentity, match="not encrypted to this key"):
        list(lines_of(sealed([b"{}\n"]).data, other))


def test_the_same_records_are_never_the_same_object() -> None:
    assert sealed([b"{}\n"]).sha256 != sealed([b"{}\n"]).sha256


def test_the_key_that_seals_cannot_open() -> None:
    with pytest.raises(BadIdentity, match="AGE-SECRET-KEY-1"):
        read_identities(PUBLIC_KEY)


@pytest.mark.parametrize("text", ["", "# nothing\n\n"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    with pytest.raises(BadIdentity, match="no private key"):
        read_identities(text)


@given(CONTACTS.filter(bool), st.lists(st.text(), max_size=5))
def test_tags_are_added_to_a_record(contact: dict[str, Any], tags: list[str]) -> None:
    contact.pop("tags", None)
    contact["id"] = 7
    assert json.loads(with_tags(json.dumps(contact, indent=1).encode() + b" ", tags)) == {**contact, "tags": tags}
