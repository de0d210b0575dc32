"""Members that occur twice in a JSON document."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.words.labels import LABEL_PATTERN
from web.api.members import RepeatedMember, check_members
from web.api.models import JobChange, JobDocument
from web.api.reading import decode
from web.http.problems import Kind, Refusal

TEXTS = st.text(max_size=8) | st.sampled_from(["[1]", "contact_ids", '"', "[", "]", "\\", '{"id":1,"id":1}', "😀"])
LABELS = TEXTS.filter(re.compile(LABEL_PATTERN).search)
IDS = st.integers() | st.fixed_dictionaries({"id": st.integers()}) | TEXTS
MEMBERS = st.fixed_dictionaries(
    {"portal": st.just("main"), "label": LABELS, "column": TEXTS.filter(bool), "contact_ids": st.lists(IDS, max_size=5)}
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"portal":"main","contact_ids":[1],"portal":"main"}',
        b'{"portal":"main","contact_ids":[1],"contact_ids":[1]}',
        b'{"contact_ids":[1],"portal":"main","contact_ids":[2]}',
        b'{"c\\u006fntact_ids":[1],"portal":"main","contact_ids":[2]}',
        b'{"contact_ids":[' + b"9" * 5000 + b'],"portal":"main","contact_ids":[2]}',
        b'{"contact_ids":[' + b"1," * 50_000 + b'1],"portal":"main","contact_ids":[2]}',
        b'{"contact_ids":' + b"[" * 900 + b"]" * 900 + b',"portal":"main","contact_ids":[2]}',
        b'{"contact_ids":{"id":1},"portal":"main","contact_ids":[2]}',
    ],
)
def test_a_repeated_member_of_a_job_is_refused(body: bytes) -> None:
    with pytest.raises(RepeatedMember):
        check_members(body, msgspec.json.decode(body, type=JobDocument))


def test_a_repeated_member_of_a_small_document_is_refused() -> None:
    body = b'{"priority":"normal","priority":"urgent"}'
    with pytest.raises(Refusal) as refused:
        decode(body, JobChange)
    assert (refused.value.kind, refused.value.detail) == (Kind.BAD_JSON, "The member priority is there more than once.")


@pytest.mark.parametrize("value", [b"null", b"5", b'"portal"', b'{"id":1}', b"true"])
def test_what_is_no_list_is_left_to_those_who_read_it(value: bytes) -> None:
    body = b'{"portal":"main","contact_ids":' + value + b"}"
    assert decode(body, JobDocument).contact_ids == msgspec.Raw(value)


@given(members=MEMBERS, order=st.permutations(["portal", "label", "column", "contact_ids"]), compact=st.booleans())
def test_a_document_without_repetitions_is_let_through(
    members: dict[str, object], order: list[str], compact: bool
) -> None:
    text = json.dumps({name: members[name] for name in order}, ensure_ascii=compact, indent=None if compact else 1)
    document = decode(text.encode(), JobDocument)
    assert document.label == members["label"]
    assert isinstance(document.contact_ids, msgspec.Raw)
    assert json.loads(bytes(document.contact_ids)) == members["contact_ids"]


def test_a_complaint_never_quotes_a_name_at_length() -> None:
    with pytest.raises(Refusal) as refused:
        decode(b'{"' + b"k" * 100_000 + b'":1}', JobChange)
    assert len(str(refused.value.more) + refused.value.detail) < 1000
