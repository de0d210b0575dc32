"""Every screen, in light and dark, wide and narrow: accessible, nothing too wide, nothing a browser complains about."""

import re
from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.support.browser import check_screen, site, submit, upload
from tests.support.home import Home
from tests.support.portal_process import Portal

LONG = "a-label-without-any-blank-" * 7


def test_every_screen(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 500, "--read-only", 20)
    slow = {"url": crm.url, "requests_per_second": 6.0, "batch_size_start": 5, "batch_size_max": 5}
    with site(home, browser, main=slow, archive={"url": crm.url, "approval_above": 1}) as running:
        page = running.visit(log_in=False)
        page.goto("/login")
        check_screen(page)
        page.close()

        page = running.visit()
        check_screen(page)  # no jobs yet
        page.goto("/new")
        page.get_by_text("Or paste the IDs").click()
        check_screen(page)
        upload(page, "id,name\nseven,b\n" + "x" * 500 + ",c\n")
        check_screen(page)
        upload(page, "1\n2\n", portal="archive", label=LONG)
        expect(page.get_by_text("waits for approval")).to_be_visible()
        check_screen(page)
        page.get_by_label("Type the number of contacts").fill("9")
        page.get_by_role("button", name="Delete 2 contacts").click()
        expect(page.get_by_role("alert")).to_be_visible()
        check_screen(page)
        page.get_by_label("Type the number of contacts").fill("2")
        page.get_by_role("button", name="Delete 2 contacts").click()
        expect(page.locator("#progress .badge")).to_have_text("Awaiting approval")
        check_screen(page)

        job_id = submit(page, "".join(f"{one}\n" for one in range(1, 500)), 499, label="spring cleanup")
        expect(page.locator(".plot")).to_have_count(3)
        check_screen(page)
        page.get_by_role("link", name="Cancel…").click()
        check_screen(page)
        page.goto("/")
        check_screen(page)
        page.goto("/portals")
        page.get_by_text("Last answers, and who changed the limits").first.click()
        check_screen(page)
        page.goto(f"/jobs/{job_id}")
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        check_screen(page)
        page.goto(f"/jobs/{job_id}/ledger?outcome=refused")
        check_screen(page)
        page.goto("/jobs/unknown")
        check_screen(page)
        page.goto("/?state=failed")
        check_screen(page)


def test_dark_mode_is_dark_times_are_those_of_the_reader_and_it_prints_without_its_controls(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    with site(home, browser, workers=False, main={"url": portal("--contacts", 5).url}) as running:
        page = running.visit(color_scheme="dark", timezone_id="Asia/Kathmandu", locale="en-GB")
        brightness = """() => {
            const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
            return (r + g + b) / 3;
        }"""
        assert page.evaluate(brightness) < 60
        page.emulate_media(color_scheme="light")
        assert page.evaluate(brightness) > 200

        submit(page, "1\n2\n", 2, label="on paper")
        submitted = page.locator(".headline time")
        expect(submitted).to_have_attribute("title", re.compile(" UTC$"))
        utc = submitted.get_attribute("title") or ""
        minute = int(utc.split(":")[1])
        assert f":{(minute + 45) % 60:02}:" in submitted.inner_text(), "Nepal is 5 hours and 45 minutes ahead"

        page.emulate_media(media="print")
        expect(page.get_by_role("heading", name="on paper")).to_be_visible()
        for gone in ("Pause", "Set", "Log out"):
            expect(page.get_by_role("button", name=gone)).to_be_hidden()
        assert len(page.pdf()) > 1000


def test_whoever_wants_no_motion_gets_none(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 50)
    slow = {"url": crm.url, "requests_per_second": 0.5, "batch_size_start": 1, "batch_size_max": 1}
    with site(home, browser, main=slow) as running:
        page = running.visit(reduced_motion="no-preference")
        submit(page, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", 10)
        badge = page.locator("#progress .badge")
        expect(badge).to_have_text("Running")
        moving = "getComputedStyle(document.querySelector('#progress .badge'), '::before').animationName"
        assert page.evaluate(moving) == "breathe"
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate(moving) == "none"
