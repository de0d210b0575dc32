"""What the client sends, and what it makes of whole answers."""

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.raw_portal import Behave, RawPortal, answer, delete_all, error, listing, raw_portal, rights, sending
from worker import portal_client
from worker.portal_answers import Deleted, Failure, LookedUp, Remedy, Visible
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

HTML = "<!DOCTYPE html><html><body>Welcome</body></html>"


class Pace:
    """A counter of the turns that were asked for."""

    def __init__(self) -> None:
        self.turns = 0

    async def __call__(self) -> None:
        self.turns += 1


@asynccontextmanager
async def client_of(
    *script: Behave, pace: Callable[[], Awaitable[None]] | None = None, **settings: object
) -> AsyncIterator[tuple[PortalClient, RawPortal]]:
    async with raw_portal(*script) as portal:
        client = PortalClient(portal.config(**settings), LocalTokenStore(), pace or Pace())
        try:
            yield client, portal
        finally:
            await client.close()


async def failure_of(*script: Behave) -> Failure:
    async with client_of(*script) as (client, portal):
        outcome = await client.delete([1, 2, 3])
        assert isinstance(outcome, Failure)
        assert len(portal.requests) == 1
        return outcome


async def test_a_delete_is_one_put_with_the_ids_the_token_and_nothing_else() -> None:
    pace = Pace()
    async with client_of(delete_all, pace=pace) as (client, portal):
        outcome = await client.delete([3, 1, 2])
    assert outcome == Deleted(frozenset({1, 2, 3}), unlisted_doubtful=False, http_status=200)
    [request] = portal.requests
    assert (request.method, request.target) == ("PUT", "/api/2.0/crm/contact?fields=id")
    assert request.body == b'{"contactids":[3,1,2]}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "the-token"
    assert request.headers["user-agent"] == f"crm-sweep/{importlib.metadata.version('crm-sweep')}"
    assert "cookie" not in request.headers
    assert pace.turns == 0


async def test_the_bearer_scheme_puts_the_word_before_the_token() -> None:
    async with client_of(delete_all, auth_scheme="bearer") as (client, portal):
        await client.delete([1])
    assert portal.requests[0].headers["authorization"] == "Bearer the-token"


async def test_a_cookie_is_never_sent_back() -> None:
    setting = answer(200, listing([1]), {"Set-Cookie": "asc_auth_key=other; path=/"})
    async with client_of(setting) as (client, portal):
        await client.delete([1])
        await client.delete([1])
    assert "cookie" not in portal.requests[1].headers


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w", encoding="ascii") as file:  # noqa: ASYNC230, PTH123 -- before anything runs
        file.write("default login someone password else\n")
    monkeypatch.setenv("NETRC", netrc)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with client_of(delete_all) as (client, portal):
        assert isinstance(await client.delete([1]), Deleted)
    assert portal.requests[0].headers["authorization"] == "the-token"


async def test_what_is_not_listed_is_not_deleted() -> None:
    async with client_of(answer(200, listing([2]))) as (client, _):
        outcome = await client.delete([1, 2, 3])
    assert outcome == Deleted(frozenset({2}), unlisted_doubtful=False, http_status=200)


async def test_an_empty_list_is_nothing_deleted() -> None:
    async with client_of(answer(200, listing([]))) as (client, _):
        outcome = await client.delete([1, 2, 3])
    assert outcome == Deleted(frozenset(), unlisted_doubtful=False, http_status=200)


@pytest.mark.parametrize("counts", [{"count": 3}, {"total": 5}, {"count": 1, "total": 3}, {"startIndex": 1}])
async def test_counts_beyond_the_list_make_the_unlisted_doubtful(counts: dict[str, object]) -> None:
    async with client_of(answer(200, listing([2], **counts))) as (client, _):
        outcome = await client.delete([1, 2, 3])
    assert isinstance(outcome, Deleted)
    assert (outcome.listed, outcome.unlisted_doubtful) == ({2}, True)


async def test_an_id_listed_twice_is_deleted_once() -> None:
    async with client_of(answer(200, listing([2, 2, 1]))) as (client, _):
        outcome = await client.delete([1, 2, 3])
    assert isinstance(outcome, Deleted)
    assert outcome.listed == {1, 2}


