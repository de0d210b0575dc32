"""The Kubernetes manifests are valid, and agree with the program, the image, the compose file and the documents."""

import importlib
import ipaddress
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.main import _app
from config.settings import Settings, load_settings
from tests.support.documents import ROOT, blocks
from tests.support.kustomize import Manifest, build, containers
from web.api.operations import OPERATIONS
from web.http.limits import Limits

# Comes with pre-commit and has no type information.
yaml = importlib.import_module("yaml")

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = {path.name: build(path) for path in sorted((KUBERNETES / "overlays").iterdir())}
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BENCHMARKS = " ".join((ROOT / "docs" / "benchmarks.md").read_text().split())
SECRETS = "/run/secrets/crm-sweep"

#: The oldest version that gets security fixes somewhere, and the newest one whose schemas there are.
VERSIONS = ("1.29.0", "1.37.0")

in_every_overlay = pytest.mark.parametrize("manifests", OVERLAYS.values(), ids=OVERLAYS)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def pod(manifests: list[Manifest], name: str) -> Manifest:
    spec: Manifest = of_kind(manifests, "Deployment")[name]["spec"]["template"]["spec"]
    return spec


def labels(manifests: list[Manifest], name: str) -> dict[str, str]:
    found: dict[str, str] = of_kind(manifests, "Deployment")[name]["spec"]["template"]["metadata"]["labels"]
    return found


def toml(manifests: list[Manifest]) -> str:
    text: str = of_kind(manifests, "ConfigMap")["crm-sweep"]["data"]["crm-sweep.toml"]
    return text


def secret_files(manifests: list[Manifest]) -> set[str]:
    """Return the keys of the Secret that the configuration names as files."""
    return set(re.findall(rf'_file = "{SECRETS}/([\w-]+)"', toml(manifests)))


def settings_of(manifests: list[Manifest], directory: Path) -> Settings:
    """Load the configuration as a container would, with the Secret in a directory here."""
    for name in secret_files(manifests):
        (directory / name).write_text("secret\n")
    (directory / "crm-sweep.toml").write_text(toml(manifests).replace(SECRETS, str(directory)))
    [environment] = {tuple((one["name"], one["value"]) for one in each["env"]) for each in containers(manifests)}
    variables = dict(environment)
    mount = Path(variables.pop("CRM_SWEEP_CONFIG"))
    assert mount == Path("/etc/crm-sweep/crm-sweep.toml")
    return load_settings(directory / "crm-sweep.toml", variables)


def mebibytes(text: str) -> int:
    assert text.endswith("Mi")
    return int(text.removesuffix("Mi"))


def test_there_is_an_overlay_for_one_server_and_one_for_sentinel() -> None:
    assert set(OVERLAYS) == {"single", "sentinel"}


