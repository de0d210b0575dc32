"""gzip is sent when it is asked for, and only then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.http.encoding import wants_gzip


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["GZip"], True),
        (["x-gzip"], True),
        (["gzip, deflate, br"], True),
        (["br", "gzip"], True),
        (["br;q=1.0, gzip;q=0.8, *;q=0.1"], True),
        (["*"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.000"], False),
        (["gzip ; q = 0.5"], True),
        (["gzip;Q=0"], False),
        (["*;q=0"], False),
        (["*, gzip;q=0"], False),
        (["*;q=0, gzip"], True),
        (["identity"], False),
        (["identity, gzip;q=0.5"], False),
        (["identity;q=0.5, gzip"], True),
        (["identity;q=0, *"], True),
        (["deflate, br"], False),
        (["notgzip, gzipped"], False),
        (["gzip;q=", "gzip;q=much"], False),
        (["gzip;q=7"], False),
        (["gzip;q=-1"], False),
        (["gzip;q=nan"], False),
        ([",,;q=1,gzip"], True),
    ],
)
def test_what_is_asked_for_is_understood(headers: list[str], wanted: bool) -> None:
    assert wants_gzip(headers) is wanted


@given(st.lists(st.text(max_size=40), max_size=3))
def test_no_header_is_too_odd(headers: list[str]) -> None:
    assert wants_gzip(headers) in {True, False}


@given(st.text(alphabet="gzip;q=01.,* \t-", max_size=30))
def test_gzip_that_is_refused_is_never_sent(header: str) -> None:
    assert not wants_gzip([f"{header.rstrip(',;= ')},gzip;q=0"])
