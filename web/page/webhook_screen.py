"""The webhooks: what waits for each of them, and the last tries to deliver."""

from aiohttp import web

from web.live.webhooks import visible_webhooks
from web.page.render import page


async def show_webhooks(request: web.Request) -> web.Response:
    """Show all webhooks that the caller may see."""
    return page(request, "webhooks.html", webhooks=await visible_webhooks(request))
