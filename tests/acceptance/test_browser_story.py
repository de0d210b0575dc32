"""A cleanup from the log-in to the downloaded ledger, in a real browser, with real processes behind it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import KEY, site, submit, upload
from tests.support.home import Home
from tests.support.portal_process import Portal


def download(page: Page, name: str, directory: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=name, exact=True).click()
    path = directory / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_from_the_log_in_to_the_ledger(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 600, "--read-only", 20)
    crm.change(base_ms=20.0)
    with site(home, browser, main={"url": crm.url, "batch_size_start": 20, "batch_size_max": 20}) as running:
        page = running.visit(log_in=False)
        page.goto("/portals")
        page.get_by_label("API key").fill("not the key")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("This key is not known.")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/portals")

        page.get_by_role("link", name="Jobs").click()
        page.get_by_role("link", name="Submit the first list").click()
        content = "contact_id;name\n" + "".join(f"{one};x\n" for one in [*range(1, 621), 7])
        upload(page, content, label="spring cleanup", name="contacts.csv")
        expect(page.get_by_role("heading", name="Delete 620 contacts from main?")).to_be_visible()
        page.get_by_label("Type the number of contacts").fill("62")
        page.get_by_role("button", name="Delete 620 contacts").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing was queued")
        assert not crm.summary()["deletions_committed"]
        page.get_by_label("Type the number of contacts").fill("620")
        page.get_by_role("button", name="Delete 620 contacts").click()

        page.wait_for_url("**/jobs/*")
        page.evaluate("window.neverLoadedAgain = true")
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        expect(page.locator("#progress .big")).to_contain_text("100")
        expect(page).to_have_title("100\u202f% · spring cleanup · Completed · crm-sweep")
        expect(page.locator("#announce")).to_have_text("Completed.")
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        expect(page.locator(".plot")).to_have_count(3)
        assert page.evaluate("window.neverLoadedAgain"), "it was watched to its end without a reload"
        job_id = page.locator("#job-id").inner_text()

        page.get_by_role("link", name="Ledger").click()
        lines = list(csv.DictReader(download(page, "CSV", home.directory).read_text().splitlines()))
        by_outcome: dict[str, set[int]] = {}
        for line in lines:
            by_outcome.setdefault(line["outcome"], set()).add(int(line["contact_id"]))
        assert len(lines) == 620
        assert by_outcome["deleted"] == set(crm.contacts("deleted"))
        assert by_outcome["refused"] == set(crm.contacts("read_only"))
        assert by_outcome["not_found"] == set(range(601, 621))

        page.get_by_label("Outcome").select_option("refused")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("20 lines.")).to_be_visible()
        refused = [json.loads(line) for line in download(page, "NDJSON", home.directory).read_text().splitlines()]
        assert {line["contact_id"] for line in refused} == by_outcome["refused"]
        assert home.job(job_id)["counts"]["deleted"] == len(by_outcome["deleted"])

        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        page.go_back()
        page.reload()
        expect(page.get_by_label("API key")).to_be_visible()


def test_with_the_keyboard_alone(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 40)
    with site(home, browser, main={"url": crm.url}) as running:
        page = running.visit(log_in=False)
        page.goto("/login")
        keys = page.keyboard
        keys.type(KEY)  # the field has the focus already
        keys.press("Enter")
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()

        keys.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
        keys.press("Enter")
        expect(page.locator("main")).to_be_focused()
        tab_to(page, "New job")
        keys.press("Enter")
        page.wait_for_url("**/new")

        tab_to(page, "Label")
        keys.type("by hand")
        tab_to(page, "Or paste the IDs")
        keys.press("Enter")
        keys.press("Tab")
        for contact_id in range(1, 41):
            keys.type(f"{contact_id}")
            keys.press("Enter")
        keys.press("Tab")
        expect(page.get_by_role("button", name="Read the list")).to_be_focused()
        keys.press("Enter")

        page.wait_for_url("**/new/*")
        keys.type("40")
        keys.press("Enter")
        page.wait_for_url("**/jobs/*")
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        assert set(crm.contacts("deleted")) == set(range(1, 41))


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something with this name has the focus, and shows it."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
                const one = document.activeElement;
                const label = one.labels?.[0]?.innerText ?? one.innerText ?? "";
                const style = getComputedStyle(one);
                return [label.trim(), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }"""
        )
        assert focused[1], f"the focus on {focused[0]!r} is not visible"
        if focused[0].startswith(name):
            return
    pytest.fail(f"the keyboard does not reach {name!r}")


def test_without_scripts(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    """Forms are sent and pages show what there is, but nothing updates on its own."""
    crm = portal("--contacts", 30)
    with site(home, browser, workers=False, main={"url": crm.url}) as running:
        page = running.visit(java_script_enabled=False)
        submit(page, "\n".join(map(str, range(1, 31))), 30, label="plain")
        expect(page.get_by_role("status")).to_contain_text(["The job is queued."])
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#progress .badge")).to_have_text("Paused")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#progress .badge")).to_have_text("Queued")
        page.get_by_label("Priority").select_option("urgent")
        page.get_by_role("button", name="Set").click()
        expect(page.locator("#facts")).to_contain_text("urgent")
        expect(page.locator("time").first).to_contain_text("UTC")
        home.start("worker")
        for _ in range(100):
            page.reload()
            if page.locator("#progress .badge").inner_text() == "Completed":
                break
        expect(page.locator("#progress .badge")).to_have_text("Completed")
    assert set(crm.contacts("deleted")) == set(range(1, 31))
