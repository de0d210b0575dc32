"""What ships, and how it is checked: the image, the compose file, the hooks and the gate agree with the project."""

import hashlib
import importlib
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.main import _app
from config.settings import load_settings
from simulator.__main__ import parse
from tests.support.documents import ROOT, blocks, make

# Comes with pre-commit and has no type information.
yaml = importlib.import_module("yaml")

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {name.partition(".")[0] for name in PROJECT["tool"]["setuptools"]["packages"]}
NOT_SHIPPED = {"tests", "tools", "bench", "chaos", "build"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if service.get("command") is None and "worker" in name}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def seconds(text: str) -> int:
    """Read a compose duration in whole seconds."""
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_every_package_on_disk_is_listed_in_the_build() -> None:
    found = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py")}
    shipped = {".".join(path.parts) for path in found if path.parts[0] not in NOT_SHIPPED and path.parts[0][0] != "."}
    assert shipped == set(PROJECT["tool"]["setuptools"]["packages"])


def test_files_that_are_not_modules_are_shipped_with_their_package() -> None:
    patterns: dict[str, list[str]] = PROJECT["tool"]["setuptools"]["package-data"]
    shipped = {
        path
        for package in PROJECT["tool"]["setuptools"]["packages"]
        for pattern in patterns["*"] + patterns.get(package, [])
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    there = {
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert there == shipped
    assert {"page.css", "base.html", "settle.lua", "py.typed"} <= {path.name for path in shipped}


def test_the_image_has_every_package_and_nothing_else_of_ours() -> None:
    copied = {match[1] for match in re.finditer(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)}
    assert copied == PACKAGES
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert let_in == PACKAGES | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in let_in)


def test_the_image_runs_a_worker_as_somebody_without_rights() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert 'ENTRYPOINT ["crm-sweep"]\nCMD ["worker"]' in final
    assert "STOPSIGNAL SIGTERM" in final
    user = re.search(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert user is not None
    assert int(user[1]) >= 10_000
    assert "--constraint constraints.txt" in DOCKERFILE


def test_the_python_of_the_image_is_one_that_the_project_supports() -> None:
    version = re.search(r"^ARG PYTHON=(\d+)\.(\d+)$", DOCKERFILE, re.MULTILINE)
    assert version is not None
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert (int(version[1]), int(version[2])) >= (3, 11)


@pytest.mark.parametrize("name", WORKERS)
def test_workers_scale_and_have_time_to_finish(name: str, tmp_path: Path) -> None:
    service = SERVICES[name]
    assert not {"container_name", "ports", "hostname"} & service.keys()
    (tmp_path / "empty.toml").write_text("")
    grace_s = load_settings(tmp_path / "empty.toml", {}).worker.shutdown_grace_s
    assert seconds(service["stop_grace_period"]) >= grace_s + 10
    servers = {one: how for one, how in service["depends_on"].items() if one != "simulator"}
    assert servers
    assert all(how == {"condition": "service_healthy"} for how in servers.values())


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_more_rights_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not any("TOKEN" in variable and value != "simulator-token" for variable, value in _environment(name).items())


def test_real_and_demo_jobs_never_meet() -> None:
    urls = {name: _environment(name).get("CRM_SWEEP_REDIS__URL") for name in OURS}
    assert urls["worker"] == urls["api"]
    assert urls["sentinel-worker"] == urls["sentinel-api"] != urls["worker"]
    assert urls["worker"] != urls["demo-worker"] == urls["demo-job"] == urls["demo-api"]
    profiles = {name: service.get("profiles") for name, service in OURS.items()}
    assert {name for name, profile in profiles.items() if profile is None} == {"worker", "api"}
    assert {name for name, profile in profiles.items() if profile == ["sentinel"]} == {
        "sentinel-worker", "sentinel-api"
    }  # fmt: skip


def test_what_is_published_is_published_to_this_machine_alone() -> None:
    published = {name: ports for name, service in SERVICES.items() if (ports := service.get("ports"))}
    assert set(published) == {"api", "sentinel-api", "demo-api", "prometheus", "grafana"}
    for [port] in published.values():
        address = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", port)
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", address), port
    assert len({re.sub(r".*?(\d+)\}?:\d+$", r"\1", port) for [port] in published.values()}) == len(published)


@pytest.mark.parametrize("name", ["api", "sentinel-api", "demo-api"])
def test_the_api_is_reached_where_the_image_says_and_asked_whether_it_is_ready(name: str) -> None:
    service = SERVICES[name]
    [exposed] = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert service["command"] == ["api", "--host", "0.0.0.0", "--port", exposed]  # noqa: S104 - in a container
    assert service["ports"][0].endswith(f":{exposed}")
    kind, program, option, script = service["healthcheck"]["test"]
    assert (kind, program, option) == ("CMD", "python", "-c")
    assert f"http://127.0.0.1:{exposed}/readyz" in script


def test_the_key_of_the_demo_opens_the_demo_alone() -> None:
    [key] = json.loads(_environment("demo-api")["CRM_SWEEP_API__KEYS"])
    assert key["key_sha256"] == hashlib.sha256(b"demo-key").hexdigest()
    assert "key_sha256" not in str(SERVICES["api"])
    portals = {name.split("__")[1] for name in _environment("demo-api") if "PORTALS" in name}
    assert portals == {"DEMO"}


@pytest.mark.parametrize("name", [name for name, service in OURS.items() if "command" in service])
def test_every_command_of_the_compose_file_is_one_that_the_program_takes(name: str) -> None:
    command, *options = SERVICES[name]["command"]
    if command == "simulator":
        parse(options)
        return
    group = get_command(_app([command]))
    assert isinstance(group, TyperGroup)
    group.commands[command].make_context(command, options)


def test_everything_that_services_refer_to_is_defined() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        assert {config["source"] for config in service.get("configs", [])} <= COMPOSE["configs"].keys()
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= COMPOSE["volumes"].keys()
    used = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}
    assert used == COMPOSE["configs"].keys()
    files = {(ROOT / config["file"]) for config in COMPOSE["configs"].values()}
    assert all(file.is_file() for file in files - {ROOT / "crm-sweep.toml"})
    assert SERVICES["redis"].get("ports") is None


def test_files_with_secrets_are_not_put_under_version_control() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for secret in COMPOSE["secrets"].values():
        assert re.sub(r"\$\{\w+:-\./([^}]*)\}", r"\1", secret["file"]) in ignored


def test_the_readme_names_services_and_a_token_file_that_exist() -> None:
    lines = [line for block in blocks(ROOT / "README.md") for line in block.lines]
    named = {match[1] for line in lines if (match := re.search(r"docker compose .*?run (?:--\S+ )*([\w-]+)", line))}
    assert named
    assert named <= SERVICES.keys()
    scaled = {match[1] for line in lines if (match := re.search(r"--scale ([\w-]+)=", line))}
    assert scaled == {"worker"}
    assert 'token_file = "/run/secrets/crm-token"' in (ROOT / "README.md").read_text()


def test_hooks_run_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    entries = [hook["entry"] for hook in hooks[0]["hooks"]]
    recipe = MAKEFILE.partition("\nlint: ")[2].partition("\n\n")[0].splitlines()[1:]
    assert entries == [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe]
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks[0]["hooks"])


