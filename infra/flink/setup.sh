#!/usr/bin/env bash
# Flink and Beam's job server for it, by the ordinary clients of Maven and pip, into a folder (about 600 MB, two minutes).
#   infra/flink/setup.sh [FOLDER]        default: .cache/flink
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-$here/../../.cache/flink}"
python="${PYTHON:-python3}"
flink=1.19.3

made_of=$(cat "$here/setup.sh" "$here/pom.xml" "$here/config.yaml" | sha256sum)
if [ -f "$folder/.complete" ] && [ "$(cat "$folder/.complete")" = "$made_of" ]; then
  touch "$folder/.complete"
  exit 0
fi
for program in java mvn; do
  command -v "$program" >/dev/null || { echo "infra/flink: $program is not installed" >&2; exit 69; }
done
rm -rf "$folder"
mkdir -p "$folder/download" "$folder/home"
folder="$(cd "$folder" && pwd)"

echo "infra/flink: Beam's runner and job server (Maven) ..."
mvn -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$folder/jobserver"
mvn -q dependency:get -Dartifact=org.apache.flink:flink-kubernetes-operator-api:1.10.0 -Dtransitive=false
mvn -q dependency:copy -Dartifact=org.apache.flink:flink-kubernetes-operator-api:1.10.0 -DoutputDirectory="$folder/operator"

echo "infra/flink: Flink $flink (pip) ..."
"$python" -m pip download -q --no-deps --no-binary :all: -d "$folder/download" "apache-flink-libraries==$flink"
# The wheel of any Python does: only its scripts are taken.
"$python" -m pip download -q --no-deps -d "$folder/download" --python-version 3.11 --only-binary :all: "apache-flink==$flink"
tar -xzf "$folder/download/apache-flink-libraries-$flink.tar.gz" -C "$folder/download"
"$python" -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); z.extractall(sys.argv[2], [n for n in z.namelist() if n.startswith(("pyflink/bin/", "pyflink/conf/"))])' \
  "$folder"/download/apache_flink-"$flink"-*.whl "$folder/download"
# Copies: Flink's scripts do not follow a link to lib/.
cp -r "$folder/download/pyflink/bin" "$folder/download/pyflink/conf" "$folder/home/"
cp -r "$folder/download/apache-flink-libraries-$flink/deps/lib" "$folder/home/lib"
cp "$folder/download/apache-flink-libraries-$flink/deps/bin/"*.jar "$folder/home/bin/"
chmod +x "$folder/home/bin/"*.sh "$folder/home/bin/flink"
cp "$here/config.yaml" "$folder/home/conf/config.yaml"
rm -rf "$folder/download"
echo "$made_of" >"$folder/.complete"
