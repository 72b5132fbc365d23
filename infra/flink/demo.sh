#!/usr/bin/env bash
# `make flink-demo`: a cluster, a whole run over it, its metrics by Flink's REST interface, and everything stopped.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
python="${AVAGENT_PYTHON:-$root/.venv/bin/python}"
output="${1:-$root/flink-demo-output}"
export AVAGENT_PYTHON="$python"

PYTHON="$python" "$here/setup.sh"
trap '"$here/cluster.sh" stop' EXIT
"$here/cluster.sh" start
[ -d "$output/in" ] || "$python" "$root/examples/demo/build_corpus.py" --to "$output/in" --clips "${DEMO_CLIPS:-12}" \
  --media "$root/.cache/media"
"$python" -m avagent.pipelines.cli refine --input "$output/in/shards" --output "$output/refined" --runner=PortableRunner \
  --job_endpoint="127.0.0.1:${JOB_PORT:-8099}" --environment_type=PROCESS \
  --environment_config="{\"command\": \"$here/worker_boot.sh\"}" --parallelism=2
"$python" "$here/job_metrics.py" "http://127.0.0.1:${FLINK_REST_PORT:-18081}"
