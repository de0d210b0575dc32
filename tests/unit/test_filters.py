"""A filter says exactly what it selects, or is refused with the member that is wrong."""

import re
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.words.errors import BadFilter, BadSubmission
from jobs.words.filters import GUID_PATTERN, MAX_TAGS, MAX_TEXT, TAG_PATTERN, TEXT_PATTERN, Filter, View, tag_key

GUID = "0b1c2d3e-0000-4000-8000-123456789abc"

words = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=","), min_size=1, max_size=20)
days = st.dates()


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """JSON objects that are filters."""
    if draw(st.booleans()):
        return {"everything": True}
    tags = draw(st.lists(words, max_size=4))
    keys = {tag_key(tag) for tag in tags}
    first, last = sorted([draw(days), draw(days)])
    members = {
        "tags": tags,
        "without_tags": [tag for tag in draw(st.lists(words, max_size=4)) if tag_key(tag) not in keys],
        "view": draw(st.sampled_from(list(View))).value,
        "stage": draw(st.integers(0, 2**31 - 1)),
        "type": draw(st.integers(0, 2**31 - 1)),
        "responsible": draw(st.uuids()).__str__(),
        "created_from": first.isoformat(),
        "created_to": last.isoformat(),
        "without_email": draw(st.booleans()),
        "text": draw(words),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(members)), min_size=1))
    return {name: members[name] for name in chosen} | {"stage": members["stage"]}


@given(documents())
def test_the_canonical_form_reads_back_as_the_same_filter(document: dict[str, Any]) -> None:
    selection = Filter.from_json(document)
    canonical = selection.to_json()

    assert Filter.from_json(canonical) == selection
    assert Filter.from_json(canonical).to_json() == canonical
    assert msgspec.convert(msgspec.json.decode(canonical), Filter) == selection


@given(documents())
def test_the_canonical_form_has_sorted_members_and_no_defaults(document: dict[str, Any]) -> None:
    members = Filter.from_json(document).members()

    assert list(members) == sorted(members)
    assert not any(value is False or value in ([], None, "all") for value in members.values())


@given(documents(), st.randoms())
def test_the_order_of_members_and_tags_makes_no_difference(document: dict[str, Any], random: Any) -> None:
    names = list(document)
    random.shuffle(names)
    other = {
        name: random.sample(document[name], len(document[name])) if isinstance(document[name], list) else document[name]
        for name in names
    }

    assert Filter.from_json(other).to_json() == Filter.from_json(document).to_json()


@pytest.mark.parametrize("document", [{}, {"tags": []}, {"view": "all"}, {"without_email": False}, {"text": None}])
def test_a_filter_that_selects_nothing_in_particular_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadFilter, match="--everything") as refused:
        Filter.from_json(document)
    assert '"everything": true' in str(refused.value)
    assert isinstance(refused.value, BadSubmission)


def test_everything_stands_alone() -> None:
    assert Filter.from_json({"everything": True}).to_json() == b'{"everything":true}'
    with pytest.raises(BadFilter, match=r"filter.everything: given together with tags"):
        Filter.from_json({"everything": True, "tags": ["trash"]})


