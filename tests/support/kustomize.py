"""Builds our Kubernetes overlays as kustomize does, as far as they use it: anything else in them is refused."""

import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

# Comes with pre-commit and has no type information.
yaml = importlib.import_module("yaml")

Manifest: TypeAlias = dict[str, Any]

_UNDERSTOOD = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images"}


def build(directory: Path) -> list[Manifest]:
    """Return the manifests of a directory with a `kustomization.yaml`.

    The names of generated config maps stay without kustomize's hash.
    """
    plan = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert plan.keys() <= _UNDERSTOOD, f"{directory.name}: {plan.keys() - _UNDERSTOOD}"
    manifests: list[Manifest] = []
    for resource in plan.get("resources", ()):
        path = (directory / resource).resolve()
        manifests += build(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for map_ in plan.get("configMapGenerator", ()):
        data = {name: (directory / name).read_text() for name in map_["files"]}
        manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map_["name"]}, "data": data})
    manifests = copy.deepcopy(manifests)  # YAML's anchors are one object in several places
    for manifest in manifests:
        if manifest["kind"] != "Namespace":
            manifest["metadata"]["namespace"] = plan["namespace"]
    for image in plan.get("images", ()):
        for container in containers(manifests):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return manifests


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield all containers of all pods."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            yield from manifest["spec"]["template"]["spec"]["containers"]
