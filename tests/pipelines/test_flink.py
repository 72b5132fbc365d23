"""Whole runs on a real Flink cluster over object storage: the output is the local runner's, whatever is killed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flink_cluster import Cluster, flink_cluster, flink_folder, kill
from runs import contents, run
from scripted_runs import Logged, scripted_ports, start, write_corpus, write_recipe
from storage_servers import BUCKET, s3_client, s3_server

from avagent import storage
from avagent.runs.decision_parts import clips_in_parts

pytestmark = pytest.mark.flink
LIMIT_S = 600
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
CLIPS = 20
INPUT, ROOT_URL = f"s3://{BUCKET}/flink/in", f"s3://{BUCKET}/flink"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """URL of an S3 server."""
    with s3_server() as (host, port), s3_client(f"http://{host}:{port}"):
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def cluster(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = flink_folder()
    run_folder = tmp_path_factory.mktemp("cluster")
    with flink_cluster(folder, run_folder, AWS_ENDPOINT_URL=endpoint, **AWS) as started:
        yield started


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def whole(endpoint: str, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the local runner makes of the corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, tars=3, records_files=1, clips=CLIPS, seconds=1.0)
    for path in folder.iterdir():
        storage.write_bytes(storage.join(INPUT, path.name), path.read_bytes())
    output = f"{ROOT_URL}/local"
    with scripted_ports():
        assert run("refine", "--input", INPUT, "--output", output, "--recipe", recipe) == 0
    return fetched(output, tmp_path_factory.mktemp("local"))


def fetched(output: str, folder: Path) -> dict[str, str]:
    """Hashes of an output folder's files, times aside."""
    fs, path = storage.filesystem(output)
    fs.get(f"{path}/", f"{folder}/", recursive=True)
    return contents(folder)


def refine(cluster: Cluster, recipe: Path, output: str) -> Logged:
    arguments = ("refine", "--input", INPUT, "--output", output, "--recipe", recipe)
    return start(*arguments, *cluster.options, limit=LIMIT_S)


def wait_for(process: Logged, output: str, clips: int) -> None:
    """Until so many clips are decided."""
    while clips_in_parts(output) < clips:
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.text())


def test_the_output_is_that_of_the_local_runner(cluster: Cluster, recipe: Path, whole: dict[str, str], tmp_path: Path):
    output = f"{ROOT_URL}/flink"
    process = refine(cluster, recipe, output)
    text = process.text()
    assert process.returncode == 0, text
    assert fetched(output, tmp_path) == whole


def test_killed_workers_leave_no_trace(cluster: Cluster, recipe: Path, whole: dict[str, str], tmp_path: Path):
    """First an SDK worker, then a TaskManager with all its workers; another one takes its place."""
    output = f"{ROOT_URL}/killed"
    process = refine(cluster, recipe, output)
    wait_for(process, output, 1)
    kill(cluster.workers()[0])
    wait_for(process, output, CLIPS)
    cluster.replace_a_task_manager()
    text = process.text()
    assert process.returncode == 0, text
    assert fetched(output, tmp_path) == whole


def test_a_killed_client_is_none_of_the_runners_business(
    cluster: Cluster, recipe: Path, whole: dict[str, str], tmp_path: Path
):
    output = f"{ROOT_URL}/left"
    process = refine(cluster, recipe, output)
    wait_for(process, output, 1)
    process.kill_group()
    process.text()
    # The job goes on; the same command finds it in its work, or done, and ends with the same files.
    again = refine(cluster, recipe, output)
    text = again.text()
    assert again.returncode == 0, text
    assert fetched(output, tmp_path) == whole


def test_a_killed_job_server_is_no_loss(cluster: Cluster, recipe: Path, whole: dict[str, str], tmp_path: Path):
    """The client cannot know how its run ends, and says so; the same command brings the same files."""
    output = f"{ROOT_URL}/orphan"
    process = refine(cluster, recipe, output)
    wait_for(process, output, 1)
    cluster.replace_the_job_server()
    text = process.text()
    assert process.returncode == 1, text
    again = refine(cluster, recipe, output)
    text = again.text()
    assert again.returncode == 0, text
    assert fetched(output, tmp_path) == whole
