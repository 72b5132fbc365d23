"""Starts a Python worker for Flink's PROCESS environment, on machines without containers.

A TaskManager calls this with `--id` and `--provision_endpoint` alone; where the rest lies, the provision service says.
Every TaskManager then has workers of its own, which end with it.

    --environment_type=PROCESS --environment_config='{"command": "/path/to/worker_boot.sh"}'
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from google.protobuf import json_format, text_format

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str]) -> None:
    """Become the worker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    given, _ = parser.parse_known_args(arguments)
    environment = {**os.environ, **worker_environment(given.id, given.provision_endpoint)}
    os.execve(  # noqa: S606  (no shell: that is meant)
        sys.executable, [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"], environment
    )


def worker_environment(worker: str, endpoint: str) -> Mapping[str, str]:
    """What Beam's worker is told by its environment."""
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, metadata=(("worker_id", worker),), timeout=60).info
    return {
        "WORKER_ID": worker,
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(info.pipeline_options)),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        **{name: os.environ.get(name, "1") for name in _ONE_THREAD},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
