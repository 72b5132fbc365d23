"""The files of `infra/flink`: descriptions that the operator accepts, scripts that are scripts."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra" / "flink"
DESCRIPTIONS = sorted((INFRA / "kubernetes").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> Any:
    """Of a FlinkDeployment, strict: a misspelt field is none."""
    jars = list((ROOT / ".cache" / "flink" / "operator").glob("*.jar"))
    if not jars:
        pytest.skip("NOT RUN: the schema of FlinkDeployment is not here (infra/flink/setup.sh obtains it)")
    with zipfile.ZipFile(jars[0]) as jar:
        text = jar.read("META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml")
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    return strict(version["schema"]["openAPIV3Schema"])


def strict(schema: Any) -> Any:
    """The schema with no other properties than it names, and quantities as numbers or text."""
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        found["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        found.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.name)
def test_the_operator_accepts_it(path: Path, schema: Any):
    jsonschema = pytest.importorskip("jsonschema")
    found = yaml.safe_load(path.read_text("utf-8"))
    assert (found["apiVersion"], found["kind"]) == ("flink.apache.org/v1beta1", "FlinkDeployment")
    jsonschema.validate(found["spec"], schema["properties"]["spec"])
    found["spec"]["taskManager"]["podTemplate"]["spec"]["container"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found["spec"], schema["properties"]["spec"])


def test_there_is_one_with_and_one_without_a_gpu():
    texts = [path.read_text("utf-8") for path in DESCRIPTIONS]
    assert sorted("nvidia.com/gpu" in text for text in texts) == [False, True]


@pytest.mark.parametrize("script", sorted(INFRA.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_one(script: Path):
    subprocess.run(["bash", "-n", script], check=True)
    assert script.stat().st_mode & 0o111


def test_restarts_outlast_the_loss_of_a_task_manager():
    """Until `heartbeat.timeout` it is taken for alive, and what is restarted on it fails at once."""
    plain = yaml.safe_load((INFRA / "config.yaml").read_text("utf-8"))
    waits, heartbeat = plain["restart-strategy"]["exponential-delay"], plain["heartbeat"]
    settings = [(waits, heartbeat["timeout"])]
    prefix = "restart-strategy.exponential-delay."
    for path in DESCRIPTIONS:
        flink = yaml.safe_load(path.read_text("utf-8"))["spec"]["flinkConfiguration"]
        settings.append(({k.removeprefix(prefix): v for k, v in flink.items()}, flink["heartbeat.timeout"]))
    for waits, timeout_ms in settings:
        wait, longest = (float(waits[name].removesuffix("s")) for name in ("initial-backoff", "max-backoff"))
        attempts, factor = int(waits["attempts-before-reset-backoff"]), float(waits["backoff-multiplier"])
        total = sum(min(longest, wait * factor**attempt) for attempt in range(attempts))
        assert total >= 10 * int(timeout_ms) / 1000
        assert longest * 1000 >= int(timeout_ms)