def test_the_gate_runs_lint_and_then_tests() -> None:
    gate = ROOT / ".ci" / "run"
    assert os.access(gate, os.X_OK)
    lines = [line for line in gate.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[-2:] == ["make lint", "make test"]
    subprocess.run(["/usr/bin/env", "bash", "-n", gate], check=True)


def test_every_make_target_says_what_it_does() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    phony = set(MAKEFILE.partition(".PHONY:")[2].partition("\n")[0].split())
    shown = make()
    assert targets == phony == set(re.findall(r"^  make ([a-z-]+) ", shown, re.MULTILINE))


@pytest.mark.parametrize(("jobs", "expected"), [("", "-n auto"), ("3", "-n 3"), ("0", "-n 0")])
def test_the_number_of_test_processes_can_be_chosen(jobs: str, expected: str) -> None:
    shown = make("--dry-run", "test", JOBS=jobs)
    assert f".venv/bin/pytest {expected}" in shown


def test_a_change_of_the_pins_installs_again(tmp_path: Path) -> None:
    shown = make("--dry-run", "-W", "constraints.txt", f"VENV={tmp_path}", "lint")
    assert "--editable" in shown


def test_no_file_of_the_packaging_names_a_host_to_install_from() -> None:
    for name in (".ci/run", "Makefile", "Dockerfile", "pyproject.toml", "constraints.txt", ".pre-commit-config.yaml"):
        assert not re.search(r"https?://|index-url", (ROOT / name).read_text()), name


def _environment(name: str) -> dict[str, str]:
    environment: dict[str, str] = SERVICES[name].get("environment", {})
    return environment
