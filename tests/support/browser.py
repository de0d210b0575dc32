"""A person at a real browser, in front of real processes."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.support.home import Home, until

KEY = "a-key-for-the-browser"

#: In the server's log: an unforeseen error.
_BUG = "request_failed"

#: How long something may take that is immediate on an idle machine.
PATIENCE_MS = 30_000

expect.set_options(timeout=PATIENCE_MS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium. One per module: its driver must not exist while other tests run event loops."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"no browser: none of {', '.join(names)} is installed")
        pytest.skip("no browser is installed")
    with sync_playwright() as playwright:
        # In a container the sandbox is not available, and /dev/shm is small.
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@dataclass
class Site:
    """A running server with its page.

    Attributes:
        url: its base address.
        troubles: what browsers complained about: errors on their consoles, and what the policy has blocked.
    """

    url: str
    browser: Browser
    troubles: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def visit(self, *, log_in: bool = True, **options: Any) -> Page:
        """Open a browser window for a new user.

        Args:
            log_in: with the key that has every scope.
            options: of the window: viewport, color_scheme, java_script_enabled, …
        """
        usual: dict[str, Any] = {"viewport": {"width": 1180, "height": 900}, "reduced_motion": "reduce"}
        context = self.browser.new_context(base_url=self.url, **usual | options)
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("requestfailed", lambda request: self._note_request(request.url))
        page.on("request", lambda request: self._note_request(request.url))
        if log_in:
            page.goto("/login")
            page.get_by_label("API key").fill(KEY)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        return page

    def _note(self, message: ConsoleMessage) -> None:
        # Chromium reports every answer of 400 or above; those that a test asks for are no trouble.
        expected = "Failed to load resource: the server responded with a status of"
        if message.type in {"error", "warning"} and not message.text.startswith(expected):
            self.troubles.append(message.text)

    def _note_request(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"something was loaded from elsewhere: {url}")


@contextlib.contextmanager
def site(home: Home, browser: Browser, *, more: str = "", workers: bool = True, **portals: Any) -> Iterator[Site]:
    """Run the API with its page and a worker, and check at the end that no browser has complained about anything."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = f'[[api.keys]]\nname = "anna"\nkey_sha256 = "{digest}"\nscopes = ["read", "submit", "control"]\n'
    home.configure(more=f"{more}\n{key}\n[worker]\nlease_ttl_s = 2.0\nlifeline_s = 1\n", **portals)
    home.start("api", "--port", "0")
    log = home.directory / "api.0.log"
    until(lambda: "listening on " in log.read_text())
    if workers:
        home.start("worker")
    running = Site(log.read_text().partition("listening on ")[2].split()[0], browser)
    try:
        yield running
    finally:
        for context in running.contexts:
            context.close()
        bugs = [
            line for one in home.directory.glob("api.*.log") for line in one.read_text().splitlines() if _BUG in line
        ]
        print(*bugs, sep="\n")  # noqa: T201 - shown with the test that fails
    assert not running.troubles + bugs


def check_accessible(page: Page) -> None:
    """Check for violations of accessibility rules with axe-core, light and dark, and for anything too wide."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        told = [
            f"{rule['id']}: {rule['help']}: {[node['html'] for node in rule['nodes'][:3]]}"
            for rule in Axe().run(page).response["violations"]
        ]
        assert not told, f"{page.url}, {scheme}: {told}"
    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide <= 0, f"{page.url}: {too_wide} pixels too wide"


def check_screen(page: Page) -> None:
    """Check a screen wide and narrow."""
    for width in (1180, 360):
        page.set_viewport_size({"width": width, "height": 740})
        check_accessible(page)


def upload(page: Page, content: str, *, portal: str = "main", label: str = "", name: str = "ids.txt") -> None:
    """Fill in the form of a new job and send it."""
    page.goto("/new")
    page.get_by_label("Portal").select_option(portal)
    page.get_by_label("Label").fill(label)
    page.get_by_label("File").set_input_files({"name": name, "mimeType": "text/plain", "buffer": content.encode()})
    page.get_by_role("button", name="Read the list").click()


def submit(page: Page, content: str, count: int, **options: str) -> str:
    """Queue a list, and return the job's ID."""
    upload(page, content, **options)
    page.get_by_label("Type the number of contacts").fill(str(count))
    page.get_by_role("button", name="Delete", exact=False).click()
    page.wait_for_url("**/jobs/*")
    return page.locator("#job-id").inner_text()
