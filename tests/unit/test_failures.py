"""Everything that can happen to a call is decided, and what the table promises holds."""

import os
import socket
import ssl
from itertools import product

import aiohttp
import pytest
from aiohttp import http_exceptions
from hypothesis import given
from hypothesis import strategies as st

from worker.failure_table import (
    EXCEPTION_TABLE,
    FLAW_TABLE,
    HRESULT_DATABASE,
    HRESULT_INVALID_OPERATION,
    HRESULT_SECURITY,
    HRESULT_TIMEOUT,
    STATUS_TABLE,
    Flaw,
)
from worker.failures import CAUGHT, decide_exception, decide_flaw, decide_status, rule_for
from worker.portal_answers import Body, Remedy
from worker.proxy_failures import tunnel_refused

NOW = 1_800_000_000.0
ID_REASONS = {"rejected", "portal_error", "timeout", "answer_garbled", "connection_lost"}
JOB_REASONS = {
    "portal_auth",
    "portal_payment",
    "portal_forbidden",
    "portal_proxy",
    "portal_protocol",
    "portal_unreachable",
    "rate_limit",
    "push_back",
}
hresults = [None, HRESULT_DATABASE, HRESULT_INVALID_OPERATION, HRESULT_SECURITY, HRESULT_TIMEOUT, -1]

#: The only answers that prove that a PUT had no effect. Everything else has to be read back.
NO_EFFECT = {
    *product([400, 401, 402, 404, 405, 413, 414, 429, 301, 302, 307, 308], Body),
    (403, Body.EMPTY),
    (503, Body.EMPTY),
}


def aiohttp_errors() -> list[type[BaseException]]:
    def family(cls: type[BaseException]) -> set[type[BaseException]]:
        return {cls}.union(*(family(sub) for sub in cls.__subclasses__()))

    return sorted((cls for cls in family(aiohttp.ClientError) if cls.__module__.startswith("aiohttp.")), key=str)


@pytest.mark.parametrize("cls", aiohttp_errors(), ids=lambda cls: cls.__name__)
def test_every_exception_of_the_http_library_is_decided_by_name(cls: type[BaseException]) -> None:
    """If this fails, the library has a new exception: decide it in worker/failure_table.py."""
    assert cls in EXCEPTION_TABLE
    assert issubclass(cls, CAUGHT)


@pytest.mark.parametrize(
    ("error", "may_have_deleted", "reason"),
    [
        (TimeoutError(), True, "timeout"),
        (ConnectionRefusedError(), False, "portal_unreachable"),
        (socket.gaierror(), False, "portal_unreachable"),
        (ConnectionResetError(), True, "connection_lost"),
        (BrokenPipeError(), True, "connection_lost"),
        (ConnectionAbortedError(), True, "connection_lost"),
        (OSError(5, "Input/output error"), True, "connection_lost"),
        (ssl.SSLError(), True, "connection_lost"),
        (ssl.SSLCertVerificationError(), False, "portal_protocol"),
        (aiohttp.ServerDisconnectedError(), True, "connection_lost"),
        (aiohttp.ConnectionTimeoutError(), False, "portal_unreachable"),
        (aiohttp.SocketTimeoutError(), True, "timeout"),
        (aiohttp.ClientPayloadError(), True, "answer_garbled"),
        (http_exceptions.BadStatusLine("?"), True, "answer_garbled"),
        (aiohttp.InvalidURL("http://"), False, "portal_protocol"),
    ],
)
def test_exceptions_mean_what_they_should(error: Exception, may_have_deleted: bool, reason: str) -> None:
    failure = decide_exception(error)
    assert (failure.may_have_deleted, failure.reason) == (may_have_deleted, reason)
    assert isinstance(error, CAUGHT)


def test_an_exception_that_nobody_knows_counts_as_a_lost_connection() -> None:
    class NewError(aiohttp.ClientError):
        pass

    for error in (NewError(), RuntimeError()):
        failure = decide_exception(error)
        assert (failure.action, failure.may_have_deleted, failure.sent) == (Remedy.RETRY, True, True)


