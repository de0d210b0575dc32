"""The stylesheet, the scripts and the icon: read once, addressed by their content, kept by browsers for a year."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

_DIRECTORY = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file.

    Attributes:
        body: its content.
        content_type: its media type.
        version: changes with the content.
    """

    body: bytes
    content_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Read the files, by name."""
    found = {}
    for path in sorted(_DIRECTORY.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            found[path.name] = Asset(body, _TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:16])
    return found


def asset_url(name: str) -> str:
    """Return the address of a file; another content has another address.

    Raises:
        KeyError: there is no such file.
    """
    return f"/static/{name}?v={assets()[name].version}"


async def serve_asset(request: web.Request) -> web.Response:
    """Answer with a file."""
    asset = assets().get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    current = request.query.get("v") == asset.version
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
        "ETag": f'"{asset.version}"',
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if f'"{asset.version}"' in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    response = web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers)
    response.enable_compression()
    return response
