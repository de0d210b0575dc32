"""What the portal's answers to a log-in mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.exchange import RawAnswer
from worker.login import LONGEST_TTL_S, SHORTEST_TTL_S, UNKNOWN_TTL_S, read_login
from worker.portal_answers import Failure, Remedy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def read(status: int, body: Any) -> tuple[str, float] | str | Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_login(RawAnswer(status, raw, None, 0.1), now=NOW.timestamp())


def granted(**response: object) -> dict[str, object]:
    return {"count": 1, "status": 0, "statusCode": 201, "response": response}


def refused(message: str, hresult: int = -2146233087) -> dict[str, object]:
    return {"status": 1, "statusCode": 500, "error": {"message": message, "hresult": hresult, "data": {}}}


def test_a_token_is_shared_almost_as_long_as_the_portal_accepts_it() -> None:
    expires = (NOW + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
    assert read(201, granted(token="abc", expires=expires)) == ("abc", 7200 - 60)


@pytest.mark.parametrize(
    ("expires", "ttl_s"),
    [
        ("2027-11-23T12:00:00.0000000+03:00", LONGEST_TTL_S),
        ("2020-01-01T00:00:00.0000000Z", SHORTEST_TTL_S),
        ("2026-11-23T15:00:00", UNKNOWN_TTL_S),
        ("soon", UNKNOWN_TTL_S),
        (None, UNKNOWN_TTL_S),
    ],
)
def test_the_life_of_a_shared_token_is_bounded(expires: str | None, ttl_s: float) -> None:
    assert read(201, granted(token="abc", expires=expires)) == ("abc", ttl_s)


@pytest.mark.parametrize("factor", [{"sms": True, "phoneNoise": "+1**9"}, {"tfa": True}, {"Tfa": True}])
def test_no_token_but_a_factor_asks_for_the_second_factor(factor: dict[str, object]) -> None:
    assert read(201, granted(token=None, **factor)) == "second_factor"


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (500, refused("User authentication failed"), "wrong_password"),
        (500, refused("Benutzer unbekannt"), "wrong_password"),
        (500, refused("User authentication failed", -1), "wrong_password"),
        (500, refused("Login Fail. Too many attempts"), "locked_out"),
        (401, b"Unauthorized", "wrong_password"),
    ],
)
def test_refused_credentials_are_told_apart(status: int, body: Any, refusal: str) -> None:
    assert read(status, body) == refusal


@pytest.mark.parametrize(
    ("status", "body", "action", "reason"),
    [
        (500, refused("Deadlock found", -2147467259), Remedy.RETRY, "portal_error"),
        (500, b"<html>", Remedy.RETRY, "portal_error"),
        (201, b"<html>", Remedy.RETRY, "answer_garbled"),
        (201, granted(token=None), Remedy.RETRY, "answer_garbled"),
        (201, granted(token="a b"), Remedy.RETRY, "answer_garbled"),
        (201, granted(token="a\r\nX-Evil: 1"), Remedy.RETRY, "answer_garbled"),
        (400, refused("Value cannot be null"), Remedy.STOP, "portal_protocol"),
        (404, b"<html>", Remedy.STOP, "portal_protocol"),
        (402, b"", Remedy.STOP, "portal_payment"),
        (403, b"", Remedy.STOP, "portal_forbidden"),
        (429, b"", Remedy.SLOW_DOWN, "rate_limit"),
        (503, b"", Remedy.SLOW_DOWN, "push_back"),
    ],
)
def test_anything_else_goes_by_the_table_and_never_deletes(status: int, body: Any, action: Remedy, reason: str) -> None:
    failure = read(status, body)
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason, failure.may_have_deleted) == (action, reason, False)
