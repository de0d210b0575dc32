"""The screen of webhooks in a browser: what was sent to a receiver that is away, and how often."""

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.support.browser import check_screen, site, submit
from tests.support.home import Home
from tests.support.portal_process import Portal
from tests.support.webhooks import SECRET

HOOKS = f"""
[[webhooks]]
name = "chat"
url = "http://127.0.0.1:9/services/T000/B000"
secret = "{SECRET}"

[[webhooks]]
url = "https://{"long." * 12}example.com/T000"
name = "elsewhere"
secret = "{SECRET}"
events = ["portal.fault"]
portals = ["main"]
"""


def test_webhooks_have_a_screen(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    with site(home, browser, more=HOOKS, main={"url": portal("--contacts", 5).url}) as running:
        page = running.visit()
        expect(page.get_by_role("link", name="Webhooks")).to_be_visible()
        submit(page, "1\n2\n", 2)
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        row = page.get_by_role("region", name="Last deliveries to chat").get_by_role("row").nth(1)
        page.goto("/webhooks")
        for _ in range(20):  # the screen is not live
            if row.is_visible():
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(row).to_contain_text("job.started")
        expect(row).to_contain_text("failed: it cannot be reached")
        check_screen(page)
        assert "T000" not in page.content()
        row.get_by_role("link").click()
        expect(page.locator("#progress .badge")).to_have_text("Completed")
