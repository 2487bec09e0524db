"""The cluster files of docs/cluster.md fit their schemas; a KubeRay CRD is named by KUBERAY_CRD."""

from __future__ import annotations

import json
import os
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.places import ROOT
from tightfit.distributed.connection import DAEMON_VARIABLES
from tightfit.distributed.options import RayCluster

FILES = ROOT / "examples" / "cluster"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def read(name):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which the extra 'ray' brings")
    return yaml.safe_load((FILES / name).read_text())


def test_the_ray_cluster_file_fits_rays_own_schema():
    jsonschema = pytest.importorskip("jsonschema", reason="needs the extra 'ray'")
    spec = find_spec("ray")
    if spec is None:
        pytest.skip("needs the extra 'ray': pip install 'tightfit[ray]'")
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(read("ray-cluster.yaml"), schema)


def test_the_kuberay_manifest_fits_the_operators_definition():
    jsonschema = pytest.importorskip("jsonschema", reason="needs the extra 'ray'")
    place = os.environ.get("KUBERAY_CRD")
    if place is None:
        pytest.skip("needs ray.io_rayclusters.yaml of KubeRay: KUBERAY_CRD=…")
    yaml = pytest.importorskip("yaml")
    definition = yaml.safe_load(Path(place).read_text())
    manifest = read("kuberay.yaml")
    version = manifest["apiVersion"].rpartition("/")[2]
    own = next(v for v in definition["spec"]["versions"] if v["name"] == version)
    jsonschema.validate(manifest, closed(own["schema"]["openAPIV3Schema"]))


def closed(schema):
    """The schema that refuses fields it does not name, as the API server's strict validation does."""
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if "properties" in made:
        made["properties"] = {key: closed(value) for key, value in schema["properties"].items()}
        if "metadata" not in made["properties"] and not made.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


def test_only_the_latency_group_measures_and_takes_no_other_task():
    spec = read("kuberay.yaml")["spec"]
    groups = {g["groupName"]: g["rayStartParams"] for g in spec["workerGroupSpecs"]}
    measuring = [name for name, start in groups.items() if "latency:" in start.get("resources", "")]
    assert measuring == ["latency"]
    assert groups["latency"]["num-cpus"] == "0"
    words = shlex.split(groups["latency"]["resources"])
    assert json.loads(words[0]) == {"latency:server": 1}


def test_workers_of_the_files_start_when_needed_and_wait_for_the_next_task():
    spec = read("kuberay.yaml")["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for container in (c for group in groups for c in group["template"]["spec"]["containers"]):
        assert {each["name"]: each["value"] for each in container["env"]} == DAEMON_VARIABLES
    clusters = read("ray-cluster.yaml")
    starts = [*clusters["head_start_ray_commands"], *clusters["worker_start_ray_commands"]]
    for start in (each for each in starts if "ray start" in each):
        assert (
            dict(word.split("=", 1) for word in start.split() if word.startswith("RAY_")) == DAEMON_VARIABLES
        )


def test_every_address_of_the_page_is_one_that_the_command_takes():
    page = (ROOT / "docs" / "cluster.md").read_text()
    addresses = set(re.findall(r"--on ([\w:/.]+)", page))
    assert addresses
    for address in addresses:
        RayCluster.of(address)
