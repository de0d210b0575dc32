"""The API against its own document: schemathesis with all its checks, a real worker and a simulated portal behind it.

By default a bounded run with a fixed seed. `SCHEMA_EXAMPLES=500 SCHEMA_SEED=7` makes it a longer and different one.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from tests.support.bundles import PUBLIC_KEY
from tests.support.home import Home, until
from tests.support.portal_process import Portal
from tests.support.schema_hooks import STREAMED

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")

#: Test cases per operation in the phase of random ones; the other phases depend only on the document. Without keys, a
#: quarter of them: the seed is the same, so the others would be sent twice, and the first ones already show that the
#: answer is the same without a key.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "80"))
EXAMPLES_WITHOUT_KEYS = max(1, EXAMPLES // 4)
SEED = int(os.environ.get("SCHEMA_SEED", "1"))
TIMEOUT_S = 100 + 2 * EXAMPLES

KEY = "a-key-that-may-do-everything"
KEYS = f"""
[[api.keys]]
name = "schemathesis"
key_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
scopes = ["read", "submit", "control"]
"""


@dataclass(frozen=True)
class Service:
    """The API as a process, with everything that belongs to it.

    Attributes:
        home: where it runs.
        url: its address.
        key: what it requires, if anything.
    """

    home: Home
    url: str
    key: str | None

    def get(self, path: str) -> Any:
        """Get a document."""
        return self._ask("GET", path)

    def send(self, method: str, path: str, document: object) -> Any:
        """Send a document, and return the answer."""
        return self._ask(method, path, json.dumps(document).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = Request(self.url + path, body, headers, method=method)  # noqa: S310 - our own server
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)


@pytest.fixture(params=[None, KEY], ids=["without keys", "with keys"])
def service(request: pytest.FixtureRequest, home: Home, portal: Callable[..., Portal]) -> Iterator[Service]:
    """Run API, worker and portal; a second portal cannot be reached."""
    key: str | None = request.param
    home.cli("keys", "new", "receipt", "-o", "receipts.pem")
    (home.directory / "undo").mkdir()
    undo = {"undo": "optional", "undo_store": str(home.directory / "undo"), "undo_recipients": [PUBLIC_KEY]}
    home.configure(
        more=f'[api]\nmax_body_mb = 1\n{KEYS if key else ""}\n[receipts]\nkey_file = "receipts.pem"\n',
        main={"url": portal("--contacts", 100_000, "--base-ms", 50).url, "approval_above": 3, **undo},
        away={"url": "http://127.0.0.1:9", **undo},
    )
    home.start("worker")
    api = home.start("api", "--port", "0")
    log = home.directory / "api.1.log"
    until(lambda: "listening on" in log.read_text() or api.poll() is not None)
    address = re.search(r"listening on (http://\S+)", log.read_text())
    assert address, log.read_text()
    yield Service(home, address[1], key)
    for log in home.directory.glob("*.log"):
        for fault in ("Traceback", "request_failed"):
            assert fault not in log.read_text(), log.read_text()[-5000:]


def try_all(service: Service) -> tuple[int, str, list[dict[str, Any]]]:
    """Run schemathesis; return its exit code, its output, and every request with its answer."""
    config = service.home.directory / "schemathesis.toml"
    settings = Path(__file__).with_name("schemathesis.toml").read_text()
    config.write_text(settings + (f'\n[auth.openapi.key]\nbearer = "{service.key}"\n' if service.key else ""))
    record = service.home.directory / "record.har"
    examples = EXAMPLES if service.key else EXAMPLES_WITHOUT_KEYS
    done = subprocess.run(
        [
            SCHEMATHESIS, "--no-color", "--config-file", str(config), "run", f"{service.url}/openapi.json",
            "--max-examples", str(examples), "--seed", str(SEED), "--report", "har", "--report-har-path", str(record),
        ],
        capture_output=True,
        text=True,
        cwd=service.home.directory,
        env=service.home.environment(PYTHONPATH=str(ROOT)),
        timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    entries = json.loads(record.read_text())["log"]["entries"] if record.exists() else []
    return done.returncode, done.stdout + done.stderr, entries


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_every_answer_is_as_documented(service: Service) -> None:
    code, said, entries = try_all(service)
    assert code == 0, said[-20_000:]
    # It did get in, by every way in.
    accepted = {
        entry["request"]["postData"]["mimeType"]
        for entry in entries
        if entry["response"]["status"] in {200, 202} and "postData" in entry["request"]
    }
    assert accepted >= {"application/json", *STREAMED}
    got_in = [
        f"{entry['request']['method']} {urlsplit(entry['request']['url']).path}"
        for entry in entries
        if entry["response"]["status"] not in {401, 403}
    ]
    for path, operations in service.get("/openapi.json")["paths"].items():
        for method in operations if path.startswith("/v1/") else ():
            call = re.compile(f"{method.upper()} {re.sub('{[^}]*}', '[^/]+', path)}")
            assert any(map(call.fullmatch, got_in)), (call.pattern, got_in[:3])
    # And after all that, it still works.
    for stopped in ({}, {"portal": "main"}):
        service.send("POST", "/v1/start", stopped)
    service.send("PATCH", "/v1/portals/main", {"requests_per_second": None, "max_concurrency": None})
    job = service.send("POST", "/v1/jobs", {"portal": "main", "contact_ids": [99_999], "priority": "urgent"})
    until(lambda: service.get(f"/v1/jobs/{job['id']}")["state"] == "completed")


def test_the_document_is_openapi(service: Service) -> None:
    document = service.get("/openapi.json")
    wrong = [f"{error.instance_path}: {error.message}" for error in OPENAPI.iter_errors(document)]
    assert not wrong
    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert sum(len(path) for path in document["paths"].values()) == len(operations)
    for where, found in walk(document):
        if "$ref" in found:
            assert resolve(document, found["$ref"]) is not None, where
        if where[-1:] == ("schema",) or (where[:2] == ("components", "schemas") and len(where) == 3):
            assert jsonschema_rs.meta.is_valid(found | {"$schema": document["jsonSchemaDialect"]}), where
        if where[-2:-1] == ("links",):
            assert found["operationId"] in operations, where
    assert ("security" in str(document)) == bool(service.key)


#: The schema of the specification leaves schemas in documents to the dialect: they are checked one by one.
OPENAPI = jsonschema_rs.validator_for(OPENAPI_31)


def walk(value: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every object in a document, with its place."""
    if isinstance(value, dict):
        yield where, value
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from walk(inner, (*where, str(name)))


def resolve(document: dict[str, Any], reference: str) -> Any:
    """Return what a reference within the document points to."""
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found
