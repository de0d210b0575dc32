"""A PUT leaves while its lane still has the batch, or not at all: its contacts may be looked up soon after."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from bench.forwarder import forwarding, listening
from config.portal import Portal
from tests.support.authority import Authority
from tests.support.cut_off import cut_off, needs_filters, reconnect
from tests.support.raw_portal import delete_all, raw_portal
from worker import exchange
from worker.dispatch import INTERRUPTED
from worker.fleet import RESCUE_SETTLE_S
from worker.portal_answers import Deleted, Failure
from worker.portal_client import NOT_SENT, PortalClient
from worker.token_store import LocalTokenStore


def client_of(portal: Portal) -> PortalClient:
    async def pace() -> None:
        pytest.fail("a configured token needs no further request")

    return PortalClient(portal, LocalTokenStore(), pace)


async def test_a_lane_that_loses_its_batch_while_it_connects_sends_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    connecting, goes_on = asyncio.Event(), asyncio.Event()
    holds_lease = True

    async def may_send() -> bool:
        return holds_lease

    async with raw_portal(delete_all, tls=authority.server()) as portal:

        async def slowly() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            connecting.set()
            await goes_on.wait()
            return await asyncio.open_connection("127.0.0.1", int(portal.url.rpartition(":")[2]))

        async with forwarding(slowly) as front:
            url = f"https://127.0.0.1:{front.port}"
            client = client_of(portal.config().model_copy(update={"url": url, "tls_ca_file": authority.file}))
            call = asyncio.create_task(client.delete([1, 2], may_send=may_send))
            await connecting.wait()  # from here on it waits for the handshake, as if packets were lost
            holds_lease = False
            goes_on.set()
            assert await call == NOT_SENT
            holds_lease = True
            assert isinstance(await client.delete([3], may_send=may_send), Deleted)
            await client.close()
        assert [request.body for request in portal.requests] == [b'{"contactids":[3]}']


@needs_filters
async def test_a_put_that_the_network_held_back_does_not_arrive_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "UNACKNOWLEDGED_S", 0.5)
    heard, accepted = asyncio.Queue[bytes](), asyncio.Queue[socket.socket]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(writer.get_extra_info("socket"))
        while data := await reader.read(1 << 16):
            heard.put_nowait(data)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        heard.put_nowait(b"")

    async with listening(serve) as port:
        portal = Portal.model_validate({"name": "main", "url": f"http://127.0.0.1:{port}", "token": "the-token"})
        client = client_of(portal)
        await client.delete([1])
        assert await heard.get()
        server_side = await accepted.get()
        cut_off(server_side)
        started_s = time.monotonic()
        lost = await client.delete([2])
        assert time.monotonic() - started_s < portal.request_timeout_s / 10
        assert isinstance(lost, Failure)
        assert (lost.reason, lost.may_have_deleted) == ("connection_lost", True)
        reconnect(server_side)
        # Without an end to it, the kernel would have sent it once more by the time that another call is answered.
        await asyncio.sleep(1.0)
        assert heard.empty() or not await heard.get()
        await client.close()


def test_what_was_in_flight_is_looked_up_only_when_it_can_no_longer_arrive() -> None:
    assert RESCUE_SETTLE_S >= exchange.UNACKNOWLEDGED_S + 5
    assert INTERRUPTED.settle_s >= exchange.UNACKNOWLEDGED_S + 5
