"""Other services, in interpreters that have arq but not this project, submit jobs to a worker process."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis

from tests.support.home import Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

OURS = ("config", "jobs", "worker", "web", "cli", "simulator", "tools", "tests", "bench", "chaos")

#: The contract's own lines, in a service that cannot import this project.
SERVICE = """
import asyncio, importlib, json, sys
sys.path.append(sys.argv[1])
for name in json.loads(sys.argv[2]):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} can be imported, so this proves nothing")

from arq import create_pool
from arq.connections import RedisSettings

def dumps(value):
    return json.dumps(value).encode()

async def main():
    redis = await create_pool(RedisSettings.from_dsn(sys.argv[3]), job_serializer=dumps, job_deserializer=json.loads,
                              default_queue_name="crm-sweep")
    request = json.loads(sys.argv[4])
    job = await redis.enqueue_job("delete_contacts", *request["args"], **request["kwargs"])
    told = {"id": job and job.job_id, "accepted": None, "answer": None}
    if job and request["wait"]:
        try:
            told["answer"] = await job.result(timeout=30, poll_delay=0.05)
            told["accepted"] = True
        except Exception as error:
            told.update(accepted=False, answer=str(error))
    print(json.dumps(told))
    await redis.aclose(close_connection_pool=True)

asyncio.run(main())
"""

#: A service that left arq's default in place.
PICKLING = """
import asyncio, sys
sys.path.append(sys.argv[1])
from arq import create_pool
from arq.connections import RedisSettings

class Trap:
    def __reduce__(self):
        return open, (sys.argv[3], "w")

async def main():
    redis = await create_pool(RedisSettings.from_dsn(sys.argv[2]), default_queue_name="crm-sweep")
    await redis.enqueue_job("delete_contacts", portal="main", contact_ids=Trap(), _job_id="pickled")
    await redis.aclose(close_connection_pool=True)

asyncio.run(main())
"""


@pytest.fixture(scope="session")
def foreign_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the packages installed here except this project, however it is installed."""
    there = tmp_path_factory.mktemp("packages")
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if package.suffix != ".pth" and package.name not in OURS and "crm_sweep" not in package.name:
            (there / package.name).symlink_to(package)
    return there


class Service:
    """Another service."""

    def __init__(self, packages: Path, redis_url: str) -> None:
        self._packages = packages
        self._redis_url = redis_url

    def hand_in(self, *args: Any, wait: bool = False, **kwargs: Any) -> dict[str, Any]:
        """Enqueue a request; return arq's job ID and, if it waits, what arq's result said."""
        request = json.dumps({"args": args, "kwargs": kwargs, "wait": wait})
        return dict(json.loads(self._run(SERVICE, json.dumps(OURS), self._redis_url, request)))

    def hand_in_pickled(self, trap: Path) -> None:
        """Enqueue the request `pickled`, which creates a file if it is loaded."""
        self._run(PICKLING, self._redis_url, str(trap))

    def _run(self, program: str, *args: str) -> str:
        command = [sys.executable, "-I", "-S", "-c", program, str(self._packages), *args]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture
def service(foreign_packages: Path, home: Home) -> Service:
    home.configure(main={"url": "http://127.0.0.1:9"})
    return Service(foreign_packages, home.redis_url)


def test_a_job_is_seen_at_once_and_done_when_a_worker_comes(home: Home, service: Service, portal: MakePortal) -> None:
    crm = portal("--contacts", 500, "--read-only", 5)
    home.configure(main={"url": crm.url})
    job_id = service.hand_in(portal="main", contact_ids=[*range(200, 0, -1), 7, 7], label="from billing")["id"]
    job = home.job(job_id)
    assert (job["state"], job["state_reason"], job["portal"], job["label"]) == (
        "queued", "no_worker", "main", "from billing"
    )  # fmt: skip
    assert (job["total"], job["duplicates"], job["counts"]["pending"], job["progress"]) == (200, 2, 200, 0.0)
    assert "crm-sweep worker" in home.cli("status", job_id).stdout
    told = home.cli("results", job_id)
    assert (told.code, f"job {job_id} has no ledger yet: no worker has taken it" in told.stderr) == (2, True)
    watching = home.start("watch", job_id)
    home.start("worker")
    assert watching.wait(60) == 0
    job = home.job(job_id)
    assert (job["state"], job["total"], job["label"]) == ("completed", 200, "from billing")
    assert job["counts"]["deleted"] == len(crm.contacts("deleted"))
    assert [action["by"] for action in job["actions"]] == ["arq"]


