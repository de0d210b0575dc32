"""The ceiling: coroutines over an ID range, no queue, no records. Run as `python -m bench.bare_loop LOAD FORM`.

FORM `msgspec` decodes the answer into a struct that has only the ID, on uvloop: the fastest we have seen an aiohttp
client go. FORM `json` is the same loop with `response.json()` on the standard event loop. Both read every body in full
and compare its IDs with those of the request.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
import uvloop

from bench.load import Load
from bench.script import run_script

_PUT_PATH = "/api/2.0/crm/contact?fields=id"
_JSON_HEADERS = {"Content-Type": "application/json"}


class _Contact(msgspec.Struct, gc=False):
    id: int


class _Envelope(msgspec.Struct, gc=False):
    status: int
    response: list[_Contact]


_decoder = msgspec.json.Decoder(_Envelope)


async def _put_msgspec(session: aiohttp.ClientSession, ids: list[int]) -> set[int]:
    data = msgspec.json.encode({"contactids": ids})
    async with session.put(_PUT_PATH, data=data, headers=_JSON_HEADERS) as response:
        response.raise_for_status()
        return {contact.id for contact in _decoder.decode(await response.read()).response}


async def _put_json(session: aiohttp.ClientSession, ids: list[int]) -> set[int]:
    async with session.put(_PUT_PATH, json={"contactids": ids}) as response:
        response.raise_for_status()
        return {contact["id"] for contact in (await response.json())["response"]}


async def _delete_all(load: Load, put: Callable[[aiohttp.ClientSession, list[int]], Awaitable[set[int]]]) -> None:
    ids = load.ids
    starts = iter(range(0, len(ids), load.batch))

    async def lane() -> None:
        for start in starts:
            batch = list(ids[start : start + load.batch])
            if await put(session, batch) != set(batch):
                raise RuntimeError("the portal did not delete exactly what it was asked to")

    connector = aiohttp.TCPConnector(limit=load.concurrency)
    async with aiohttp.ClientSession(load.portal_url, connector=connector) as session, asyncio.TaskGroup() as lanes:
        for _ in range(load.concurrency):
            lanes.create_task(lane())


def _msgspec_on_uvloop(load: Load) -> None:
    uvloop.run(_delete_all(load, _put_msgspec))


def _json_on_asyncio(load: Load) -> None:
    asyncio.run(_delete_all(load, _put_json))


if __name__ == "__main__":
    run_script({"msgspec": _msgspec_on_uvloop, "json": _json_on_asyncio}[sys.argv[2]])
