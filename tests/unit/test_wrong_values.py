"""What the API says about wrong parameters and members."""

from typing import Any

import msgspec
import pytest

from web.api.models import JobDocument, JobParameters, JobsQuery, PortalChange
from web.api.wrong_values import in_words


@pytest.mark.parametrize(
    ("wanted", "given", "where", "why"),
    [
        (JobsQuery, {"limits": "5"}, "query", "there is no parameter 'limits' (did you mean limit?)"),
        (JobParameters, {"colour": "red"}, "query", "there is no parameter 'colour'"),
        (JobParameters, {"priority": "high"}, "query.priority", "'high' is not one of urgent, normal, background"),
        (JobsQuery, {"limit": "many"}, "query.limit", "expected a whole number, not text"),
        (JobsQuery, {"limit": "0"}, "query.limit", "expected a whole number of at least 1"),
    ],
)  # fmt: skip
def test_a_parameter_is_told_in_plain_words(wanted: type, given: dict[str, str], where: str, why: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(given, wanted, strict=False)
    assert in_words(caught.value, "query", wanted) == (where, why)


@pytest.mark.parametrize(
    ("wanted", "given", "where", "why"),
    [
        (JobDocument, {"contact_ids": [1]}, "body", "the member portal is missing"),
        (JobDocument, 5, "body", "expected an object, not a whole number"),
        (JobDocument, {"portal": 5, "contact_ids": []}, "body.portal", "expected text, not a whole number"),
        (PortalChange, {"requests_per_second": 0}, "body.requests_per_second", "expected a number of at least 0.01"),
        (PortalChange, {"max_concurrency": "5"}, "body.max_concurrency", "expected a number or null, not text"),
    ],
)
def test_a_member_is_told_in_plain_words(wanted: type, given: Any, where: str, why: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(given), type=wanted)
    assert in_words(caught.value, "body", wanted) == (where, why)


def test_however_long_a_name_is_little_of_it_comes_back() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"x" * 5000: "1"}, JobParameters, strict=False)
    where, why = in_words(caught.value, "query", JobParameters)
    assert len(where) + len(why) < 700
