"""The screen of schedules in a browser: readable by everyone, and current while a job of one goes on."""

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.support.browser import check_screen, site
from tests.support.home import Home
from tests.support.portal_process import Portal

SCHEDULES = """
[[schedules]]
name = "nightly"
portal = "main"
filter = { tags = ["trash"] }
cron = "30 2 1 1 *"
[[schedules]]
name = "by-hand"
portal = "main"
filter = { created_to = 2019-12-31 }
cron = "30 2 1 1 *"
enabled = false
"""


def test_the_screen_shows_what_waits_and_leads_to_the_job(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    crm = portal("--contacts", 300, "--tag", "trash=20")
    with site(home, browser, more=SCHEDULES, main={"url": crm.url}) as running:
        page = running.visit()
        page.get_by_role("link", name="Schedules").click()
        nightly = page.locator("#about-nightly")
        expect(nightly).to_contain_text("contacts tagged trash")
        job_id = home.cli("schedules", "run", "nightly").stdout.strip()
        expect(nightly).to_contain_text("A person has to approve its last job", timeout=20_000)
        check_screen(page)
        nightly.get_by_role("listitem").get_by_role("link").click()
        page.wait_for_url(f"**/jobs/{job_id}")
        expect(page.locator("#facts")).to_contain_text("the schedule nightly")