def test_what_breaks_before_a_call_is_sent_was_no_attempt() -> None:
    """The exceptions are the same as those of a lost call; only the moment tells them apart."""
    for error in (aiohttp.ServerDisconnectedError(), ConnectionResetError(), aiohttp.ClientPayloadError()):
        for proxy in (None, ("proxy", 3128)):
            failure = decide_exception(error, connecting=True, proxy=proxy)
            assert (failure.may_have_deleted, failure.sent, failure.reason) == (False, False, "portal_unreachable")
            assert decide_exception(error, proxy=proxy).may_have_deleted


def test_a_tunnel_can_be_refused_with_any_status() -> None:
    for status in range(100, 1000):
        decision = tunnel_refused(status)
        assert (decision.may_have_deleted, decision.sent) == (False, False)
        assert decision.action in {Remedy.STOP, Remedy.RETRY}
        assert "proxy" in decision.message


def test_through_a_proxy_only_the_api_and_those_who_turn_a_call_away_are_believed() -> None:
    for status, body in product(range(100, 1000), Body):
        straight = decide_status(status, body, now=NOW)
        through = decide_status(status, body, now=NOW, read_by_proxy=True)
        if body is Body.API_ERROR:
            assert through == straight
        else:
            assert through.may_have_deleted is not (status in {401, 413, 414, 429})
            assert through.action is straight.action


def test_only_what_certainly_left_nothing_behind_counts_as_not_sent() -> None:
    for decision in EXCEPTION_TABLE.values():
        assert decision.sent or not decision.may_have_deleted
    assert all(rule.decision.sent for rule in STATUS_TABLE)


@pytest.mark.parametrize("body", Body)
@pytest.mark.parametrize("hresult", hresults)
def test_every_status_is_decided_and_only_the_proven_ones_have_no_effect(body: Body, hresult: int | None) -> None:
    for status in range(100, 600):
        failure = decide_status(status, body, hresult=hresult if body is Body.API_ERROR else None, now=NOW)
        assert failure.reason in ID_REASONS | JOB_REASONS
        assert (failure.action is Remedy.STOP) <= (failure.reason in JOB_REASONS)
        assert failure.http_status == status
        proven = (status, body) in NO_EFFECT or (
            status == 403 and body is Body.API_ERROR and hresult == HRESULT_SECURITY
        )
        assert failure.may_have_deleted is not proven, status


@given(st.integers(-1, 99999), st.sampled_from(list(Body)), st.none() | st.integers(), st.text(max_size=9))
def test_no_status_is_too_odd_to_be_decided(status: int, body: Body, hresult: int | None, message: str) -> None:
    assert decide_status(status, body, hresult=hresult, error_message=message, now=NOW).message


def test_no_row_of_the_table_is_dead() -> None:
    messages = ["", "Forbidden"]
    hit = {
        id(rule_for(status, body, hresult=hresult, error_message=message))
        for status, body, hresult, message in product(range(1000), Body, hresults, messages)
    }
    assert [rule for rule in STATUS_TABLE if id(rule) not in hit] == []
    assert set(FLAW_TABLE) == set(Flaw)


