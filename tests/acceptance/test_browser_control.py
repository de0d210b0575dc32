"""Steering in a real browser: what a button asks for happens, and shows without a reload."""

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.support.browser import site, submit
from tests.support.home import Home, until
from tests.support.portal_process import Portal


def ids(count: int) -> str:
    return "".join(f"{contact_id}\n" for contact_id in range(1, count + 1))


#: Slow enough to be stopped along the way.
SLOW = {"requests_per_second": 5.0, "max_concurrency": 1, "batch_size_start": 10, "batch_size_max": 10}


def test_pause_and_resume(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 4000)
    with site(home, browser, main={"url": crm.url, **SLOW}) as running:
        page, other = running.visit(), running.visit()
        job_id = submit(page, ids(4000), 4000)
        other.goto(f"/jobs/{job_id}")
        expect(other.locator("#progress .badge")).to_have_text("Running")
        other.evaluate("window.neverLoadedAgain = true")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#progress .badge")).to_have_text("Paused")
        expect(other.locator("#progress .badge")).to_have_text("Paused")
        expect(other.locator("#progress .reason")).to_contain_text("anna paused it")
        expect(other.locator("#announce")).to_have_text("Paused. anna paused it.")
        stopped = crm.summary()["deletions_committed"]
        assert home.job(job_id)["state"] == "paused"

        page.get_by_role("button", name="Resume").focus()
        page.keyboard.press("Enter")
        expect(other.locator("#progress .badge")).to_have_text("Running")
        until(lambda: crm.summary()["deletions_committed"] > stopped)
        assert other.evaluate("window.neverLoadedAgain")

        page.get_by_role("link", name="Cancel…").click()
        page.get_by_role("link", name="Back, change nothing").click()
        assert home.job(job_id)["state"] == "running"
        page.get_by_role("link", name="Cancel…").click()
        page.get_by_role("button", name="Cancel the job").click()
        expect(other.locator("#progress .badge")).to_have_text("Cancelled")
        expect(page.locator("#actions")).to_contain_text("anna cancelled it")
        actions = [(action["by"], action["action"]) for action in home.job(job_id)["actions"]]
        assert actions == [("anna", verb) for verb in ("submit", "pause", "resume", "cancel")]


def test_the_rate_is_changed_while_a_job_runs(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 2000)
    slow = {**SLOW, "requests_per_second": 0.5}
    with site(home, browser, main={"url": crm.url, **slow}) as running:
        page, portals = running.visit(), running.visit()
        submit(page, ids(2000), 2000)
        expect(page.locator("#progress .badge")).to_have_text("Running")
        portals.goto("/portals")
        expect(portals.locator("#pacing-main")).to_contain_text("0.5 of at most 0.5 calls/s")
        portals.get_by_label("Calls per second").fill("200")
        portals.get_by_label("Calls in flight").fill("4")
        portals.get_by_role("button", name="Apply").click()
        expect(portals.locator("main > .alert")).to_contain_text("The limits have changed")
        expect(portals.locator("#pacing-main")).to_contain_text("of at most 200 calls/s")
        # At the old rate this would take almost seven minutes.
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        portals.get_by_role("button", name="Back to the configuration").click()
        expect(portals.get_by_label("Calls per second")).to_have_value("0.5")
        portals.get_by_text("Last answers, and who changed the limits").click()
        expect(portals.locator("#actions-main")).to_contain_text("anna set the limits: requests_per_second 200")
        expect(portals.locator("#answers-main")).to_contain_text("200 ok")
    assert len(crm.contacts("deleted")) == 2000


def test_the_list_of_jobs_is_live(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 200)
    with site(home, browser, main={"url": crm.url, "approval_above": 100}) as running:
        page, other = running.visit(), running.visit()
        expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
        job_id = submit(other, ids(200), 200, label="large one")
        row = page.locator(f'[id="job-{job_id}"]')
        expect(row.locator(".badge")).to_have_text("Awaiting approval")
        expect(row).to_contain_text("It has to be approved first")
        row.get_by_role("link").focus()
        other.get_by_role("button", name="Approve").click()
        expect(row.locator(".badge")).to_have_text("Completed")
        expect(row.get_by_role("link")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="large one")).to_be_visible()


def test_it_says_when_it_is_not_live_and_goes_on_by_itself(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    crm = portal("--contacts", 10)
    with site(home, browser, workers=False, main={"url": crm.url}) as running:
        page = running.visit()
        job_id = submit(page, ids(10), 10)
        expect(page.locator("#progress")).to_contain_text("No worker is running")
        api = home.running[0]
        api.terminate()
        api.wait(20)
        expect(page.locator("#offline")).to_contain_text("Not live")
        home.start("api", "--port", running.url.rpartition(":")[2])
        assert home.cli("pause", job_id).code == 0
        expect(page.locator("#progress .badge")).to_have_text("Paused")
        expect(page.locator("#offline")).to_be_hidden()
        running.troubles[:] = [trouble for trouble in running.troubles if "ERR_" not in trouble]


def test_the_id_is_copied(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 10)
    with site(home, browser, workers=False, main={"url": crm.url}) as running:
        page = running.visit(permissions=["clipboard-read", "clipboard-write"])
        job_id = submit(page, ids(10), 10)
        page.evaluate("window.setTimeout = () => 0")  # the button says so only for a moment: make it last
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == job_id


def test_what_was_typed_is_sent_once(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 10)
    with site(home, browser, workers=False, main={"url": crm.url}) as running:
        page = running.visit()
        page.goto("/new")
        page.get_by_label("File").set_input_files({"name": "a", "mimeType": "text/plain", "buffer": b"1\n2\n"})
        page.get_by_role("button", name="Read the list").click()
        page.get_by_label("Type the number of contacts").fill("2")
        page.get_by_role("button", name="Delete 2 contacts").dblclick()
        page.wait_for_url("**/jobs/*")
        page.goto("/")
        expect(page.locator(".jobs > li")).to_have_count(1)