@pytest.mark.parametrize("version", VERSIONS)
@in_every_overlay
def test_kubernetes_takes_the_manifests(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize in it, is not installed")
@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_the_same(name: str) -> None:
    overlay = KUBERNETES / "overlays" / name
    done = subprocess.run(["/usr/bin/env", "kubectl", "kustomize", overlay], capture_output=True, check=True, text=True)
    # A generated map has a hash in its name, and so have the references to it.
    built = list(yaml.safe_load_all(re.sub(r"\bcrm-sweep-[0-9a-z]{10}$", "crm-sweep", done.stdout, flags=re.MULTILINE)))

    def by_name(manifests: list[Manifest]) -> list[Manifest]:
        return sorted(manifests, key=lambda one: (one["kind"], one["metadata"]["name"]))

    assert by_name(built) == by_name(OVERLAYS[name])


def test_the_image_is_that_of_the_compose_file() -> None:
    base = build(KUBERNETES / "base")
    assert {container["image"] for container in containers(base)} == {COMPOSE["worker"]["image"]}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for manifests in OVERLAYS.values():
        assert {container["image"].rpartition(":")[2] for container in containers(manifests)} == {version}


@in_every_overlay
def test_commands_are_ones_that_the_program_takes(manifests: list[Manifest]) -> None:
    for container in containers(manifests):
        command, *options = container["args"]
        group = get_command(_app([command]))
        assert isinstance(group, TyperGroup)
        group.commands[command].make_context(command, list(options))
    [api] = pod(manifests, "crm-sweep-api")["containers"]
    assert api["args"] == COMPOSE["api"]["command"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_configuration_is_accepted_with_its_secrets(name: str, tmp_path: Path) -> None:
    settings = settings_of(OVERLAYS[name], tmp_path)
    assert settings.api.keys, "without keys the API does not listen beyond loopback"
    assert settings.log.format == "json"
    assert settings.portals


@in_every_overlay
def test_no_secret_is_in_a_manifest(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    parsed = tomllib.loads(toml(manifests))
    for table in (parsed["redis"], *parsed["portals"].values()):
        assert not {"token", "password", "proxy_password", "sentinel_password"} & table.keys()
        for name, value in table.items():
            if name.endswith("_file"):
                assert Path(value).parent == Path(SECRETS)
    for name in of_kind(manifests, "Deployment"):
        spec = pod(manifests, name)
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert volumes["secrets"]["secret"] == {"secretName": "crm-sweep", "defaultMode": 0o440}
        for container in spec["containers"]:
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            assert mounts.keys() == volumes.keys()
            assert mounts["secrets"] == {"name": "secrets", "mountPath": SECRETS, "readOnly": True}
            assert mounts["configuration"] == {
                "name": "configuration", "mountPath": "/etc/crm-sweep", "readOnly": True
            }  # fmt: skip


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_documents_say_how_to_make_the_secret(name: str) -> None:
    lines = [" ".join(step[0].split()) for block in console() for step in block.steps()]
    [make] = [line for line in lines if "create secret generic crm-sweep " in line and name_of(line) == name]
    assert set(re.findall(r"--from-file=([\w-]+)", make)) == secret_files(OVERLAYS[name])
    assert "--namespace crm-sweep" in make


def console() -> list[Any]:
    return [block for block in blocks(ROOT / "docs" / "deployment.md") if block.language == "console"]


def name_of(line: str) -> str:
    return "sentinel" if "sentinel-password" in line else "single"


def test_the_documents_apply_directories_that_exist() -> None:
    named = {
        match[1]
        for block in console()
        for line in block.lines
        for match in re.finditer(r"(?:cp -r|--filename) (deploy/\S+)", line)
    }
    assert named
    assert all((ROOT / name).exists() for name in named)


@in_every_overlay
def test_pods_have_no_more_rights_than_they_need(manifests: list[Manifest]) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user is not None
    [account] = of_kind(manifests, "ServiceAccount").values()
    assert account["automountServiceAccountToken"] is False
    [space] = of_kind(manifests, "Namespace").values()
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name in of_kind(manifests, "Deployment"):
        spec = pod(manifests, name)
        assert spec["serviceAccountName"] == account["metadata"]["name"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": int(user[1]),
            "runAsGroup": int(user[2]),
            "fsGroup": int(user[2]),
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@in_every_overlay
def test_workers_have_time_to_finish(manifests: list[Manifest], tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    grace_s = load_settings(tmp_path / "empty.toml", {}).worker.shutdown_grace_s
    assert "shutdown_grace_s" not in toml(manifests)
    worker = pod(manifests, "crm-sweep-worker")
    assert worker["terminationGracePeriodSeconds"] >= grace_s + 15
    [container] = worker["containers"]
    assert not {"lifecycle", "ports", "livenessProbe", "readinessProbe", "startupProbe"} & container.keys()


@in_every_overlay
def test_the_api_has_time_to_finish(manifests: list[Manifest]) -> None:
    api = pod(manifests, "crm-sweep-api")
    [container] = api["containers"]
    program, pause = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert api["terminationGracePeriodSeconds"] >= int(pause) + Limits().ending_s + 15


@in_every_overlay
def test_an_outage_of_redis_restarts_nothing(manifests: list[Manifest]) -> None:
    [api] = pod(manifests, "crm-sweep-api")["containers"]
    paths = {name: api[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert set(paths.values()) <= {operation.path for operation in OPERATIONS}
    # A probe of readiness that waits for Redis answers after three seconds at the latest.
    assert api["readinessProbe"]["timeoutSeconds"] > 3


@in_every_overlay
def test_ports_agree_with_the_image(manifests: list[Manifest]) -> None:
    [exposed] = map(int, re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE))
    [api] = pod(manifests, "crm-sweep-api")["containers"]
    assert api["ports"] == [{"name": "http", "containerPort": exposed}]
    assert api["args"][-1] == str(exposed)
    for service in of_kind(manifests, "Service").values():
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
        assert service["spec"]["selector"].items() <= labels(manifests, "crm-sweep-api").items()
    [rule] = of_kind(manifests, "NetworkPolicy")["crm-sweep-to-api"]["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": exposed}]


@in_every_overlay
def test_memory_is_more_than_was_measured(manifests: list[Manifest]) -> None:
    measured = re.search(r"The API peaks at (\d+) MB \((\d+) MB idle\), the worker at (\d+) MB", BENCHMARKS)
    assert measured is not None
    peak, idle, worker_peak = map(int, measured.groups())
    for name, most in (
        ("crm-sweep-api", idle + Limits().submissions * (peak - idle)),
        ("crm-sweep-worker", worker_peak),
    ):
        [container] = pod(manifests, name)["containers"]
        resources = container["resources"]
        assert mebibytes(resources["limits"]["memory"]) * 1.048576 >= 1.2 * most
        assert mebibytes(resources["requests"]["memory"]) * 1.048576 >= min(most, peak)
        assert "cpu" not in resources["limits"]


@in_every_overlay
def test_disruptions_and_nodes_take_one_pod_at_a_time(manifests: list[Manifest]) -> None:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    for name, deployment in of_kind(manifests, "Deployment").items():
        assert deployment["spec"]["replicas"] == 2
        assert deployment["spec"]["selector"]["matchLabels"] == labels(manifests, name)
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        assert budgets[name]["spec"]["selector"]["matchLabels"] == labels(manifests, name)
        spread = pod(manifests, name)["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        assert all(one["labelSelector"]["matchLabels"] == labels(manifests, name) for one in spread)


def ways_out(manifests: list[Manifest], name: str) -> set[tuple[str, int]]:
    """Return where a pod can send something: the place, and the port."""
    found = set()
    for policy in of_kind(manifests, "NetworkPolicy").values():
        spec = policy["spec"]
        if spec["podSelector"]["matchLabels"].items() <= labels(manifests, name).items():
            for rule in spec.get("egress", ()):
                assert rule["to"], "a rule without places lets everything through"
                for place in rule["to"]:
                    found |= {(place_name(place), port["port"]) for port in rule["ports"]}
    return found


def place_name(place: Manifest) -> str:
    if "ipBlock" in place:
        network = ipaddress.ip_network(place["ipBlock"]["cidr"])
        assert network.num_addresses == 1
        return str(network.network_address)
    return str(place["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])


@pytest.mark.parametrize(
    ("name", "redis"),
    [("single", {("192.0.2.10", 6379)}), ("sentinel", {("redis", 6379), ("redis", 26379)})],
)
def test_workers_reach_portal_redis_and_dns_alone_and_the_api_not_even_the_portal(
    name: str, redis: set[tuple[str, int]]
) -> None:
    manifests = OVERLAYS[name]
    everything = of_kind(manifests, "NetworkPolicy")["crm-sweep"]["spec"]
    assert set(everything["policyTypes"]) == {"Ingress", "Egress"}
    assert all(everything["podSelector"]["matchLabels"].items() <= labels(manifests, pod_).items() for pod_ in PODS)
    assert ways_out(manifests, "crm-sweep-api") == {("kube-system", 53)} | redis
    assert ways_out(manifests, "crm-sweep-worker") == {("kube-system", 53), ("198.51.100.10", 443)} | redis


PODS = ("crm-sweep-worker", "crm-sweep-api")


@in_every_overlay
def test_nobody_reaches_a_worker(manifests: list[Manifest]) -> None:
    ways_in = {
        name
        for policy in of_kind(manifests, "NetworkPolicy").values()
        if policy["spec"].get("ingress")
        for name in PODS
        if policy["spec"]["podSelector"]["matchLabels"].items() <= labels(manifests, name).items()
    }
    assert ways_in == {"crm-sweep-api"}
