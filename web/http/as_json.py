"""Answers in JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

_encode = msgspec.json.Encoder().encode


def as_json(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a value that msgspec can write."""
    return web.Response(body=_encode(value), status=status, content_type="application/json", headers=headers)
