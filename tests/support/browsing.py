"""A user with a browser, at the level of HTTP: cookies, forms, redirects, and what is on a screen."""

import contextlib
import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import aiohttp
from arq.connections import ArqRedis
from multidict import CIMultiDictProxy
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Api, ApiKey, Portal, Settings
from tests.conftest import settings_for
from tests.support.serving import serving

#: A key by its owner's name.
SECRETS = {"anna": "anna-secret-key", "reader": "reader-secret-key", "sender": "sender-secret-key"}
EVERYTHING = ("read", "submit", "control")


def api_key(name: str, *scopes: str, **limits: Any) -> ApiKey:
    digest = hashlib.sha256(SECRETS[name].encode()).hexdigest()
    return ApiKey.model_validate({"name": name, "key_sha256": digest, "scopes": scopes or EVERYTHING, **limits})


def portal(name: str, **limits: Any) -> Portal:
    usual = {"name": name, "url": "http://hidden.example", "token": SecretStr(f"token-of-{name}")}
    return Portal.model_validate(usual | limits)


def settings_with(server: EmbeddedServer, *keys: ApiKey, **others: Any) -> Settings:
    """Return settings with two portals and these keys; without keys everyone may do everything."""
    return settings_for(server, portal("main"), portal("other"), **{"api": Api(keys=keys), **others})


class Markup(HTMLParser):
    """A parsed screen, for what tests ask about it.

    Attributes:
        elements: names and attributes of all elements, in order.
        text: all text, with whitespace collapsed.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Return the attributes of all such elements."""
        wanted = attributes.items()
        return [found for name, found in self.elements if name == tag and wanted <= found.items()]

    def value(self, name: str) -> str:
        """Return the value of the input of this name."""
        return self.all("input", name=name)[0]["value"] or ""

    def actions(self) -> set[str]:
        """Return where the screen's forms are sent."""
        return {form["action"] or "" for form in self.all("form", method="post")}


@dataclass
class Screen:
    """An answer."""

    status: int
    headers: CIMultiDictProxy[str]
    html: str
    markup: Markup = field(init=False)

    def __post_init__(self) -> None:
        self.markup = Markup(self.html)

    @property
    def location(self) -> str:
        """The address it redirects the browser to."""
        return self.headers["Location"]

    @property
    def text(self) -> str:
        return self.markup.text


@dataclass
class Person:
    """A user with cookies of their own."""

    url: str
    client: aiohttp.ClientSession

    async def look(self, path: str, **options: Any) -> Screen:
        return await self.ask("GET", path, **options)

    async def ask(self, method: str, path: str, **options: Any) -> Screen:
        async with self.client.request(method, path, allow_redirects=False, **options) as answer:
            return Screen(answer.status, answer.headers, await answer.text())

    async def csrf(self) -> str:
        """Return the token in the forms that this user gets."""
        screen = await self.look("/login")
        if screen.status == 303:
            screen = await self.look("/new")
        return screen.markup.value("csrf")

    async def send(self, path: str, **fields: str) -> Screen:
        """Send a form as the browser would."""
        return await self.ask("POST", path, data={"csrf": await self.csrf(), **fields})

    async def log_in(self, name: str) -> Screen:
        screen = await self.send("/login", key=SECRETS[name], next="/")
        assert screen.status == 303, screen.text
        return screen

    async def upload(self, content: bytes | str, **fields: str) -> Screen:
        """Send the form with a file."""
        values = {"csrf": await self.csrf(), "portal": "main", "priority": "normal", **fields}
        return await self.ask("POST", "/new", data=multipart(values, content))


def multipart(values: dict[str, str], content: bytes | str, *, list_first: bool = False) -> aiohttp.FormData:
    """Return the form of a new job: its fields in this order, then the file."""
    form = aiohttp.FormData()
    body = content.encode() if isinstance(content, str) else content
    if list_first:
        form.add_field("file", io.BytesIO(body), filename="ids.txt")
    for name, value in values.items():
        form.add_field(name, value)
    if not list_first:
        form.add_field("file", io.BytesIO(body), filename="ids.txt")
    return form


@contextlib.asynccontextmanager
async def visiting(settings: Settings, redis: ArqRedis, *names: str) -> AsyncIterator[list[Person]]:
    """Run the server and yield its users, each logged in with the key of this name; '' is not logged in."""
    async with serving(settings, redis) as api, contextlib.AsyncExitStack() as stack:
        people = []
        for name in names:
            # Cookies for a numeric address are kept only on demand.
            jar = aiohttp.CookieJar(unsafe=True)
            client = await stack.enter_async_context(aiohttp.ClientSession(api.url, cookie_jar=jar))
            person = Person(api.url, client)
            if name and settings.api.keys:
                await person.log_in(name)
            people.append(person)
        yield people
