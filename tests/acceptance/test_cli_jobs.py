"""Jobs from their submission to their results, with a worker in a process of its own."""

import json
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyroaring import BitMap

from tests.support.home import PROGRAM, Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

JOB_KEYS = [
    "id", "portal", "label", "state", "state_reason", "created_at", "started_at", "finished_at", "total", "duplicates",
    "counts", "progress", "contacts_per_second", "eta_s", "requests", "last_error",
]  # fmt: skip
#: More than are deleted before the last command of a test has started, however slow the machine.
MANY = 20_000
OUTCOMES = ["pending", "deleted", "presumed_deleted", "not_found", "refused", "failed", "protected", "skipped"]


@pytest.fixture
def queued(home: Home) -> Home:
    """Set up a home whose portal has no worker."""
    home.configure(main={"url": "http://127.0.0.1:9"}, other={"url": "http://127.0.0.1:9"})
    return home


def test_a_job_from_submission_to_results(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 500, "--read-only", 5, "--invoiced", 5, "--missing", 5)
    home.configure(main={"url": crm.url})
    submitted = home.cli("submit", home.ids(*range(1, 401), 1, 2), "--portal", "main", "--label", "spring cleanup")
    assert submitted.code == 0
    job_id = submitted.stdout.removesuffix("\n")
    assert "\n" not in job_id
    waiting = home.cli("status", job_id)
    assert "no worker is running" in waiting.stdout
    assert "crm-sweep worker" in waiting.stdout
    home.start("worker")
    watched = home.cli("watch", job_id)
    assert watched.code == 0, watched.stderr
    assert "completed" in watched.stdout

    job = home.job(job_id)
    assert list(job)[: len(JOB_KEYS)] == JOB_KEYS
    assert list(job["counts"]) == OUTCOMES
    assert sorted(job["requests"]) == ["retried", "sent", "throttled"]
    assert (job["id"], job["portal"], job["label"]) == (job_id, "main", "spring cleanup")
    assert (job["state"], job["state_reason"], job["progress"]) == ("completed", None, 1.0)
    assert (job["total"], job["duplicates"]) == (400, 2)
    assert sum(job["counts"].values()) == 400
    assert job["created_at"].endswith("Z")
    assert job["counts"]["deleted"] == len(crm.contacts("deleted"))

    csv = home.cli("results", job_id)
    rows = csv.stdout.splitlines()
    assert rows[0] == "contact_id,outcome,reason,http_status,attempts,at"
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, 401))
    lines = [json.loads(line) for line in home.cli("results", job_id, "--format", "ndjson").stdout.splitlines()]
    assert all(list(line) == ["contact_id", "outcome", "reason", "http_status", "attempts", "at"] for line in lines)
    assert {line["contact_id"] for line in lines if line["outcome"] == "deleted"} == set(crm.contacts("deleted"))
    of_outcome = home.cli("results", job_id, "--outcome", "refused", "-o", "refused.csv")
    assert (of_outcome.code, of_outcome.stdout) == (0, "")
    refused = BitMap(int(row.split(",")[0]) for row in (home.directory / "refused.csv").read_text().splitlines()[1:])
    assert refused == (crm.contacts("read_only") | crm.contacts("invoiced")) & BitMap(range(1, 401))


