"""What another site in the same browser can do to a user who is logged in: link to the page, and nothing else."""

from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from tests.support.browser import site, submit
from tests.support.home import Home
from tests.support.portal_process import Portal


def elsewhere(page: Page, html: str) -> Page:
    """Open another site in the browser of a page."""
    other = page.context.new_page()
    other.route("http://elsewhere.example/", lambda route: route.fulfill(body=html, content_type="text/html"))
    other.goto("http://elsewhere.example/")
    return other


def test_a_link_from_elsewhere_leads_to_the_job_and_a_form_does_nothing(
    browser: Browser, home: Home, portal: Callable[..., Portal]
) -> None:
    with site(home, browser, workers=False, main={"url": portal("--contacts", 9).url}) as running:
        page = running.visit()
        job_id = submit(page, "1\n2\n", 2)
        other = elsewhere(page, f'<a href="{running.url}/jobs/{job_id}">the cleanup</a>')
        other.get_by_role("link").click()
        expect(other.get_by_role("button", name="Pause")).to_be_visible()

        for path in ("logout", "login", f"jobs/{job_id}/cancel", "portals/main", "new", "v1/jobs?portal=main"):
            kind = "multipart/form-data" if path == "new" else "text/plain" if path.startswith("v1") else ""
            address = f"{running.url}/{path}"
            button = '<button name="do" value="5">Win</button>'
            form = f'<form method="post" enctype="{kind}" action="{address}">{button}</form>'
            other = elsewhere(page, form)
            with other.expect_response(address) as answer:
                other.get_by_role("button").click()
            assert answer.value.status in {401, 403}, path
            page.reload()
            expect(page.get_by_role("button", name="Log out")).to_be_visible()
            assert [action["action"] for action in home.job(job_id)["actions"]] == ["submit"], path