def test_one_id_is_one_job(home: Home, service: Service, portal: MakePortal) -> None:
    crm = portal("--contacts", 500)
    home.configure(main={"url": crm.url})
    home.start("worker")
    first = service.hand_in(portal="main", contact_ids=[1, 2, 3], _job_id="billing-4711", wait=True)
    assert first == {"id": "billing-4711", "accepted": True, "answer": "billing-4711"}
    assert home.cli("watch", "billing-4711").code == 0
    again = service.hand_in(portal="main", contact_ids=[3, 2, 1], _job_id="billing-4711", wait=True)
    assert again["id"] is None, "arq still has its result, and says so"

    def again_when_arq_has_forgotten(contact_ids: list[int]) -> dict[str, Any]:
        with sync_redis.Redis.from_url(home.redis_url) as client:
            client.delete("arq:result:billing-4711")
        return service.hand_in(portal="main", contact_ids=contact_ids, _job_id="billing-4711", wait=True)

    assert again_when_arq_has_forgotten([3, 2, 1])["accepted"] is True
    other = again_when_arq_has_forgotten([4, 5])
    assert other["accepted"] is False
    assert "billing-4711 already exists" in other["answer"]
    assert home.job("billing-4711")["total"] == 3
    assert len(json.loads(home.cli("list", "--json").stdout)["jobs"]) == 1
    assert set(crm.contacts("deleted")) == {1, 2, 3}


#: Wrong requests: their arguments by position and by name, and words of the complaint.
WRONG: list[tuple[list[Any], dict[str, Any], str]] = [
    (["main", [1, 2]], {}, "positional"),
    ([], {"portal": "nowhere", "contact_ids": [1]}, "nowhere"),
    ([], {"contact_ids": [1]}, "portal: given nothing"),
    ([], {"portal": "main"}, "contact_ids: given nothing"),
    ([], {"portal": "main", "contact_ids": []}, "no contact IDs"),
    ([], {"portal": "main", "contact_ids": [1, 5.0]}, "contact_ids[1]"),
    ([], {"portal": "main", "contact_ids": [1], "label": "x" * 201}, "label"),
    ([], {"portal": "main", "contact_ids": [1], "url": "http://x"}, "url"),
]


def test_requests_that_are_wrong_are_failed_jobs_that_say_so(home: Home, service: Service) -> None:
    home.start("worker")
    for number, (args, kwargs, word) in enumerate(WRONG):
        told = service.hand_in(*args, **kwargs, _job_id=f"wrong-{number}", wait=True)
        assert told["accepted"] is False
        assert word in told["answer"]
    failed = json.loads(home.cli("list", "--state", "failed", "--json").stdout)["jobs"]
    assert [job["id"] for job in reversed(failed)] == [f"wrong-{number}" for number in range(len(WRONG))]
    for job, (_, _, word) in zip(reversed(failed), WRONG, strict=True):
        assert (job["state_reason"], job["total"], sum(job["counts"].values())) == ("bad_request", 0, 0)
        assert word in job["last_error"]


def test_a_failed_job_is_there_for_every_command(home: Home, service: Service) -> None:
    home.start("worker")
    service.hand_in(portal="main", contact_ids=[0], _job_id="wrong", wait=True)
    assert home.job("wrong")["state"] == "failed"
    watched = home.cli("watch", "wrong")
    assert watched.code == 1
    for result in (watched, home.cli("status", "wrong"), home.cli("why", "wrong")):
        assert "contact_ids[0]: given 0" in result.stdout
    assert home.cli("results", "wrong").stdout == "contact_id,outcome,reason,http_status,attempts,at\n"
    for command in ("cancel", "retry-failed"):
        assert home.cli(command, "wrong").code == 2


def test_a_pickle_is_never_loaded_and_becomes_a_failed_job(home: Home, service: Service, tmp_path: Path) -> None:
    trap = tmp_path / "opened"
    service.hand_in_pickled(trap)
    assert home.cli("status", "pickled").code == 4
    assert home.cli("cancel", "pickled").code == 4
    home.start("worker")
    until(lambda: home.cli("status", "pickled").code == 0)
    job = home.job("pickled")
    assert (job["state"], job["total"]) == ("failed", 0)
    assert "pickle" in job["last_error"]
    assert "job_serializer" in job["last_error"]
    assert home.cli("watch", "pickled").code == 1
    assert not trap.exists()


def test_it_can_be_steered_before_a_worker_comes(home: Home, service: Service, portal: MakePortal) -> None:
    crm = portal("--contacts", 500)
    home.configure(main={"url": crm.url})
    for job_id, ids in {"paused": [1, 2], "cancelled": [3, 4], "urgent": [5, 6]}.items():
        service.hand_in(portal="main", contact_ids=ids, _job_id=job_id)
    assert home.cli("resume", "paused").code == 2
    assert home.cli("pause", "paused").code == 0
    assert home.cli("cancel", "cancelled").code == 0
    assert home.cli("priority", "urgent", "urgent").code == 0
    home.start("worker")
    assert home.cli("watch", "urgent").code == 0
    assert home.cli("watch", "cancelled").code == 1
    assert (home.job("urgent")["priority"], home.job("paused")["state"]) == ("urgent", "paused")
    assert set(crm.contacts("sent")) == {5, 6}
    assert home.cli("resume", "paused").code == 0
    assert home.cli("watch", "paused").code == 0
    assert set(crm.contacts("sent")) == {1, 2, 5, 6}