def test_pause_resume_and_cancel(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", MANY, "--base-ms", 100, "--per-contact-ms", 1)
    home.configure(main={"url": crm.url, "batch_size_start": 50, "batch_size_max": 50})
    home.start("worker")
    job_id = home.submit("main", *range(1, MANY + 1))
    until(crm.has_committed)
    assert home.cli("pause", job_id).code == 0
    until(lambda: home.state(job_id) == "paused")
    job = home.job(job_id)
    assert job["state_reason"] == "operator"
    assert "crm-sweep resume" in home.cli("status", job_id).stdout
    decided = job["counts"]["deleted"]
    assert decided == len(crm.contacts("deleted")) < MANY
    assert home.cli("resume", job_id).code == 0
    until(lambda: len(crm.contacts("deleted")) > decided)
    watching = home.start("watch", job_id)
    assert home.cli("cancel", job_id).code == 0
    assert watching.wait(30) == 1
    counts = home.job(job_id)["counts"]
    assert counts["deleted"] == len(crm.contacts("deleted"))
    assert counts["skipped"] == MANY - counts["deleted"]
    for command in ("pause", "resume", "cancel", "approve"):
        refused = home.cli(command, job_id)
        assert refused.code == 2
        assert len(refused.stderr.splitlines()) == 1


def test_a_large_job_waits_for_approval(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 20)
    home.configure(main={"url": crm.url, "approval_above": 10})
    home.start("worker")
    job_id = home.submit("main", *range(1, 12))
    job = home.job(job_id)
    assert (job["state"], job["state_reason"]) == ("awaiting_approval", "approval")
    assert f"crm-sweep approve {job_id}" in home.cli("status", job_id).stdout
    assert not crm.contacts("sent")
    assert home.cli("approve", job_id).code == 0
    assert home.cli("watch", job_id).code == 0
    assert len(crm.contacts("deleted")) == 11


def test_submitting_twice_under_one_id_makes_one_job(queued: Home) -> None:
    first = queued.cli("submit", queued.ids(1, 2, 3), "--portal", "main", "--id", "ticket-7")
    again = queued.cli("submit", queued.write("again.json", "[3,2,1]"), "--portal", "main", "--id", "ticket-7")
    assert (first.code, first.stdout) == (again.code, again.stdout) == (0, "ticket-7\n")
    assert "before" in again.stderr
    other = queued.cli("submit", queued.ids(1, 2), "--portal", "main", "--id", "ticket-7")
    assert (other.code, other.stdout) == (2, "")
    assert "ticket-7" in other.stderr
    elsewhere = queued.cli("submit", queued.ids(1, 2, 3), "--portal", "other", "--id", "ticket-7")
    assert elsewhere.code == 2
    assert queued.job("ticket-7")["total"] == 3
    for bad in ("a b", "", "x" * 65, "-x"):
        assert queued.cli("submit", queued.ids(1), "--portal", "main", "--id", bad).code == 2
    assert len(json.loads(queued.cli("list", "--json").stdout)["jobs"]) == 1


def test_list_shows_the_newest_first_by_page_and_filter(queued: Home) -> None:
    for number in range(4):
        queued.submit("main" if number % 2 else "other", number + 1, more=("--id", f"job-{number}"))
    page = json.loads(queued.cli("list", "--json").stdout)
    assert sorted(page) == ["jobs", "next_cursor"]
    assert page["next_cursor"] is None
    assert [job["id"] for job in page["jobs"]] == ["job-3", "job-2", "job-1", "job-0"]
    assert list(page["jobs"][0])[: len(JOB_KEYS)] == JOB_KEYS
    first = json.loads(queued.cli("list", "--json", "--limit", "3").stdout)
    rest = json.loads(queued.cli("list", "--json", "--limit", "3", "--cursor", first["next_cursor"]).stdout)
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ["job-3", "job-2", "job-1", "job-0"]
    of_portal = json.loads(queued.cli("list", "--json", "--portal", "main", "--state", "queued").stdout)
    assert [job["id"] for job in of_portal["jobs"]] == ["job-3", "job-1"]
    shown = queued.cli("list").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["id", "job-3", "job-2", "job-1", "job-0"]
    assert "no_worker" in shown[1]
    assert queued.cli("list", "--cursor", "x").code == 2
    assert queued.cli("list", "--state", "lost").code == 2
    assert queued.cli("list", "--portal", "mian").code == 4


def test_json_of_submit_is_the_job(queued: Home) -> None:
    job = json.loads(queued.cli("submit", queued.ids(5, 5), "--portal", "main", "--json").stdout)
    assert (job["total"], job["duplicates"], job["counts"]["pending"], job["state"]) == (1, 1, 1, "queued")
    assert job["state_reason"] == "no_worker"


def test_a_reader_that_has_had_enough_is_no_error(queued: Home) -> None:
    job_id = queued.submit("main", *range(1, 200_001))
    process = subprocess.Popen(
        [PROGRAM, "results", job_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=queued.directory,
        env=queued.environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"contact_id,")
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_without_standard_output_nothing_breaks(queued: Home) -> None:
    job_id = queued.submit("main", 1)
    for command in (f"results {job_id} >&-", f"status {job_id} >&- 2>&-", "list --json <&- >&-"):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{PROGRAM} {command}"], cwd=queued.directory, env=queued.environment(), check=False
        )
        assert done.returncode == 0


def test_ctrl_c_ends_the_watching_not_the_job(queued: Home) -> None:
    job_id = queued.submit("main", 1)
    watching = queued.start("watch", job_id)
    log = queued.directory / "watch.0.log"
    until(lambda: b"queued" in log.read_bytes())
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 130
    assert "Traceback" not in log.read_text()
    assert queued.job(job_id)["state"] == "queued"


def test_watch_says_what_a_stopped_job_waits_for_and_goes_on_with_it(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 10)
    crm.change(module_denied=True)
    home.configure(main={"url": crm.url})
    home.start("worker")
    job_id = home.submit("main", 1, 2)
    watching = home.start("watch", job_id)
    log = home.directory / "watch.1.log"
    until(lambda: b"portal_forbidden" in log.read_bytes())
    assert f"crm-sweep resume {job_id}" in log.read_text()
    assert watching.poll() is None
    crm.change(module_denied=False)
    assert home.cli("resume", job_id).code == 0
    assert watching.wait(30) == 0


def test_two_workers_and_many_jobs_delete_each_contact_once(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 900, "--base-ms", 20)
    home.configure(main={"url": crm.url, "max_concurrency": 4, "batch_size_start": 20, "batch_size_max": 20})
    for _ in range(2):
        home.start("worker")
    lists = [home.write(f"{part}.txt", "\n".join(map(str, range(part + 1, 900, 3)))) for part in range(3)]
    with ThreadPoolExecutor(3) as pool:
        submitted = list(pool.map(lambda file: home.cli("submit", file, "--portal", "main"), lists))
    for result in submitted:
        assert home.cli("watch", result.stdout.strip()).code == 0
    assert len(crm.contacts("deleted")) == 899
    assert not crm.contacts("sent_again")
    assert crm.summary()["peak_in_flight"] <= 4


def test_what_failed_is_tried_again(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100, "--poisoned", 2)
    home.configure(main={"url": crm.url, "max_attempts": 2, "backoff_base_s": 0.01})
    job_id = home.cli("submit", home.ids(*range(1, 101)), "--portal", "main").stdout.strip()
    early = home.cli("retry-failed", job_id)
    assert early.code == 2
    assert "retry-failed is not possible while the job is" in early.stderr
    home.start("worker")
    assert home.cli("watch", job_id).code == 3
    assert home.job(job_id)["counts"]["failed"] == 2
    crm.change_world(cure=list(crm.contacts("poisoned")))
    retried = home.cli("retry-failed", job_id)
    assert (retried.code, retried.stdout) == (0, f"job {job_id} is queued: 2 contacts are retried\n")
    assert home.cli("watch", job_id).code == 0
    assert home.job(job_id)["counts"]["deleted"] == len(crm.contacts("deleted")) == 100
    assert "there is nothing to retry" in home.cli("retry-failed", job_id).stdout
    assert home.cli("retry-failed", "nobody").code == 4