async def test_an_id_that_was_not_sent_stops_the_job() -> None:
    failure = await failure_of(answer(200, listing([1, 4])))
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.STOP, "portal_protocol", True)


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        "",
        "OK",
        "[]",
        '[{"id":1}]',
        '{"count":1,"status":0,"response":[{"id":1}',
        '{"status":0,"response":[{"id":1.0}],"count":1}',
        '{"status":1,"statusCode":500,"error":{"message":"x","hresult":-1,"data":{}}}',
        b"\x1f\x8b\x08\x00\x00",
        '{"count":1,"status":0,"response":[{"id":1}]}'.encode("utf-16"),
    ],
)
async def test_a_200_that_is_no_envelope_leaves_everything_open(body: str | bytes) -> None:
    failure = await failure_of(answer(200, body))
    assert (failure.action, failure.may_have_deleted) == (Remedy.RETRY, True)
    assert failure.reason in {"answer_garbled", "portal_error"}
    assert failure.http_status == 200


async def test_several_strange_answers_in_a_row_are_a_wrong_address() -> None:
    async with client_of(answer(200, HTML)) as (client, _):
        outcomes = [await client.delete([1]), await client.look_up([1]), await client.delete([1])]
    assert [outcome.action for outcome in outcomes if isinstance(outcome, Failure)] == [
        Remedy.RETRY,
        Remedy.RETRY,
        Remedy.STOP,
    ]
    assert isinstance(outcomes[2], Failure)
    assert outcomes[2].reason == "portal_protocol"


@pytest.mark.parametrize("sane", [answer(200, listing([])), error(500)])
async def test_an_answer_of_the_api_in_between_proves_the_address(sane: Behave) -> None:
    strange = answer(200, HTML)
    async with client_of(strange, strange, sane, strange, strange) as (client, _):
        outcomes = [await client.delete([1]) for _ in range(5)]
    assert not any(isinstance(each, Failure) and each.action is Remedy.STOP for each in outcomes)


async def test_a_redirect_is_never_followed_and_says_what_to_change() -> None:
    failure = await failure_of(answer(301, "", {"Location": "https://crm.example.com/"}))
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.STOP, "portal_protocol", False)
    assert "https" in failure.message


async def test_retry_after_of_a_throttled_call_is_passed_on() -> None:
    failure = await failure_of(answer(429, "", {"Retry-After": "3"}))
    assert (failure.action, failure.reason, failure.retry_after_s) == (Remedy.SLOW_DOWN, "rate_limit", 3)
    assert not failure.may_have_deleted


async def test_several_headers_and_the_portals_own_clock_are_heeded() -> None:
    """The portal is an hour behind and names a moment by its own clock; a gateway adds a header of its own."""
    headers = "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nRetry-After: Mon, 23 Nov 2026 12:01:00 GMT\r\nRetry-After: 45\r\n"
    failure = await failure_of(sending(f"HTTP/1.1 503 X\r\n{headers}Content-Length: 0\r\n\r\n".encode()))
    assert failure.retry_after_s == 60


async def test_a_refused_token_that_cannot_be_renewed_stops_immediately() -> None:
    failure = await failure_of(answer(401, "Unauthorized", {"Content-Type": "text/html"}))
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.STOP, "portal_auth", False)
    assert "the-token" not in str(failure)


@pytest.mark.parametrize("ids", [[], [0], [True], list(range(1, 1002))])
async def test_a_list_that_the_portal_would_reject_is_never_sent(ids: list[int]) -> None:
    async with client_of(delete_all) as (client, portal):
        with pytest.raises(ValueError, match="expected"):
            await client.delete(ids)
    assert portal.requests == []


async def test_a_look_up_tells_the_visible_contacts_apart() -> None:
    shown = {1: (True, True), 2: (False, False), 3: (True, False)}
    async with client_of(answer(200, rights(shown))) as (client, portal):
        outcome = await client.look_up([1, 2, 3, 4])
    assert outcome == LookedUp(
        {1: Visible.DELETABLE, 2: Visible.READ_ONLY, 3: Visible.HAS_INVOICE}, [1, 2, 3, 4], http_status=200
    )
    [request] = portal.requests
    assert request.method == "GET"
    assert request.target == (
        "/api/2.0/crm/contact/mail?fields=id,canEdit,canDelete&contactids=1&contactids=2&contactids=3&contactids=4"
    )


