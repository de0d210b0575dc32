"""A client of a running portal's truth and controls: see :mod:`simulator.truth_routes` for what stands behind each.

::

    async with connect("http://127.0.0.1:8400") as portal:
        await portal.behave(base_ms=0)
        assert len(await portal.contacts("deleted")) == 10
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import aiohttp
import msgspec
from pyroaring import BitMap

#: Contacts that one call describes.
_PIECE = 1000


class Refused(Exception):
    """The portal does not understand a control call; the message has its reason."""


class SimulatorClient:
    """Asks what really happened, and says what is to happen.

    Args:
        url: the address below which ``/truth/`` is.
        session: a session with that address as its base.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def summary(self) -> dict[str, Any]:
        """Return counts of everything."""
        summary: dict[str, Any] = await self._read("summary")
        return summary

    async def contacts(self, name: str) -> BitMap:
        """Return one of the sets of contact IDs, by name: `existed`, `alive`, `deleted`."""
        return BitMap.deserialize(await self._call("GET", f"contacts/{name}?format=roaring"))

    async def describe(self, contact_ids: Iterable[int]) -> list[dict[str, Any]]:
        """Return what some contacts are like, or were when they were deleted: their attributes and rights."""
        described: list[dict[str, Any]] = []
        remaining = iter(contact_ids)
        while piece := list(islice(remaining, _PIECE)):
            page = await self._read(f"contacts?ids={','.join(map(str, piece))}")
            described += page["contacts"]
        return described

    async def describe_all(self, since_id: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield what every contact after an ID is like that exists now, in ascending order of ID."""
        next_since_id: int | None = since_id
        while next_since_id is not None:
            page = await self._read(f"contacts?since_id={next_since_id}&count={_PIECE}")
            for described in page["contacts"]:
                yield described
            next_since_id = page["next_since_id"]

    async def records(self, contact_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return full records by ID, of deleted contacts as they were at their deletion; see `simulator.records`."""
        found: dict[int, dict[str, Any]] = {}
        remaining = iter(contact_ids)
        while piece := list(islice(remaining, _PIECE)):
            body = msgspec.json.encode({"ids": piece})
            page = msgspec.json.decode(await self._call("POST", "records", body))
            found |= {record["id"]: record for record in page}
        return found

    async def all_records(self, of: str = "alive") -> AsyncIterator[dict[str, Any]]:
        """Yield the full records of all contacts that are `alive`, or `deleted`, in ascending order of ID."""
        async with self._session.get(f"/truth/records?of={of}") as answer:
            answer.raise_for_status()
            async for line in answer.content:
                yield msgspec.json.decode(line)

    async def creations(self, since_id: int = 0) -> list[dict[str, Any]]:
        """Return which call created which contact, for IDs after one; `answer_lost` if its caller cannot know."""
        creations: list[dict[str, Any]] = await self._read(f"creations?since_id={since_id}")
        return creations

    async def creation(self, contact_id: int) -> dict[str, Any] | None:
        """Return which call created a contact and whether its answer was lost; None if no call created it."""
        found: list[dict[str, Any]] = await self._read(f"creations?ids={contact_id}")
        return found[0] if found else None

    async def select(self, **members: Any) -> BitMap:
        """Return the contacts that match a filter as it is meant; see :func:`simulator.oracle.select`."""
        body = msgspec.json.encode(members)
        return BitMap.deserialize(await self._call("POST", "select?format=roaring", body))

    async def edits(self, since: int = 0) -> list[dict[str, Any]]:
        """Return every edit of a contact from outside after a number: its `kind`, `contact_id`, `value` and time."""
        edits: list[dict[str, Any]] = await self._read(f"edits?since={since}")
        return edits

    async def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Return every call after a number, without its contact IDs.

        `monotonic_s` is on the clock that all processes of a machine share.
        """
        calls: list[dict[str, Any]] = await self._read(f"requests?since={since}")
        return calls

    async def call(self, number: int) -> dict[str, Any]:
        """Return one call with the contact IDs that it held, that it deleted and that its answer listed."""
        call: dict[str, Any] = await self._read(f"requests/{number}")
        return call

    async def wait(self, timeout_s: float = 30.0, **wanted: int) -> None:
        """Wait until so many deletions have `arrived`, were `answered` or `committed`, contacts `deleted`, or `edits`.

        Contacts that calls `created` can be waited for as well.

        Raises:
            TimeoutError: it did not happen in time.
        """
        query = "&".join(f"{name}={count}" for name, count in wanted.items())
        async with self._session.get(f"/truth/wait?kind=delete&timeout_s={timeout_s}&{query}") as answer:
            if answer.status == 408:
                raise TimeoutError(f"the portal did not see {wanted} within {timeout_s:.0f} s")
            answer.raise_for_status()

    async def reset(self, **world: Any) -> None:
        """Begin a new world; see :class:`simulator.changes.NewWorld`."""
        await self._write("reset", world)

    async def behave(self, **switches: Any) -> None:
        """Change switches; see :class:`simulator.behaviour.Behaviour`."""
        await self._write("behaviour", switches)

    async def change_world(self, **changes: Any) -> None:
        """Change contacts from outside; see :class:`simulator.changes.Changes`."""
        await self._write("world", changes)

    async def misbehave(self, *rules: dict[str, Any]) -> None:
        """Add fault rules; see :class:`simulator.faults.Fault`."""
        await self._write("faults", rules)

    async def clear_faults(self) -> list[dict[str, Any]]:
        """Drop every fault rule and return them, with how often each has struck."""
        rules: list[dict[str, Any]] = await self._read("faults")
        await self._call("DELETE", "faults")
        return rules

    async def log_out_everywhere(self) -> None:
        """End every session."""
        await self._write("log-out-everywhere", {})

    async def _read(self, path: str) -> Any:
        return msgspec.json.decode(await self._call("GET", path))

    async def _write(self, path: str, value: object) -> None:
        await self._call("POST", path, msgspec.json.encode(value))

    async def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        async with self._session.request(method, f"/truth/{path}", data=body) as answer:
            content = await answer.read()
            if answer.status != 200:
                raise Refused(f"the simulated portal refused {method} {path}: {content.decode(errors='replace')}")
            return content


@asynccontextmanager
async def connect(url: str, timeout_s: float = 60.0) -> AsyncIterator[SimulatorClient]:
    """Open a client of the portal whose ``/truth/`` is below an address.

    Args:
        url: the address, without ``/truth``.
        timeout_s: the longest that any call may take.
    """
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
        yield SimulatorClient(url, session)
