"""How the simulated portal reads the parameters of a change."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from simulator.parameters import Parameters
from simulator.replies import PortalError
from simulator.users import ACCOUNT


def sent(body: object, content_type: str | None = "application/json; charset=utf-8", query: str = "") -> Parameters:
    pairs = [tuple(pair.split("=")) for pair in query.split("&") if pair]
    return Parameters([(name, value) for name, value in pairs], content_type, json.dumps(body).encode())


def test_names_do_not_distinguish_cases_and_the_body_counts_before_the_query() -> None:
    parameters = sent({"FirstName": "Ann"}, query="firstname=Bob&LASTNAME=Lee")
    assert (parameters.text("firstName"), parameters.text("lastName"), parameters.text("about")) == ("Ann", "Lee", None)
    assert "FIRSTNAME" in parameters
    assert "about" not in parameters


def test_a_form_is_read_and_other_types_are_not() -> None:
    form = Parameters([], "application/x-www-form-urlencoded", b"tagName=a%2Cb&managerList%5B%5D=x")
    assert (form.text("tagName"), form.elements("managerList")) == ("a,b", ["x"])
    assert "tagName" not in Parameters([], "text/plain", b'{"tagName":"a"}')
    assert "tagName" not in Parameters([], None, b'{"tagName":"a"}')
    assert "tagName" not in Parameters([], "application/json", b"  ")


@pytest.mark.parametrize(
    ("value", "expected"), [(5, 5), ("5", 5), (" -7 ", -7), (5.0, 5), (None, 0), ("2147483647", 2147483647)]
)
def test_integers(value: object, expected: int) -> None:
    assert sent({"companyId": value}).integer("companyId") == expected


READERS: dict[str, Callable[[Parameters], object]] = {
    "integer": lambda parameters: parameters.integer("x"),
    "integers": lambda parameters: parameters.integers("x"),
    "number": lambda parameters: parameters.number("x"),
    "flag": lambda parameters: parameters.flag("x"),
    "choice": lambda parameters: parameters.choice("x", ("A", "B")),
    "user": lambda parameters: parameters.user("x"),
    "users": lambda parameters: parameters.users("x"),
    "pairs": lambda parameters: parameters.pairs("x"),
    "text": lambda parameters: parameters.text("x"),
}


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("integer", "x"),
        ("integer", True),
        ("integer", 1.5),
        ("integer", 2**31),
        ("integer", [1]),
        ("integers", [1, "x"]),
        ("number", "x"),
        ("number", {}),
        ("flag", "yes"),
        ("choice", "C"),
        ("choice", 2),
        ("choice", -1),
        ("user", "Ann"),
        ("users", [ACCOUNT, "Ann"]),
        ("pairs", [1]),
        ("pairs", [{"key": "x", "value": "y"}]),
        ("text", {"a": 1}),
    ],
)
def test_what_cannot_be_converted_is_refused(reader: str, value: object) -> None:
    with pytest.raises(PortalError) as refused:
        READERS[reader](sent({"x": value}))
    assert refused.value.answer.status == 400


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        ("integers", 5, [5]),
        ("integers", "", []),
        ("number", "1.5", 1.5),
        ("number", None, 0.0),
        ("flag", True, True),
        ("flag", "1", True),
        ("flag", None, False),
        ("choice", "b", 1),
        ("choice", "1", 1),
        ("choice", None, 0),
        ("user", "00000000-0000-0000-0000-000000000000", None),
        ("user", f"{{{ACCOUNT}}}", ACCOUNT),
        ("users", [ACCOUNT.upper(), ACCOUNT], [ACCOUNT]),
        ("pairs", [{"Key": "1", "VALUE": 2}, {"key": 3, "value": ""}, {"key": 4}], [(1, "2")]),
        ("text", 5, "5"),
        ("text", False, "false"),
    ],
)
def test_what_can_be_converted(reader: str, value: Any, expected: object) -> None:
    assert READERS[reader](sent({"x": value})) == expected


@pytest.mark.parametrize("body", [b"[]", b"5", b'{"a":', b"\xff{}"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(PortalError) as refused:
        Parameters([], "application/json", body)
    assert refused.value.answer.status == 400
