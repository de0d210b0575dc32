"""What the portal makes of a request's list of contact IDs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.binding import bind_contact_ids
from simulator.replies import FORMAT, OVERFLOW, PortalError

JSON = "application/json"


def bind(body: str | bytes, content_type: str | None = JSON, query: list[tuple[str, str]] | None = None) -> list[int]:
    return bind_contact_ids(query or [], content_type, body.encode() if isinstance(body, str) else body)


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ('{"contactids":[5,6]}', [5, 6]),
        ('{"contactIds":[5]}', [5]),
        ('{"CONTACTIDS":[5]}', [5]),
        ('\ufeff{"contactids":[5]}', [5]),
        ('{"contact\\u0069ds":[5]}', [5]),
        ('{"contactids":[5.0,1e3]}', [5, 1000]),
        ('{"contactids":["7"," 7 ","+7"]}', [7, 7, 7]),
        ('{"contactids":["#10","0x10","0X10","&h10"]}', [16, 16, 16, 16]),
        ('{"contactids":["0xFFFFFFFF"]}', [-1]),
        ('{"contactids":[0,-1]}', [0, -1]),
        ('{"contactids":[2147483647,-2147483648]}', [2147483647, -2147483648]),
        ('{"contactids":[5,5]}', [5, 5]),
        ('{"contactids":5}', [5]),
        ('{"contactids":"7"}', [7]),
        ('{"contactids":[1],"contactids":[2]}', [1, 2]),
        ('{"contactids":[1],"ContactIds":[2],"other":[3]}', [1, 2]),
        ('{"other":{"contactids":[1]}}', []),
        ('{"contactids":[[1,2]]}', []),
        ('{"contactids":[{"id":1}]}', []),
        ('{"contactids":{"id":1}}', []),
        ('{"contactids":[]}', []),
        ("{}", []),
        ("", []),
        ("  \n", []),
    ],
)
def test_binds_json(body: str, bound: list[int]) -> None:
    assert bind(body) == bound


@pytest.mark.parametrize(
    ("element", "hresult"),
    [
        ("null", FORMAT),
        ("true", FORMAT),
        ("1.5", FORMAT),
        ('"abc"', FORMAT),
        ('""', FORMAT),
        ('"5.0"', FORMAT),
        ('"٣"', FORMAT),
        ("1e20", FORMAT),
        ("2147483648", OVERFLOW),
        ("-2147483649", OVERFLOW),
        ("1e10", OVERFLOW),
        ("9" * 3000, OVERFLOW),
    ],
)
def test_one_bad_element_rejects_the_whole_request(element: str, hresult: int) -> None:
    with pytest.raises(PortalError) as refusal:
        bind(f'{{"contactids":[1,2,{element}]}}')
    assert refusal.value.answer.status == 400
    assert json.loads(refusal.value.answer.body)["error"]["hresult"] == hresult


@pytest.mark.parametrize(
    "body",
    [
        "[1,2]",
        "5",
        "null",
        "{",
        '{"contactids"',
        '{"contactids":',
        '{"contactids":[1,2]',
        '{"contactids":[1,"2',
        '{"contactids":[1,-',
        '{"contactids":[1 2]}',
        '{"contactids":[1]} x',
        '{"contactids":[1]}}',
        '{"contactids":[1}',
        '{"contactids":[NaN]}',
        "[" * 100_000,
        "contactids=1",
    ],
)
def test_malformed_json_is_refused(body: str) -> None:
    with pytest.raises(PortalError) as refusal:
        bind(body)
    assert refusal.value.answer.status == 400


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ('{"contactids":[1,12', [1, 12]),
        ('{"contactids":[1,12,', [1, 12]),
        ('{"contactids":[1,"12"', [1, 12]),
        ('{"contactids":[', []),
        ('{"a":"]{","contactids":[1', [1]),
    ],
)
def test_json_cut_off_inside_the_array_is_accepted(body: str, bound: list[int]) -> None:
    assert bind(body) == bound


@pytest.mark.parametrize("content_type", [None, "text/json", "application/json-patch", "text/plain"])
def test_another_media_type_binds_nothing_of_a_json_body(content_type: str | None) -> None:
    assert bind('{"contactids":[5]}', content_type) == []


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_media_type_may_have_parameters_and_any_case(content_type: str) -> None:
    assert bind('{"contactids":[5]}', content_type) == [5]


def test_a_form_binds() -> None:
    assert bind("contactids=5&ContactIds=6&x=7", "application/x-www-form-urlencoded") == [5, 6]


def test_xml_binds() -> None:
    assert bind("<r><contactids>5</contactids><ContactIds>6</ContactIds><x>7</x></r>", "text/xml") == [5, 6]


@pytest.mark.parametrize(("body", "content_type"), [("<r>", "text/xml"), ("{}", "application"), ("{}", "a/b; c")])
def test_malformed_xml_or_content_type_is_a_server_error(body: str, content_type: str) -> None:
    with pytest.raises(PortalError) as refusal:
        bind(body, content_type)
    assert refusal.value.answer.status == 500


def test_query_values_are_merged_with_the_body() -> None:
    query = [("contactids", "1"), ("ContactIds", "2"), ("fields", "id")]
    assert bind('{"contactids":[3]}', query=query) == [1, 2, 3]
    assert bind("", None, query) == [1, 2]


def test_a_bad_query_value_rejects_the_request() -> None:
    with pytest.raises(PortalError):
        bind('{"contactids":[3]}', query=[("contactids", "x")])


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_every_list_of_32_bit_integers_binds_as_it_is_however_it_is_written(numbers: list[int]) -> None:
    assert bind(json.dumps({"contactids": numbers})) == numbers
    assert bind(json.dumps({"ContactIds": [str(number) for number in numbers]})) == numbers


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1), st.data())
def test_no_cut_binds_more_ids_than_were_meant(numbers: list[int], data: st.DataObject) -> None:
    whole = json.dumps({"contactids": numbers})
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        bound = bind(cut)
    except PortalError as refusal:
        assert refusal.answer.status == 400  # noqa: PT017 - either outcome is right
        return
    assert bound[:-1] == numbers[: max(0, len(bound) - 1)]
    if bound:
        assert str(numbers[len(bound) - 1]).startswith(str(bound[-1]))


@given(st.binary())
def test_no_body_breaks_the_binding(body: bytes) -> None:
    try:
        bind(body)
    except PortalError as refusal:
        assert refusal.answer.status == 400  # noqa: PT017 - either outcome is right