@pytest.mark.parametrize(
    ("status", "body", "error", "decided"),
    [
        (400, Body.API_ERROR, (-2147467261, ""), (Remedy.SPLIT, "rejected")),
        (400, Body.HTML, (None, ""), (Remedy.STOP, "portal_protocol")),
        (401, Body.TEXT, (None, ""), (Remedy.STOP, "portal_auth")),
        (402, Body.EMPTY, (None, ""), (Remedy.STOP, "portal_payment")),
        (403, Body.EMPTY, (None, ""), (Remedy.STOP, "portal_forbidden")),
        (403, Body.API_ERROR, (HRESULT_DATABASE, "Forbidden"), (Remedy.STOP, "portal_forbidden")),
        (403, Body.API_ERROR, (HRESULT_INVALID_OPERATION, ""), (Remedy.RETRY, "portal_error")),
        (404, Body.EMPTY, (None, ""), (Remedy.STOP, "portal_protocol")),
        (404, Body.HTML, (None, ""), (Remedy.STOP, "portal_protocol")),
        (413, Body.HTML, (None, ""), (Remedy.SPLIT, "rejected")),
        (429, Body.EMPTY, (None, ""), (Remedy.SLOW_DOWN, "rate_limit")),
        (500, Body.API_ERROR, (HRESULT_DATABASE, ""), (Remedy.RETRY, "portal_error")),
        (500, Body.API_ERROR, (HRESULT_TIMEOUT, ""), (Remedy.RETRY, "timeout")),
        (500, Body.HTML, (None, ""), (Remedy.RETRY, "portal_error")),
        (502, Body.HTML, (None, ""), (Remedy.SLOW_DOWN, "push_back")),
        (503, Body.EMPTY, (None, ""), (Remedy.SLOW_DOWN, "push_back")),
        (504, Body.HTML, (None, ""), (Remedy.RETRY, "timeout")),
        (301, Body.HTML, (None, ""), (Remedy.STOP, "portal_protocol")),
    ],
)
def test_the_known_answers_lead_to_the_known_actions(
    status: int, body: Body, error: tuple[int | None, str], decided: tuple[Remedy, str]
) -> None:
    failure = decide_status(status, body, hresult=error[0], error_message=error[1], now=NOW)
    assert (failure.action, failure.reason) == decided


def test_a_denied_module_has_no_effect_but_an_unexplained_403_may() -> None:
    denied = decide_status(403, Body.API_ERROR, hresult=HRESULT_DATABASE, error_message="Forbidden", now=NOW)
    assert not denied.may_have_deleted
    assert decide_status(403, Body.API_ERROR, hresult=-1, error_message="?", now=NOW).may_have_deleted


@given(st.floats(0, 1e6))
def test_letting_the_portal_finish_takes_as_long_as_the_call_within_bounds(elapsed_s: float) -> None:
    failure = decide_status(504, Body.HTML, now=NOW, elapsed_s=elapsed_s)
    assert failure.settle_s == min(max(elapsed_s, 5), 60)
    assert decide_status(503, Body.EMPTY, now=NOW, elapsed_s=elapsed_s).settle_s == 0


def test_a_call_that_only_reads_never_deleted_anything() -> None:
    for rule in STATUS_TABLE:
        failure = decide_status(rule.statuses[0], Body.TEXT, now=NOW, elapsed_s=9, deleting=False)
        assert (failure.may_have_deleted, failure.settle_s) == (False, 0)
    assert not decide_exception(TimeoutError(), deleting=False).may_have_deleted
    assert not decide_flaw(Flaw.FOREIGN_ID, deleting=False).may_have_deleted


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_retry_after_is_passed_on(status: int) -> None:
    assert decide_status(status, Body.EMPTY, retry_after="7", now=NOW).retry_after_s == 7
    assert decide_status(status, Body.EMPTY, retry_after="later", now=NOW).retry_after_s is None


def test_time_outs_and_oversize_shrink_the_batch() -> None:
    for status in (408, 413, 504):
        assert decide_status(status, Body.HTML, now=NOW).shrink
    assert decide_exception(TimeoutError()).shrink
    assert not decide_status(429, Body.EMPTY, now=NOW).shrink


def test_a_message_never_repeats_what_the_library_says_about_the_address() -> None:
    error = aiohttp.ClientOSError(111, "Connect call failed ('10.1.2.3', 443)")
    message = decide_exception(error).message
    assert "10.1.2.3" not in message
    assert os.strerror(111) in message
    assert "secret.example" not in decide_exception(aiohttp.InvalidURL("http://secret.example")).message
