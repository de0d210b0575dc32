"""A job that is not where it is looked for: where else it may be."""

from pathlib import Path

import pytest

from cli.errors import ExitCode, explain
from cli.state_dir import looking_in, run_id
from jobs.words.errors import UnknownJob


@pytest.mark.parametrize(
    ("job_id", "state_dir", "told"),
    [
        ("spring", None, "no such job: spring; `crm-sweep list` shows the existing jobs"),
        (
            run_id("0f3c6a1b2d9e4c58aa"),
            None,
            (
                "no such job: run-0f3c6a1b2d9e4c58 in Redis; `crm-sweep run` keeps its jobs in a directory: name it with "
                "--state-dir, such as --state-dir .crm-sweep"
            ),
        ),
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
    with pytest.raises(LookupError) as caught, looking_in(state_dir):
        raise UnknownJob(job_id)
    assert explain(caught.value) == (told, ExitCode.NOT_FOUND)
