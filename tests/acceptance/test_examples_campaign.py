"""What docs/campaigns.md shows other services do: a plan and its approval by curl, by plain arq, and its digest."""

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import pytest

from tests.support.documents import ROOT, blocks
from tests.support.examples import EXAMPLES, run, start_api
from tests.support.home import Home, Result, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]

PAGE = ROOT / "docs" / "campaigns.md"
SCRIPT = EXAMPLES / "campaign.sh"
FILTER = '{"tags": ["trash"], "without_tags": ["vip"]}'
SUBMITTER, APPROVER = "the key of a service", "the key of a person"
KEYS = "".join(
    f'[[api.keys]]\nname = "{name}"\nkey_sha256 = "{sha256(key.encode()).hexdigest()}"\nscopes = {json.dumps(scopes)}\n'
    for name, key, scopes in (
        ("billing", SUBMITTER, ["read", "submit"]),
        ("ann", APPROVER, ["read", "control"]),
    )
)


class Service(NamedTuple):
    """Where the API is, and the portal behind it."""

    url: str
    portal: Portal


@pytest.fixture
def service(home: Home, portal: MakePortal) -> Service:
    """Run an API with two keys, a worker, and a portal of which some contacts are tagged."""
    tags = "--tag", "trash=60", "--tag", "vip=30", "--tag", "friend=20"
    crm = portal("--contacts", 300, "--read-only", 30, "--invoiced", 30, *tags)
    home.write("protected.txt", "".join(f"{contact_id}\n" for contact_id in range(1, 61)))
    guards = {"second_person_above": 10, "protected_tags": ["friend"], "protected_ids_file": "protected.txt"}
    home.configure(more=KEYS, main={"url": crm.url} | guards)
    home.start("worker")
    return Service(start_api(home), crm)


def script(home: Home, service: Service, key: str, *arguments: str) -> Result:
    environment = {"CRM_SWEEP_URL": service.url, "CRM_SWEEP_KEY": key, "POLL_S": "0.1"}
    return run(home, "sh", str(SCRIPT), *arguments, **environment)


def test_the_script_plans_and_another_person_approves(home: Home, service: Service) -> None:
    made = script(home, service, SUBMITTER, "plan", "spring", "main", FILTER)
    assert made.code == 0, made.stderr
    job = home.job("spring")
    counts, digest = job["plan"]["counts"], made.stdout.strip()
    assert digest == job["plan"]["digest"]
    assert counts["protected"] > 0 < counts["read_only"]
    assert f"{counts['deletable']} of {job['total']} contacts would be deleted" in made.stderr
    assert f"{counts['read_only']} are read-only, {counts['has_invoice']} on an invoice" in made.stderr

    again = script(home, service, SUBMITTER, "plan", "spring", "main", FILTER)
    assert (again.code, again.stdout) == (0, made.stdout)
    unasked = script(home, service, SUBMITTER, "approve", "spring", digest)
    assert (unasked.code, "HTTP 403" in unasked.stderr) == (2, True)
    other = script(home, service, APPROVER, "approve", "spring", "0" * 12)
    assert (other.code, "HTTP 409" in other.stderr) == (2, True)

    approved = script(home, service, APPROVER, "approve", "spring", digest[:12])
    assert (approved.code, approved.stderr) == (0, "spring is queued\n")
    until(lambda: home.state("spring") == "completed")
    assert service.portal.contacts("deleted") == service.portal.contacts("existed") - service.portal.contacts("alive")
    assert home.job("spring")["counts"]["deleted"] == counts["deletable"] == len(service.portal.contacts("deleted"))


def test_the_script_says_why_there_is_no_plan(home: Home, service: Service) -> None:
    nothing = script(home, service, SUBMITTER, "plan", "none", "main", '{"tags": ["no such tag"]}')
    assert (nothing.code, nothing.stdout) == (1, "")
    assert "none is completed, with 0 contacts" in nothing.stderr
    wrong = script(home, service, SUBMITTER, "plan", "wrong", "main", '{"tag": ["trash"]}')
    assert wrong.code == 2
    assert "did you mean tags?" in wrong.stderr
    assert script(home, service, SUBMITTER, "plan", "spring").code == 2


def test_the_digest_can_be_computed_without_this_program(home: Home, service: Service) -> None:
    made = script(home, service, SUBMITTER, "plan", "spring", "main", FILTER)
    assert made.code == 0, made.stderr
    [shown] = [line for block in blocks(PAGE) for line in block.lines if line.startswith("guards: ")]
    guards: dict[str, Any] = json.loads(shown.removeprefix("guards: "))
    facts = {
        "address": service.portal.url,
        "protected": list(range(1, 61)),
        "guards": guards | {"second_person_above": 10, "protected_tags": ["friend"]},
    }
    home.write("conditions.json", json.dumps(facts))
    address = f"{service.url}/v1/jobs/spring/plan?format=csv"
    curl = f"curl -sS -H 'Authorization: Bearer {SUBMITTER}' '{address}'"
    done = run(home, "bash", "-c", f"set -o pipefail; {curl} | python3 {EXAMPLES / 'plan_digest.py'} conditions.json")
    assert (done.code, done.stdout) == (0, made.stdout), done.stderr


def test_the_arq_example_makes_a_plan(home: Home, service: Service) -> None:
    [code] = ["\n".join(block.lines) for block in blocks(PAGE) if block.language == "python"]
    home.write("nightly.py", code)
    done = run(home, sys.executable, "-W", "error", "nightly.py", home.redis_url)
    assert (done.code, done.stdout) == (0, "nightly-trash\n"), done.stderr
    until(lambda: home.state("nightly-trash") == "awaiting_approval")
    assert home.job("nightly-trash")["selection"]["filter"] == json.loads(FILTER)
