"""A portal that asks for a rest of a day, as a user who runs a cleanup sees it."""

import re
import signal
from collections.abc import Callable

from pyroaring import BitMap

from tests.support.home import Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

UNTIL = r"push_back until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
ASKED = r"the portal had asked for a rest until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def test_its_end_is_shown_and_a_resume_ends_it(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url})
    crm.misbehave(fault="unavailable", retry_after_s=86_400, next_calls=1)
    home.start("worker")
    job_id = home.submit("main", *range(1, 101))
    until(lambda: home.job(job_id)["waits_until"])
    assert re.search(UNTIL, home.cli("status", job_id).stdout + home.cli("status", job_id).stderr)
    why = home.cli("why", job_id).stdout
    assert "push_back" in why
    assert "until: " in why
    at = home.job(job_id)["waits_until"][11:19]
    assert f"(push_back until {at} UTC)" in home.cli("list").stdout
    assert f"push_back until {at} UTC" in home.cli("portals").stdout
    assert re.search(
        r"; no call before \S+ \S+ UTC \(the portal had asked for \S+ \S+ UTC\)$", home.cli("limits", "main").stdout
    )
    resumed = home.cli("resume", job_id)
    assert resumed.code == 0, resumed.stderr
    assert re.search(ASKED, resumed.stdout + resumed.stderr)
    until(lambda: home.state(job_id) == "completed")
    assert crm.contacts("deleted") == BitMap(range(1, 101))
    job = home.job(job_id)
    assert job["waits_until"] is None
    assert re.fullmatch(ASKED, job["actions"][-1]["detail"])


def test_run_says_until_when_and_tries_at_once_when_started_again(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url})
    crm.misbehave(fault="throttle", retry_after_s=86_400, next_calls=1)
    home.ids(*range(1, 21))
    process = home.start("run", "ids.txt", "--portal", "main")
    until(lambda: re.search(UNTIL, (home.directory / "run.0.log").read_text()))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    again = home.cli("run", "ids.txt", "--portal", "main")
    assert again.code == 0, again.stderr
    assert re.search(ASKED, again.stderr)
    assert crm.contacts("deleted") == BitMap(range(1, 21))