@pytest.mark.parametrize(
    ("document", "member", "problem"),
    [
        ({"tag": ["a"]}, None, "given an unknown member 'tag'; did you mean tags?"),
        ({"created-from": "2024-01-01"}, None, "did you mean created_from?"),
        ({"zzz": 1}, None, "expected only tags, without_tags"),
        ({"tags": "trash"}, "tags", "given 'trash', expected a list of names of tags"),
        ({"tags": ["a", 5]}, "tags", "expected a list of names of tags"),
        ({"tags": ["a", "  "]}, "tags", "expected names of tags that are not empty"),
        ({"tags": ["a\nb"]}, "tags", "without control characters"),
        ({"tags": ["\udce4"]}, "tags", "without control characters"),
        ({"tags": ["x" * 256]}, "tags", "of 256 characters, expected at most 255"),
        ({"tags": [f"{n}" for n in range(MAX_TAGS + 1)]}, "tags", f"expected at most {MAX_TAGS}"),
        ({"tags": ["a"], "without_tags": ["b", "A "]}, "without_tags", "given 'a', which is in tags as well"),
        ({"view": "persons"}, "view", "given 'persons', expected one of all, company, person, with_opportunity"),
        ({"stage": -1}, "stage", "given -1, expected the ID of a stage, a whole number from 0"),
        ({"stage": 5.0}, "stage", "given 5.0"),
        ({"stage": "5"}, "stage", "given '5'"),
        ({"type": True}, "type", "given True"),
        ({"type": 2**31}, "type", "given 2147483648"),
        ({"responsible": "ann"}, "responsible", "given 'ann', expected the GUID of a user"),
        ({"created_from": "2024-02-30"}, "created_from", "given '2024-02-30', expected a day such as 2024-01-31"),
        ({"created_to": "20240101"}, "created_to", "given '20240101'"),
        ({"created_to": "2024-01-01T10:00:00"}, "created_to", "expected a day"),
        ({"created_to": 20240101}, "created_to", "expected a day"),
        (
            {"created_from": "2024-02-01", "created_to": "2024-01-31"},
            "created_from",
            "given 2024-02-01, expected a day not after created_to, which is 2024-01-31",
        ),
        ({"without_email": "yes"}, "without_email", "given 'yes', expected true or false"),
        ({"without_email": 1}, "without_email", "given 1"),
        ({"text": " "}, "text", "given ' ', expected words to search for"),
        ({"text": "Acme, Inc"}, "text", "without a comma: the portal searches only for what comes before it"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], member: str | None, problem: str) -> None:
    with pytest.raises(BadFilter) as refused:
        Filter.from_json(document)
    assert refused.value.member == member
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("document", [b"[]", b"null", b'"tags"', b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(document: bytes) -> None:
    with pytest.raises(BadFilter, match="expected a JSON object"):
        Filter.from_json(document)


def test_a_filter_cannot_be_made_wrong_in_any_other_way() -> None:
    with pytest.raises(BadFilter):
        Filter()
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"tags": ["a"], "tagz": ["b"]}, Filter)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"tags":[" "]}', type=Filter)


def test_tags_are_compared_as_the_portal_compares_them() -> None:
    assert tag_key(" VIP ") == tag_key("vip")
    assert tag_key("Straße") == tag_key("STRASSE")
    assert tag_key("é") == tag_key("e\N{COMBINING ACUTE ACCENT}")
    assert tag_key("vip") != tag_key("vips")
    assert Filter(tags=("b", "a", "A")).tags == ("A", "b")


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Filter(everything=True), "every contact of the portal"),
        (
            Filter(
                tags=("trash", "old"),
                without_tags=("vip",),
                created_from=date(2020, 1, 1),
                created_to=date(2023, 12, 31),
            ),
            "contacts tagged old and trash, not tagged vip, created from 2020-01-01 to 2023-12-31",
        ),
        (
            Filter(view=View.PERSON, without_email=True, created_from=date(2020, 1, 1)),
            "persons created on 2020-01-01 or later, without an e-mail address",
        ),
        (Filter(created_to=date(2020, 1, 1)), "contacts created on 2020-01-01 or earlier"),
        (Filter(without_tags=("a", "b c", "d")), "contacts not tagged a, 'b c' or d"),
        (
            Filter(stage=3, type=0, responsible=GUID.upper(), text="Ann"),
            f"contacts in stage 3, of type 0, of the responsible user {GUID}, found by a search for 'Ann'",
        ),
    ],
)
def test_a_filter_says_in_words_what_it_selects(selection: Filter, said: str) -> None:
    assert str(selection) == said


@given(st.text(max_size=MAX_TEXT) | st.text("\x00\x1f\x7f\x9f\xa0\u2028 ,a", max_size=5))
@pytest.mark.parametrize(("member", "pattern"), [("tags", TAG_PATTERN), ("text", TEXT_PATTERN)])
def test_the_pattern_in_the_api_document_allows_what_a_filter_allows(member: str, pattern: str, text: str) -> None:
    try:
        Filter.from_json({member: [text] if member == "tags" else text})
    except BadFilter:
        is_allowed = False
    else:
        is_allowed = True
    assert is_allowed == bool(re.fullmatch(pattern.removesuffix("$"), text))


@given(st.from_regex(GUID_PATTERN.removesuffix("$"), fullmatch=True))
def test_the_pattern_of_a_guid_allows_what_a_filter_allows(guid: str) -> None:
    assert Filter.from_json({"responsible": guid}).responsible == guid.lower()
