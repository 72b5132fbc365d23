#!/usr/bin/env bash
# A Flink cluster of plain processes on this machine, and Beam's job server for it. setup.sh comes first.
#   infra/flink/cluster.sh start          JobManager, two TaskManagers, job server
#   infra/flink/cluster.sh jobmanager|taskmanager|jobserver     one of them, in the foreground
#   infra/flink/cluster.sh stop           what start started
# FLINK_FOLDER: what setup.sh filled (.cache/flink); FLINK_RUN: logs and process ids; ports: FLINK_REST_PORT (18081),
# FLINK_RPC_PORT (16123), FLINK_BLOB_PORT (16124), JOB_PORT (8099), ARTIFACT_PORT (8098).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="$(cd "${FLINK_FOLDER:-$here/../../.cache/flink}" && pwd)"
run="${FLINK_RUN:-$folder/run}"
rest="${FLINK_REST_PORT:-18081}" rpc="${FLINK_RPC_PORT:-16123}" blob="${FLINK_BLOB_PORT:-16124}"
job="${JOB_PORT:-8099}" artifacts="${ARTIFACT_PORT:-8098}"
mkdir -p "$run"
export FLINK_CONF_DIR="${FLINK_CONF_DIR:-$folder/home/conf}" FLINK_LOG_DIR="$run" FLINK_PID_DIR="$run"
ports=(-D "rest.port=$rest" -D "jobmanager.rpc.port=$rpc" -D "blob.server.port=$blob")

# Where the kernel lets us, the ports that Beam's job server opens on all interfaces are closed to others: see README.md.
open_flags=()
for package in java.base/java.util java.base/java.lang java.base/java.nio java.base/sun.nio.ch java.base/java.time; do
  open_flags+=("--add-opens=$package=ALL-UNNAMED")
done

case "${1:-}" in
jobmanager) exec "$folder/home/bin/jobmanager.sh" start-foreground "${ports[@]}" ;;
taskmanager) exec "$folder/home/bin/taskmanager.sh" start-foreground "${ports[@]}" ;;
jobserver)
  exec java -Xmx1g "${open_flags[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$folder/jobserver/*" \
    org.apache.beam.runners.flink.FlinkJobServerDriver --job-host=127.0.0.1 --job-port="$job" \
    --artifact-port="$artifacts" --expansion-port=0 --flink-master="127.0.0.1:$rest" --artifacts-dir="$run/artifacts"
  ;;
start)
  for part in jobmanager taskmanager taskmanager jobserver; do
    number=1
    while [ -e "$run/$part.$number.pid" ]; do number=$((number + 1)); done
    nohup setsid "$0" "$part" >"$run/$part.$number.out" 2>&1 &
    echo $! >"$run/$part.$number.pid"
  done
  for _ in $(seq 120); do
    (exec 3<>"/dev/tcp/127.0.0.1/$rest") 2>/dev/null && (exec 3<>"/dev/tcp/127.0.0.1/$job") 2>/dev/null && exit 0
    sleep 0.5
  done
  echo "infra/flink: nothing listens on ports $rest and $job; see $run" >&2
  exit 1
  ;;
stop)
  for file in "$run"/*.pid; do
    [ -e "$file" ] || continue
    kill -TERM -- "-$(cat "$file")" 2>/dev/null || true
    rm -f "$file"
  done
  ;;
*)
  sed -n '2,7s/^# \{0,1\}//p' "$0"
  exit 64
  ;;
esac
