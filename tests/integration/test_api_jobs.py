"""Looking at jobs over HTTP."""

import json

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Portal, Settings
from jobs.accept.submit import submit
from jobs.view.job import read_job, to_json
from tests.conftest import settings_for
from tests.support.serving import serving
from tests.support.submitting import request


@pytest.fixture
def settings(server: EmbeddedServer) -> Settings:
    portals = [Portal(name=name, url="http://crm", token=SecretStr("secret-token")) for name in ("main", "other")]
    return settings_for(server, *portals)


async def test_a_job_is_answered_as_the_command_line_prints_it(redis: ArqRedis, settings: Settings) -> None:
    job_id = (await submit(redis, request(portal="main", ids=BitMap([3, 1, 2])))).job_id
    async with serving(settings, redis) as api:
        answer = await api.json("GET", f"/v1/jobs/{job_id}")
    assert answer == json.loads(to_json(await read_job(redis, job_id)))
    assert (answer["total"], answer["state"], answer["state_reason"]) == (3, "queued", "no_worker")


@pytest.mark.parametrize("job_id", ["nobody", "-no-job-id", "x" * 65, "a%2Fb", "%00", "%ff"])
async def test_an_unknown_job_is_a_problem(redis: ArqRedis, settings: Settings, job_id: str) -> None:
    async with serving(settings, redis) as api:
        problem = await api.json("GET", f"/v1/jobs/{job_id}", status=404)
    assert problem["type"] == "urn:crm-sweep:problem:unknown-job"
