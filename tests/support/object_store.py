"""A bucket behind the protocol of S3, as far as bundles need it, on a real socket; it checks no signatures."""

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate
from xml.sax.saxutils import escape, unescape

from aiohttp import web

BUCKET = "undo"


@dataclass
class Bucket:
    """What the store holds, and how it behaves.

    Attributes:
        url: its address.
        objects: content by name.
        refuses: the status with which everything is refused; 0 for nothing.
        keys_seen: access keys that requests came with.
    """

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    refuses: int = 0
    keys_seen: set[str] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        credential = request.headers.get("Authorization", "").partition("Credential=")[2]
        self.keys_seen.add(credential.partition("/")[0])
        name = request.match_info.get("name", "")
        body = await request.read()
        if self.refuses:
            told = f"<Error><Code>AccessDenied</Code><AWSAccessKeyId>{credential}</AWSAccessKeyId></Error>"
            return web.Response(status=self.refuses, text=told, content_type="application/xml")
        match request.method:
            case "PUT":
                self.objects[name] = body
                return web.Response(headers={"ETag": _tag(body)})
            case "DELETE":
                self.objects.pop(name, None)
                return web.Response(status=204)
            case "POST":  # many at once
                names = [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", body.decode())]
                for one in names:
                    self.objects.pop(one, None)
                deleted = "".join(f"<Deleted><Key>{escape(one)}</Key></Deleted>" for one in names)
                return web.Response(text=f"<DeleteResult>{deleted}</DeleteResult>", content_type="application/xml")
            case _ if "list-type" in request.query:
                return self._list(request.query.get("prefix", ""))
            case _ if name not in self.objects:
                return web.Response(status=404)
            case _:
                content = self.objects[name]
                headers = {"ETag": _tag(content), "Last-Modified": formatdate(usegmt=True)}
                return web.Response(body=content, headers=headers)

    def _list(self, prefix: str) -> web.Response:
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-26T12:00:00.000Z</LastModified>"
            f"<ETag>{escape(_tag(content))}</ETag><Size>{len(content)}</Size></Contents>"
            for name, content in sorted(self.objects.items())
            if name.startswith(prefix)
        )
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        return web.Response(text=text, content_type="application/xml")


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@contextlib.asynccontextmanager
async def bucket() -> AsyncIterator[Bucket]:
    """Run an empty bucket until the block ends."""
    store = Bucket()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", f"/{BUCKET}/{{name:.*}}", store.handle)
    app.router.add_route("*", f"/{BUCKET}", store.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        store.url = f"http://{host}:{port}"
        yield store
    finally:
        await runner.cleanup()
