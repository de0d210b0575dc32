"""Running a portal on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from simulator.behaviour import Behaviour
from simulator.faults import Fault
from simulator.front import PORTAL, serve
from simulator.portal import Portal
from simulator.replies import page
from simulator.sending import ConnectionEnd, send
from simulator.truth_contacts import routes as contact_routes
from simulator.truth_records import routes as record_routes
from simulator.truth_routes import explain_bad_input, routes
from simulator.world import World

#: Longest request line in bytes; larger than the portal's own limit, so that the portal's limit decides.
_MAX_LINE_SIZE = 1 << 22


@asynccontextmanager
async def running(
    world: World,
    behaviour: Behaviour | None = None,
    faults: list[Fault] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    truth_port: int | None = None,
) -> AsyncIterator[Portal]:
    """Run a portal in this process for as long as the context is open.

    Args:
        world: its contacts.
        behaviour: its switches; by default healthy and instant. Can be changed while it runs.
        faults: its fault rules.
        host: address to listen on.
        port: port to listen on; 0 for a free one.
        truth_port: port for ``/truth/`` alone, 0 for a free one; None for the same as the portal's.

    Yields:
        The portal, with its addresses, its truth and its controls.
    """
    portal = Portal(world, behaviour or Behaviour(), faults)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(portal.stop)
        stack.push_async_callback(_end, asyncio.create_task(portal.editor.run()))
        portal.url = await stack.enter_async_context(_listening(portal, host, port, truth=truth_port is None))
        truth_url = portal.url
        if truth_port is not None:
            truth_url = await stack.enter_async_context(_listening(portal, host, truth_port, truth=True, api=False))
        portal.truth_url = f"{truth_url}/truth"
        yield portal


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def _listening(portal: Portal, host: str, port: int, *, truth: bool, api: bool = True) -> AsyncIterator[str]:
    app = web.Application(middlewares=[explain_bad_input] if truth else [], client_max_size=0)
    app[PORTAL] = portal
    if api:
        app.router.add_route("*", "/api/2.0/{rest:.*}", serve)
    if truth:
        app.add_routes(routes)
        app.add_routes(contact_routes)
        app.add_routes(record_routes)
    app.router.add_route("*", "/{rest:.*}", _no_such_page)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=0.1,
        keepalive_timeout=65,
        max_line_size=_MAX_LINE_SIZE,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _no_such_page(request: web.Request) -> web.StreamResponse:
    response, _ = await send(request, page(404), ConnectionEnd.WHOLE)
    return response
