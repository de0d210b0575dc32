"""A job that is not where it is looked for: where else it may be."""

from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cli.errors import explain
from cli.exit_codes import ExitCode
from cli.state_dir import looking_in, run_id
from config.errors import CrmSweepError
from jobs.words.errors import UnknownJob

NAME_IT = "`crm-sweep run` keeps its jobs in a directory: name it with --state-dir, such as --state-dir .crm-sweep"
RUN = run_id("0f3c6a1b2d9e4c58aa")


@pytest.mark.parametrize(
    ("job_id", "state_dir", "told"),
    [
        ("spring", None, "no such job: spring; `crm-sweep list` shows the existing jobs"),
        (RUN, None, f"no such job: run-0f3c6a1b2d9e4c58 in Redis; {NAME_IT}"),
        (
            "spring",
            Path("here"),
            (
                "no such job: spring in here; name the directory that its `crm-sweep run` was given, or leave out "
                "--state-dir for a job that was submitted"
            ),
        ),
    ],
)
def test_it_is_told_where_to_look_for_a_job(job_id: str, state_dir: Path | None, told: str) -> None:
    with pytest.raises(LookupError) as caught, looking_in(job_id, state_dir):
        raise UnknownJob(job_id)
    assert explain(caught.value) == (told, ExitCode.NOT_FOUND)


@pytest.mark.parametrize(
    ("job_id", "state_dir", "is_told"), [(RUN, None, True), ("spring", None, False), (RUN, Path("here"), False)]
)
def test_without_a_redis_it_is_told_that_a_run_needs_none(job_id: str, state_dir: Path | None, is_told: bool) -> None:
    with pytest.raises((RedisConnectionError, CrmSweepError)) as caught, looking_in(job_id, state_dir):
        raise RedisConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused.")
    explained = explain(caught.value)
    assert explained is not None
    assert explained[0].startswith("Redis cannot be reached: ")
    assert (explained[0].endswith(NAME_IT), explained[1]) == (is_told, ExitCode.UNREACHABLE)
