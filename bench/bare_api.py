"""A bare aiohttp handler that answers each poll with as many bytes as a job has: the yardstick for `bench api`."""

import asyncio
import sys

import uvloop
from aiohttp import web


async def _serve(body: bytes) -> None:
    async def handler(request: web.Request) -> web.Response:  # noqa: ARG001  # the same answer for all
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/jobs/{job_id}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"listening on http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(b"x" * int(sys.argv[1])))
