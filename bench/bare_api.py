"""Bare aiohttp handlers that answer with as many bytes as the API does: the yardstick for `bench api` and `reading`.

Run as `python -m bench.bare_api JOB_BYTES [LEDGER_BYTES [EVENT_BYTES EVERY_S]]`.
"""

import asyncio
import sys

import uvloop
from aiohttp import web

_PIECE = 65_536


def _job(size: int) -> web.RouteDef:
    body = b"x" * size

    async def handler(request: web.Request) -> web.Response:  # noqa: ARG001  # the same answer for all
        return web.Response(body=body, content_type="application/json")

    return web.get("/v1/jobs/{job_id}", handler)


def _ledger(size: int) -> web.RouteDef:
    piece = b"x" * _PIECE

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, size, _PIECE):
            await response.write(piece[: size - start])
        return response

    return web.get("/v1/jobs/{job_id}/results", handler)


def _events(size: int, every_s: float) -> web.RouteDef:
    event = b"event: job\n" + b"x" * (size - 13) + b"\n\n"

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(event)
            await asyncio.sleep(every_s)

    return web.get("/v1/jobs/{job_id}/events", handler)


async def _serve(job_bytes: int, ledger_bytes: int = 0, event_bytes: int = 100, every_s: float = 1.0) -> None:
    app = web.Application()
    app.add_routes([_job(job_bytes), _ledger(ledger_bytes), _events(event_bytes, every_s)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"listening on http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, job_bytes, *more = sys.argv
    sizes = [int(size) for size in more[:2]]
    uvloop.run(_serve(int(job_bytes), *sizes, *map(float, more[2:])))
