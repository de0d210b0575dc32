"""Requests through plain arq: everything wrong is reported, nothing valid is lost, and nothing is executed."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.arq_messages import request as arq_request
from jobs.arq_messages.request import Request, read_request
from jobs.words.priority import Priority

contact_ids = st.integers(1, 2147483647)

RIGHT = {"portal": "main", "contact_ids": [3, 1, 3], "label": "from billing", "priority": "urgent"}


def message(arguments: object = None, **parts: object) -> bytes:
    """Return a message as arq writes it."""
    usual = {"t": None, "f": "delete_contacts", "a": [], "k": RIGHT if arguments is None else arguments, "et": 1234}
    return json.dumps(usual | parts).encode()


def test_a_request_that_is_right_is_read_in_full() -> None:
    request = read_request(message())
    assert (request.function, request.portal, request.label) == ("delete_contacts", "main", "from billing")
    assert (list(request.ids), request.duplicates) == ([1, 3], 1)
    assert (request.priority, request.enqueued_ms) == (Priority.URGENT, 1234)
    assert request.problems == []


@pytest.mark.parametrize("none", [{}, {"label": None, "priority": None}, {"label": ""}], ids=str)
def test_label_and_priority_may_be_left_out(none: dict[str, Any]) -> None:
    request = read_request(message({"portal": "main", "contact_ids": [1], **none}))
    assert (request.label, request.priority, request.problems) == ("", Priority.NORMAL, [])


@pytest.mark.parametrize(
    ("arguments", "given_and_expected"),
    [
        ({"portal": 5}, ("portal: given 5", "name of a configured portal")),
        ({"portal": "Main!"}, ("portal: given", "Main!", "name of a configured portal")),
        ({"portal": "main:leases"}, ("portal: given", "main:leases")),
        ({"portal": None}, ("portal: given null",)),
        ({"portal": ...}, ("portal: given nothing",)),
        ({"contact_ids": ...}, ("contact_ids: given nothing", "a list of contact IDs")),
        ({"contact_ids": []}, ("no contact IDs",)),
        ({"contact_ids": "1,2"}, ("contact_ids: given", "1,2", "a list of contact IDs")),
        ({"contact_ids": {"1": 2}}, ("contact_ids: given", "a list of contact IDs")),
        ({"contact_ids": [1, 0]}, ("contact_ids[1]: given 0", "1 to 2147483647")),
        ({"contact_ids": [1, -1]}, ("contact_ids[1]: given -1",)),
        ({"contact_ids": [2147483648]}, ("contact_ids[0]: given 2147483648",)),
        ({"contact_ids": [1, True]}, ("contact_ids[1]: given true",)),
        ({"contact_ids": [1, 5.0]}, ("contact_ids[1]: given 5.0",)),
        ({"contact_ids": [1, "7"]}, ("contact_ids[1]: given", "7")),
        ({"contact_ids": [1, None]}, ("contact_ids[1]: given null",)),
        ({"contact_ids": [1, [2, 3]]}, ("contact_ids[1]: given [2, 3]",)),
        ({"label": 5}, ("label: given 5", "a text")),
        ({"label": "x" * 201}, ("label: given", "201 characters", "at most 200")),
        ({"label": "two\nlines"}, ("label: given", "printable")),
        ({"priority": "fast"}, ("priority: given", "fast", "urgent, normal, background")),
        (
            {"url": "http://x"},
            ("unknown argument url", "expected portal, contact_ids, filter, plan, undo, label, priority"),
        ),
        ({"ctx": 1}, ("unknown argument ctx",)),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_with_what_was_expected(
    arguments: dict[str, Any], given_and_expected: tuple[str, ...]
) -> None:
    merged = {name: value for name, value in (RIGHT | arguments).items() if value is not ...}
    [problem] = read_request(message(merged)).problems
    for word in given_and_expected:
        assert word in problem


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = {"portal": 5, "contact_ids": [0], "label": 5, "priority": 5, "url": 5}
    told = " ".join(read_request(message(wrong, a=["main"])).problems)
    for word in ("portal:", "contact_ids[0]", "label:", "priority:", "unknown argument url", "positional"):
        assert word in told


@pytest.mark.parametrize("position", [["main"], ["main", [1, 2]], [[]], [None], {"portal": "main"}, "main", 0])
def test_arguments_by_position_are_refused(position: object) -> None:
    [problem] = read_request(message(a=position)).problems
    assert "positional" in problem
    assert "portal, contact_ids, filter, plan, undo, label, priority" in problem


@pytest.mark.parametrize("named", [[], ["main"], "main", 5, None])
def test_named_arguments_that_are_no_object_are_refused(named: object) -> None:
    [problem] = read_request(message(k=named)).problems
    assert "keyword arguments" in problem


def test_a_pickle_is_named_and_never_loaded(tmp_path: Path) -> None:
    opened = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(opened), "w")

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        request = read_request(pickle.dumps({"f": "delete_contacts", "k": {"portal": Trap()}}, protocol))
        [problem] = request.problems
        assert request.function == ""
        assert "JSON" in problem
        assert ("pickle" in problem) == (protocol >= 2)
    assert not opened.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"f":"delete_contacts"',
        b'{"t":null,"f":"delete_contacts","a":[],"k":{},"et":"now"}',
        b'{"t":null,"f":"delete_contacts","a":[],"k":{},"et":99999999999999999999}',
        b'{"t":null,"f":["delete_contacts"],"a":[],"k":{},"et":1}',
        b"[" * 100_000,
        b'{"f":"delete_contacts","et":1,"a":[],"k":' + b'{"portal":' * 100_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_message_is_told(data: bytes) -> None:
    [problem] = read_request(data).problems
    assert "not an arq message" in problem
    assert len(problem) < 400


def test_brackets_without_end_in_an_argument_are_told() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for name in ("portal", "contact_ids", "label"):
        data = message().replace(
            json.dumps(RIGHT[name]).encode(), deep if name != "contact_ids" else b"[1," + deep + b"]"
        )
        assert read_request(data).problems


@given(st.lists(contact_ids), st.integers(1, 60))
def test_a_list_is_read_the_same_in_parts_of_any_size(ids: list[int], part_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arq_request, "_PART_BYTES", part_bytes)
        request = read_request(message({"portal": "main", "contact_ids": ids}))
    assert set(request.ids) == set(ids)
    assert len(request.ids) + request.duplicates == len(ids)
    assert bool(request.problems) == (not ids)


@given(
    st.lists(contact_ids | st.sampled_from([0, -1, 2147483648, 5.5, True, None, "7", "a,b", [1, 2], {"a": [1, 2]}])),
    st.integers(1, 60),
)
def test_one_wrong_value_anywhere_spoils_the_list(values: list[Any], part_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arq_request, "_PART_BYTES", part_bytes)
        request = read_request(message({"portal": "main", "contact_ids": values}))
    right = [value for value in values if type(value) is int and 1 <= value <= 2147483647]
    assert bool(request.problems) == (len(right) < len(values) or not values)
    if not any(isinstance(value, str | list | dict) for value in values):
        # If a value contains commas, a part can end within it, and what is in that part is not counted.
        assert set(request.ids) == set(right)


@given(st.binary())
def test_reading_never_fails(data: bytes) -> None:
    assert isinstance(read_request(data), Request)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=10,
)


@given(json_values, json_values, json_values)
def test_reading_any_json_never_fails(args: object, named: object, whole: object) -> None:
    assert isinstance(read_request(message(k=named, a=args)), Request)
    assert read_request(json.dumps(whole).encode()).problems
