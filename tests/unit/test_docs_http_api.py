"""docs/http-api.md says what the OpenAPI document says, and its limits are those in force."""

import re

from tests.support.documents import ROOT
from web.api.submission import STREAMED
from web.http.limits import Limits
from web.http.problems import TYPE_PREFIX, Kind

PAGE = ROOT / "docs" / "http-api.md"


def test_the_limits_are_those_in_force() -> None:
    text, limits = PAGE.read_text(encoding="utf-8"), Limits()
    for said in (
        f"| a JSON document, unpacked | {limits.document_bytes / 1e6:g} MB |",
        f"| any other body | {limits.change_bytes / 1e6:g} MB |",
        f"| request line, one header | {limits.header_bytes} bytes |",
        f"| headers | {limits.header_count} |",
        f"| time without a byte of the body | {limits.body_silence_s:g} s, then 408 |",
        f"| pace of a body | {limits.body_bytes_per_s} bytes a second beyond the first {limits.body_silence_s:g} s,",
        f"or idle on a kept connection | {limits.connection_idle_s:g} s |",
        f"| {limits.submissions}; more wait {limits.submission_wait_s:g} s, then 503 |",
    ):
        assert said in text


def test_every_form_of_a_list_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{media}` |" in text for media in (*STREAMED, "application/json"))


def test_every_problem_of_an_operation_is_there_and_no_other() -> None:
    told = set(re.findall(rf"{TYPE_PREFIX}([a-z-]+)", PAGE.read_text(encoding="utf-8")))
    everywhere = {
        Kind.BAD_REQUEST,
        Kind.FOREIGN_ORIGIN,
        Kind.UNKNOWN_ADDRESS,
        Kind.WRONG_METHOD,
        Kind.BAD_EXPECTATION,
        Kind.HEADERS_TOO_LARGE,
    }
    assert told == {kind.word for kind in set(Kind) - everywhere}
