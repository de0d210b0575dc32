"""The handler that shows webhooks: what waits and what was delivered, never an address or a secret."""

import msgspec
from aiohttp import web

from jobs.webhooks.view import WebhookView
from web.http.as_json import as_json
from web.live.webhooks import visible_webhooks


class WebhookList(msgspec.Struct, frozen=True):
    """The webhooks that the caller may see, in the order of the configuration."""

    webhooks: list[WebhookView]


async def get_webhooks(request: web.Request) -> web.Response:
    """Answer with all webhooks."""
    return as_json(WebhookList(await visible_webhooks(request)))