@pytest.mark.parametrize(
    "body",
    [
        rights({1: (True, True)}, count=2),
        rights({}, count=1),
        listing([1]),
        rights({9: (True, True)}),
        {"status": 0, "response": None},
        {"status": 1, "response": []},
        HTML,
    ],
)
async def test_a_look_up_that_does_not_hold_together_is_never_absence(body: dict[str, object] | str) -> None:
    async with client_of(answer(200, body)) as (client, _):
        outcome = await client.look_up([1, 2])
    assert isinstance(outcome, Failure)
    assert not outcome.may_have_deleted


async def test_a_look_up_asks_only_about_what_fits_into_the_request_line() -> None:
    ids = list(range(1_000_000_000, 1_000_000_500))
    async with client_of(answer(200, rights({})), lookup_url_max_chars=2000) as (client, portal):
        fitting = client.look_up_capacity(ids)
        outcome = await client.look_up(ids)
    assert isinstance(outcome, LookedUp)
    assert list(outcome.asked) == ids[:fitting]
    assert 1900 < len(portal.requests[0].target) <= 2000


async def test_the_path_of_the_base_address_counts_towards_the_request_line() -> None:
    ids = list(range(1_000_000_000, 1_000_000_500))
    async with raw_portal(answer(200, rights({}))) as portal:
        portal.url += "/" + "p" * 300
        client = PortalClient(portal.config(lookup_url_max_chars=1000), LocalTokenStore(), Pace())
        await client.look_up(ids)
        await client.close()
    assert portal.requests[0].target.startswith("/ppp")
    assert 950 < len(portal.requests[0].target) <= 1000


async def test_a_request_line_that_is_too_long_is_halved() -> None:
    ids = list(range(1_000_000_000, 1_000_000_500))
    async with client_of(answer(414, HTML), answer(200, rights({}))) as (client, portal):
        before = client.look_up_capacity(ids)
        failure = await client.look_up(ids)
        assert isinstance(failure, Failure)
        assert (failure.action, failure.may_have_deleted) == (Remedy.RETRY, False)
        assert client.look_up_capacity(ids) < before * 0.6
        assert isinstance(await client.look_up(ids), LookedUp)
    assert len(portal.requests[1].target) <= len(portal.requests[0].target) / 2


async def test_halving_the_request_line_comes_to_an_end() -> None:
    async with client_of(answer(414, HTML)) as (client, _):
        outcomes = [await client.look_up(list(range(1_000_000_000, 1_000_000_500))) for _ in range(10)]
    assert isinstance(outcomes[-1], Failure)
    assert outcomes[-1].action is Remedy.SPLIT


async def test_an_old_portal_without_bulk_look_up_is_asked_one_by_one() -> None:
    one = rights({5: (True, False)}, response={"id": 5, "canEdit": True, "canDelete": False})
    async with client_of(answer(404, HTML), answer(200, one), error(404, "Not found")) as (client, portal):
        failure = await client.look_up([5, 6])
        assert isinstance(failure, Failure)
        assert (failure.action, failure.may_have_deleted) == (Remedy.RETRY, False)
        assert client.look_up_capacity([5, 6]) == 1
        assert await client.look_up([5, 6]) == LookedUp({5: Visible.HAS_INVOICE}, [5], http_status=200)
        assert await client.look_up([6]) == LookedUp({}, [6], http_status=404)
    assert portal.requests[1].target == "/api/2.0/crm/contact/5?fields=id,canEdit,canDelete"


@pytest.mark.parametrize("status", [400, 404])
async def test_a_long_line_is_blamed_before_the_portal_is_taken_for_an_old_one(status: int) -> None:
    ids = list(range(1_000_000_000, 1_000_000_300))
    async with client_of(answer(status, HTML), answer(200, rights({}))) as (client, portal):
        failure = await client.look_up(ids)
        assert isinstance(failure, Failure)
        assert failure.action is Remedy.RETRY
        assert isinstance(await client.look_up(ids), LookedUp)
    assert len(portal.requests[1].target) <= 2000
    assert "contactids" in portal.requests[1].target


