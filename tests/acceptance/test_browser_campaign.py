"""A campaign in a real browser: choose by a filter, see the plan, type its number, compare the canary, go on."""

from collections.abc import Callable

from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browser import check_screen, site, upload
from tests.support.home import Home
from tests.support.portal_process import Portal

#: As long as the portal allows, without a place to break the line, and with markup in it.
TAG = "<b>trash</b>-without-any-blank-" + "x" * 200


def choose(page: Page, tag: str, *, label: str = "") -> str:
    """Fill in the form by filter and send it; return the job's ID."""
    page.goto("/new/filter")
    page.get_by_label("Label").fill(label)
    page.get_by_label("Has all of these tags").fill(tag)
    page.get_by_role("button", name="Count and plan").click()
    page.wait_for_url("**/jobs/*")
    return page.locator("#job-id").inner_text()


def approve(page: Page, typed: str) -> None:
    page.get_by_label("Type the number of contacts").fill(typed)
    page.get_by_role("button", name="Approve and delete").click()


def test_from_the_filter_to_the_end_of_the_rest(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 3000, "--read-only", 20, "--invoiced", 10, "--tag", f"{TAG}=2500")
    slow = {"requests_per_second": 0.5, "batch_size_start": 500, "batch_size_max": 500}
    with site(home, browser, main={"url": crm.url, "canary": "10", "canary_confirm": True, **slow}) as running:
        page, portals = running.visit(), running.visit()
        page.goto("/new")
        page.get_by_role("link", name="By a filter").click()
        check_screen(page)
        page.get_by_role("button", name="Count and plan").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing is filled in that selects contacts")
        page.get_by_label("Has all of these tags").fill(TAG)
        page.get_by_label("Has none of these tags").fill(TAG)
        page.get_by_label("Stage").fill("cold")
        page.get_by_label("Responsible user").fill("anna")
        page.get_by_label("Found by a search").fill("Acme, Inc")
        page.get_by_role("button", name="Count and plan").click()
        expect(page.get_by_label("Stage")).to_have_accessible_description(
            "Given 'cold', expected the ID of a stage, a whole number from 0."
        )
        check_screen(page)
        for name in ("Has none of these tags", "Stage", "Responsible user", "Found by a search"):
            page.get_by_label(name).fill("")
        page.get_by_label("Label").fill("spring cleanup")
        page.get_by_role("button", name="Count and plan").click()

        page.wait_for_url("**/jobs/*")
        page.evaluate("window.neverLoadedAgain = true")
        expect(page.locator("#progress .badge")).to_have_text("Planning")
        expect(page.locator("#progress .pace")).to_contain_text("selected so far")
        check_screen(page)
        portals.goto("/portals")
        portals.get_by_label("Calls per second").fill("200")
        portals.get_by_role("button", name="Apply").click()

        expect(page.locator("#progress .badge")).to_have_text("Awaiting approval")
        expect(page.locator("#plan .sample tbody tr")).to_have_count(20)
        assert page.evaluate("window.neverLoadedAgain"), "the plan came by itself"
        check_screen(page)
        deletable = str(home.job(page.locator("#job-id").inner_text())["plan"]["counts"]["deletable"])
        approve(page, f"{deletable}0")
        expect(page.get_by_role("alert")).to_contain_text("Nothing was approved")
        check_screen(page)
        assert not crm.summary()["deletions_committed"]
        approve(page, deletable)
        expect(page.locator("#progress .badge")).to_have_text("Paused")
        expect(page.locator("#canary")).to_contain_text("None of these ended otherwise than the plan predicted")
        check_screen(page)
        assert crm.summary()["deletions_committed"] <= 10
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        check_screen(page)
        assert len(crm.contacts("deleted")) == int(deletable)


