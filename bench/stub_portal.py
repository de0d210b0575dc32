"""A portal that costs next to nothing: what the benchmarks delete contacts from.

It answers every `PUT /api/2.0/crm/contact` with all the IDs of the request, after a configurable latency and with
bounded concurrency, and counts. It is a raw `asyncio.Protocol` and builds its answer with `bytes.replace` on the
request's own ID list, because a stand-in that costs as much as its clients would measure itself. It checks nothing: for
a portal that behaves like the real one, see `simulator/`.

    PUT  /api/2.0/crm/contact             every ID "deleted"; an element is {"id":101}, or padded (`--element-bytes`)
    GET  /api/2.0/crm/contact/mail        an empty envelope: no contact is left
    GET  /api/2.0/crm/contact/filter      a page of contacts 1..N (`--listing`) in ascending order, whatever was deleted
    POST /api/2.0/authentication          201 and a token; no call checks it
    GET  /stats[?until=N]                 the counters; with `until`, only once N contacts have been answered
    POST /reset                           counters back to zero

Run as `python -m bench.stub_portal --base-ms 50 --per-contact-ms 2 --concurrency 8`; prints its address and serves
until terminated.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import uvloop

# A contact as the portal lists it, without its ID. Many small fields, because few long strings would be parsed faster.
_FIELDS_BEFORE_NAME = b'"isCompany":false,"isPrivate":true,"isShared":false,"shareType":0,"displayName":"'
_FIELDS_AFTER_NAME = (
    b'","currency":{"title":"US Dollar","symbol":"$","abbreviation":"USD","cultureName":"US","isConvertable":true,'
    b'"isBasic":true},"canEdit":true,"canDelete":true,'
    rb'"smallFotoUrl":"\/products\/crm\/images\/empty_people_40.png",'
    rb'"mediumFotoUrl":"\/products\/crm\/images\/empty_people_82.png",'
    rb'"accessList":[{"id":"6a2f1c9e-9d0b-4d5e-8a3b-1f0c2d4e5f60","displayName":"Ann Lee","avatarSmall":'
    rb'"\/skins\/default\/images\/user_32.png","profileUrl":"\/products\/people\/profile.aspx?user=ann.lee"}],"id":'
)
# A contact as the portal lists it, without its ID.
_LISTED_HEAD = (
    b'{"displayName":"Contact of a usual name","isCompany":false,"isPrivate":false,"isShared":true,"shareType":1,'
    b'"currency":null,"canEdit":true,"canDelete":true,"created":"2010-01-01T12:00:00.0000000+00:00","about":"",'
    b'"commonData":[{"id":1,"infoType":1,"category":1,"data":"somebody@example.com","isPrimary":true}],'
    rb'"customFields":[],"smallFotoUrl":"\/products\/crm\/images\/empty_people_40.png",'
    b'"haveLateTasks":false,"tags":["trash"],"id":'
)
_MOST_LISTED = 1000
_COPY_BELOW_BYTES = 128 * 1024  # below, one copy costs less than a gathering write; above, fresh pages cost more
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n"
_EMPTY_ENVELOPE = b'{"status":0,"statusCode":200,"response":[]}'
_TOKEN = (
    b'{"count":1,"status":0,"statusCode":201,"response":{"token":"bench","expires":"2099-01-01T00:00:00.0000000Z"}}'
)


@dataclass(frozen=True)
class Latency:
    """How long the portal works on a batch of n contacts: `base_ms + per_contact_ms * n`."""

    base_ms: float = 0.0
    per_contact_ms: float = 0.0

    def of(self, contacts: int) -> float:
        """Return the seconds for a batch of this many contacts."""
        return (self.base_ms + self.per_contact_ms * contacts) / 1000


@dataclass
class Counters:
    """What the portal has answered. Times are `time.monotonic()`, which all processes of a Linux machine share."""

    contacts: int = 0
    puts: int = 0
    in_flight_max: int = 0
    first_put_at: float | None = None
    last_contact_at: float | None = None
    distinct: set[int] | None = None

    def as_json(self) -> bytes:
        """Return the body of `GET /stats`; `distinct` is null unless the IDs are tracked."""
        return json.dumps(
            {
                "contacts": self.contacts,
                "puts": self.puts,
                "in_flight_max": self.in_flight_max,
                "first_put_at": self.first_put_at,
                "last_contact_at": self.last_contact_at,
                "distinct": None if self.distinct is None else len(self.distinct),
                "cpu_s": time.process_time(),
            }
        ).encode()


@dataclass
class Portal:
    """The state that all connections share: counters, the slots in use and the queue for them."""

    latency: Latency
    concurrency: int  # batches worked on at the same time; 0 is unlimited
    element_bytes: int  # size of one contact in the answer; 0 is only the ID
    track_ids: bool = False  # also count distinct IDs, which costs as much as a client
    listing: int = 0  # contacts that it lists
    counters: Counters = field(default_factory=Counters)
    _in_flight: int = 0
    _waiting: deque[tuple["Connection", bytes, int]] = field(default_factory=deque)
    _watchers: list[tuple[int, "Connection"]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # One answer is the ID list with every comma replaced by "end of this element, start of the next one".
        if self.element_bytes:
            fixed = len(b"{" + _FIELDS_BEFORE_NAME + _FIELDS_AFTER_NAME + b"123456}")
            name = b"Contact of a usual name".ljust(max(0, self.element_bytes - fixed), b".")
            self._head = b"{" + _FIELDS_BEFORE_NAME + name + _FIELDS_AFTER_NAME
        else:
            self._head = b'{"id":'
        self._between = b"}," + self._head
        self.reset()

    def reset(self) -> None:
        """Reset the counters."""
        self.counters = Counters(distinct=set() if self.track_ids else None)

    def put(self, connection: "Connection", body: bytes) -> None:
        """Take one batch; it is answered once it has held a slot for the time of its latency."""
        ids = body[body.index(b"[") + 1 : body.rindex(b"]")].replace(b" ", b"")
        contacts = ids.count(b",") + 1 if ids else 0
        if self.counters.first_put_at is None:
            self.counters.first_put_at = time.monotonic()
        if self.concurrency and self._in_flight >= self.concurrency:
            self._waiting.append((connection, ids, contacts))
        else:
            self._start(connection, ids, contacts)

    def list_page(self, connection: "Connection", start: int, count: int) -> None:
        """Answer with a page of the listing."""
        count = max(0, min(count, _MOST_LISTED, self.listing - start))
        ids = b",".join(b"%d" % contact_id for contact_id in range(start + 1, start + count + 1))
        more = start + count < self.listing
        paging = b'"startIndex":%d,' % start if start else b""
        paging += b'"nextIndex":%d,' % (start + count + 1) if more else b""
        opening = b'{"count":%d,%b"total":%d,"status":0,"statusCode":200,"response":[' % (count, paging, self.listing)
        listed = (_LISTED_HEAD + ids.replace(b",", b"}," + _LISTED_HEAD) + b"}") if ids else b""
        connection.answer(opening, listed, b"]}")

    def watch(self, connection: "Connection", contacts: int) -> None:
        """Answer with the counters once that many contacts have been answered."""
        self._watchers.append((contacts, connection))
        self._notify()

    def _start(self, connection: "Connection", ids: bytes, contacts: int) -> None:
        self._in_flight += 1
        self.counters.in_flight_max = max(self.counters.in_flight_max, self._in_flight)
        latency_s = self.latency.of(contacts)
        if latency_s > 0:
            asyncio.get_running_loop().call_later(latency_s, self._finish, connection, ids, contacts)
        else:
            self._finish(connection, ids, contacts)

    def _finish(self, connection: "Connection", ids: bytes, contacts: int) -> None:
        self._in_flight -= 1
        if contacts:
            opening = b'{"count":%d,"status":0,"statusCode":200,"response":[%b' % (contacts, self._head)
            connection.answer(opening, ids.replace(b",", self._between), b"}]}")
        else:
            connection.answer(_EMPTY_ENVELOPE)
        counters = self.counters
        counters.contacts += contacts
        counters.puts += 1
        counters.last_contact_at = time.monotonic()
        if counters.distinct is not None:
            counters.distinct.update(map(int, ids.split(b",") if ids else ()))
        if self._watchers:
            self._notify()
        if self._waiting:
            self._start(*self._waiting.popleft())

    def _notify(self) -> None:
        due = [connection for contacts, connection in self._watchers if self.counters.contacts >= contacts]
        self._watchers = [watcher for watcher in self._watchers if self.counters.contacts < watcher[0]]
        for connection in due:
            connection.answer(self.counters.as_json())


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection; a request is answered before the next one is read (no pipelining)."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._buffer = bytearray()
        self._head_end = -1
        self._request_end = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # the event loop hands a stream transport to a stream protocol

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._request_end < 0:
            self._head_end = self._buffer.find(b"\r\n\r\n")
            if self._head_end < 0:
                return
            self._request_end = self._head_end + 4 + _content_length(bytes(self._buffer[: self._head_end]))
        if len(self._buffer) < self._request_end:
            return
        method, target = bytes(self._buffer[: self._buffer.index(b"\r\n")]).split(b" ", 2)[:2]
        body = bytes(self._buffer[self._head_end + 4 : self._request_end])
        del self._buffer[: self._request_end]
        self._request_end = -1
        self._route(method, target.decode("latin-1"), body)

    def answer(self, *body: bytes, status: bytes = b"200 OK") -> None:
        """Write one response, unless the client has gone; the parts of a large body are not copied together."""
        if self._transport is not None:
            size = sum(map(len, body))
            head = _HEAD % (status, size)
            if size < _COPY_BELOW_BYTES:
                self._transport.write(b"".join((head, *body)))
            else:
                self._transport.writelines([head, *body])

    def _route(self, method: bytes, target: str, body: bytes) -> None:
        url = urlsplit(target)
        match method, url.path:
            case b"PUT", "/api/2.0/crm/contact" | "/api/2.0/crm/contact.json":
                self._portal.put(self, body)
            case b"GET", "/api/2.0/crm/contact/mail" | "/api/2.0/crm/contact/mail.json":
                self.answer(_EMPTY_ENVELOPE)
            case b"GET", "/api/2.0/crm/contact/filter" | "/api/2.0/crm/contact/filter.json":
                asked = parse_qs(url.query)
                start, count = (int(asked.get(name, ["0"])[0]) for name in ("startIndex", "count"))
                self._portal.list_page(self, start, count)
            case b"POST", "/api/2.0/authentication" | "/api/2.0/authentication.json":
                self.answer(_TOKEN, status=b"201 Created")
            case b"GET", "/stats":
                until = parse_qs(url.query).get("until")
                self._portal.watch(self, int(until[0]) if until else 0)
            case b"POST", "/reset":
                self._portal.reset()
                self.answer(self._portal.counters.as_json())
            case _:
                self.answer(b"{}", status=b"404 Not Found")


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve(portal: Portal) -> None:
    """Serve on a free loopback port and print the address; return on SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    server = await loop.create_server(lambda: Connection(portal), "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.stub_portal", description="A portal that costs almost nothing."
    )
    parser.add_argument("--base-ms", type=float, default=0.0, help="latency of a batch, whatever its size")
    parser.add_argument("--per-contact-ms", type=float, default=0.0, help="latency that each contact adds")
    parser.add_argument("--concurrency", type=int, default=0, help="concurrent batches, the rest wait; 0 is unlimited")
    parser.add_argument("--element-bytes", type=int, default=0, help="size of a contact in the answer; 0: only the ID")
    parser.add_argument("--track-ids", action="store_true", help="count distinct IDs too (slow)")
    parser.add_argument("--listing", type=int, default=0, help="contacts that it lists, with the IDs from 1 on")
    options = parser.parse_args()
    latency = Latency(options.base_ms, options.per_contact_ms)
    portal = Portal(latency, options.concurrency, options.element_bytes, options.track_ids, options.listing)
    uvloop.run(serve(portal))


if __name__ == "__main__":
    main()