async def test_neither_look_up_there_is_a_wrong_address() -> None:
    async with client_of(answer(404, HTML)) as (client, _):
        await client.look_up([5])
        failure = await client.look_up([5])
        assert isinstance(failure, Failure)
        assert (failure.action, failure.reason) == (Remedy.STOP, "portal_protocol")
        assert client.look_up_capacity([5, 6]) == 2


async def test_an_unknown_portal_is_never_absence() -> None:
    async with client_of(answer(404, "")) as (client, _):
        failure = await client.look_up([5])
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason) == (Remedy.STOP, "portal_protocol")


async def test_a_failed_single_look_up_does_not_bring_the_bulk_one_back() -> None:
    async with client_of(answer(404, HTML), error(500)) as (client, _):
        await client.look_up([5, 6])
        assert isinstance(await client.look_up([5, 6]), Failure)
        assert client.look_up_capacity([5, 6]) == 1


async def test_check_is_content_with_a_portal_that_answers() -> None:
    async with client_of(answer(200, rights({}))) as (client, portal):
        assert await client.check() is None
    assert [request.method for request in portal.requests] == ["GET"]


async def test_check_is_content_with_an_old_portal() -> None:
    async with client_of(answer(404, HTML), error(404, "Not found")) as (client, _):
        assert await client.check() is None


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (answer(200, HTML), "portal_protocol"),
        (answer(404, HTML), "portal_protocol"),
        (answer(401, "Unauthorized"), "portal_auth"),
        (answer(402, ""), "portal_payment"),
        (error(403, "Forbidden"), "portal_forbidden"),
        (answer(503, ""), "push_back"),
    ],
)
async def test_check_says_what_is_wrong(behave: Behave, reason: str) -> None:
    async with client_of(behave) as (client, _):
        failure = await client.check()
    assert failure is not None
    assert failure.reason == reason


async def test_an_xml_portal_is_sent_xml_and_read_as_xml() -> None:
    head = '<?xml version="1.0" encoding="utf-8"?>'
    deleted = f"{head}<result><count>2</count><status>0</status><statusCode>200</statusCode>"
    deleted += "<response><id>1</id></response><response><id>3</id></response></result>"
    shown = f"{head}<result><count>1</count><status>0</status><statusCode>200</statusCode>"
    shown += "<response><canEdit>true</canEdit><canDelete>False</canDelete><id>2</id></response></result>"
    async with client_of(answer(200, deleted), answer(200, shown), answer_format="xml") as (client, portal):
        assert await client.delete([1, 2, 3]) == Deleted(frozenset({1, 3}), unlisted_doubtful=False, http_status=200)
        assert await client.look_up([2]) == LookedUp({2: Visible.HAS_INVOICE}, [2], http_status=200)
    put, get = portal.requests
    assert put.target == "/api/2.0/crm/contact.xml?fields=id"
    assert put.headers["content-type"] == "text/xml"
    assert b"<contactids>2</contactids>" in put.body
    assert get.target.startswith("/api/2.0/crm/contact/mail.xml?")
    assert "content-type" not in get.headers


async def test_an_answer_beyond_all_measure_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.exchange.MAX_ANSWER_BYTES", 100_000)
    failure = await failure_of(answer(200, b" " * 200_000))
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.RETRY, "answer_garbled", True)
    assert failure.shrink


async def test_calls_at_the_same_time_do_not_wait_for_one_another() -> None:
    together = asyncio.Barrier(8)

    async def behave(request: object, writer: asyncio.StreamWriter) -> None:
        await together.wait()
        await delete_all(request, writer)  # type: ignore[arg-type] # a Request, which this one does not use

    async with client_of(behave) as (client, _):
        outcomes = await asyncio.gather(*(client.delete([each]) for each in range(1, 9)))
    assert all(isinstance(each, Deleted) for each in outcomes)


def test_the_number_of_strange_answers_leaves_room_for_a_hiccup() -> None:
    assert portal_client.MAX_STRANGE_ANSWERS > 2