def test_a_list_that_has_to_be_planned_and_a_plan_that_expires(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    crm = portal("--contacts", 500, "--read-only", 20)
    strict = {"url": crm.url, "plan_required": True, "plan_valid_h": 0.0005, "plan_sample": 0}
    with site(home, browser, main=strict, archive={"url": crm.url}) as running:
        page = running.visit()
        upload(page, "".join(f"{one}\n" for one in range(1, 400)))
        expect(page.get_by_role("checkbox", name="Plan first")).to_be_disabled()
        check_screen(page)
        page.get_by_role("button", name="Plan 399 contacts").click()
        expect(page.locator("#progress .reason")).to_contain_text("Its plan is too old to be approved")
        expect(page.get_by_role("button", name="Approve and delete")).to_have_count(0)
        check_screen(page)

        upload(page, "1\n2\n", portal="archive")
        page.get_by_role("button", name="Plan first").click()
        expect(page.locator("#progress .badge")).to_have_text("Awaiting approval")
        page.get_by_label("Type the number of contacts").focus()
        page.keyboard.type("2")
        page.keyboard.press("Enter")
        expect(page.locator("#progress .badge")).to_have_text("Completed")


def test_deletions_are_stopped_on_one_screen_and_go_on_from_another(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    crm = portal("--contacts", 500)
    with site(home, browser, main={"url": crm.url}, archive={"url": crm.url}) as running:
        page, other = running.visit(), running.visit()
        other.goto("/portals")
        page.goto("/new")
        page.get_by_role("link", name="Stop deletions…").focus()
        page.keyboard.press("Enter")
        check_screen(page)
        page.get_by_role("button", name="Stop deletions").click()
        expect(page.locator("#stops")).to_contain_text("Deletions are stopped at all portals by anna")
        expect(other.locator("#stops")).to_contain_text("Deletions are stopped at all portals by anna")
        upload(page, "1\n2\n")
        expect(page.locator("#stops")).to_contain_text("Deletions are stopped")
        page.get_by_label("Type the number of contacts").fill("2")
        page.get_by_role("button", name="Delete 2 contacts").click()
        expect(page.locator("#progress .reason")).to_contain_text("A user has stopped all deletions")
        check_screen(page)
        other.get_by_role("link", name="Let them go on…").click()
        check_screen(other)
        assert not crm.summary()["deletions_committed"]
        other.get_by_role("button", name="Let them go on").click()
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        expect(page.locator("#stops")).to_be_empty()


def test_what_is_typed_stays_while_the_screen_around_it_changes(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    crm = portal("--contacts", 500, "--tag", "trash=40")
    with site(home, browser, main={"url": crm.url}) as running:
        page = running.visit()
        job_id = choose(page, "trash")
        expect(page.locator("#plan form")).to_be_visible()
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/events", hold)
        page.goto(f"/jobs/{job_id}")
        number = page.get_by_label("Type the number of contacts")
        number.fill("40")
        page.evaluate("document.querySelector('#plan input').closest('form').dataset.old = 'yes'")
        held[0].continue_()
        expect(page.locator("#plan form")).not_to_have_attribute("data-old", "yes")
        expect(number).to_have_value("40")
        expect(number).to_be_focused()
        page.keyboard.press("Enter")
        page.unroute_all()
        expect(page.locator("#progress .badge")).to_have_text("Completed")


def test_a_campaign_without_scripts(browser: Browser, home: Home, portal: Callable[..., Portal]) -> None:
    crm = portal("--contacts", 500, "--tag", "trash=40")
    with site(home, browser, main={"url": crm.url}) as running:
        page = running.visit(java_script_enabled=False)
        job_id = choose(page, "trash")
        home.until_in(job_id, "awaiting_approval")
        page.reload()
        approve(page, "40")
        expect(page.get_by_text("Approved: it starts with the next free turn.")).to_be_visible()
        home.until_in(job_id, "completed")
        page.reload()
        expect(page.locator("#progress .badge")).to_have_text("Completed")
        page.get_by_role("link", name="Stop deletions…").click()
        page.get_by_label("Portal").select_option("main")
        page.get_by_role("button", name="Stop deletions").click()
        expect(page.locator("#stops")).to_contain_text("Deletions are stopped at main by anna")
    assert len(crm.contacts("deleted")) == 40
