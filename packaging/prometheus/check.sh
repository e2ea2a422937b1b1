#!/usr/bin/env bash
# Checks the alerts and the dashboard: first that every query can be parsed and every alert fires
# when it should, then against a real scrape, that none of them asks for what is not there.
#
#   check.sh             all of it; ROPEWALK=... names the binary, else target/debug/ropewalk
#   check.sh --syntax    the first part only
#
# Needs promtool, python3, and for the second part prometheus and curl. Everything is started on
# free ports of 127.0.0.1 and stopped at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pids=()

clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT

fail() {
    echo "$*" >&2
    for log in "$work"/*.log; do [ -s "$log" ] && { echo "-- ${log##*/}"; tail -n 20 "$log"; } >&2; done
    exit 1
}

# Waits until a command succeeds, for at most some 20 seconds.
until_true() {
    for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    fail "not within 20 s: $*"
}

promtool check rules "$here/alerts.yml"
promtool test rules "$here/alerts_test.yml"
python3 "$here/queries.py" rules >"$work/dashboard.json"
promtool check rules "$work/dashboard.json"
[ "${1:-}" = --syntax ] && exit

ropewalk=${ROPEWALK:-$here/../../target/debug/ropewalk}
[ -x "$ropewalk" ] || fail "$ropewalk is not there: run cargo build, or set ROPEWALK"

# Held all at once, so that they are different ones. Port $dead is where nobody listens.
read -r first second dead balancer admin prometheus < <(python3 - <<'PORTS'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
ports = [listener.getsockname()[1] for listener in sockets]
for listener in sockets:
    listener.close()
print(*ports)
PORTS
)

cat >"$work/config.json" <<CONFIG
{
  "listen": "127.0.0.1:$balancer",
  "admin": "127.0.0.1:$admin",
  "log": { "access": "stdout" },
  "pools": {
    "web": {
      "health_check": { "path": "/health", "interval": "1s", "timeout": "500ms" },
      "backends": [{ "url": "http://127.0.0.1:$first" }, { "url": "http://127.0.0.1:$second" }]
    },
    "half": {
      "health_check": "off",
      "backends": [{ "url": "http://127.0.0.1:$dead" }, { "name": "other", "url": "http://127.0.0.1:$first" }]
    },
    "failing": {
      "health_check": "off",
      "backends": [{ "name": "failing", "url": "http://127.0.0.1:$second" }]
    }
  },
  "routes": [
    { "match": { "path_prefix": "/half" }, "pool": "half" },
    { "match": { "path_prefix": "/failing" }, "pool": "failing" },
    { "match": { "path": "/closed" }, "respond": { "status": 503 } },
    { "pool": "web" }
  ]
}
CONFIG
cat >"$work/prometheus.yml" <<CONFIG
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: ["$here/alerts.yml"]
scrape_configs:
  - job_name: ropewalk
    static_configs: [{ targets: ["127.0.0.1:$admin"] }]
CONFIG

start() {
    local name=$1
    shift
    "$@" >"$work/$name.out" 2>"$work/$name.log" &
    pids+=($!)
}
start origin-1 "$ropewalk" origin --port "$first" --name one
start origin-2 "$ropewalk" origin --port "$second" --name two --status 500
start ropewalk "$ropewalk" --config "$work/config.json"
ropewalk_pid=$!
start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$prometheus" --log.level=warn
until_true curl -sf "http://127.0.0.1:$admin/readyz"
until_true curl -sf "http://127.0.0.1:$prometheus/-/ready"

# A reload that is refused and one that is applied.
cp "$work/config.json" "$work/good.json"
echo '{ "prot": 1 }' >"$work/config.json"
kill -HUP "$ropewalk_pid"
metric() { grep -q "$1" <<<"$(curl -s "http://127.0.0.1:$admin/metrics")"; }
until_true metric '^ropewalk_config_reloads_total{result="refused"} 1'
cp "$work/good.json" "$work/config.json"
kill -HUP "$ropewalk_pid"
until_true metric '^ropewalk_config_reloads_total{result="applied"} 1'

# A rate needs two scrapes that differ, so there are requests during a few of them.
for _ in $(seq 40); do
    for path in / /half /failing /closed; do
        curl -s -o "$work/body" -d some=body "http://127.0.0.1:$balancer$path" || fail "no answer from $path"
        curl -s -o "$work/body" "http://127.0.0.1:$balancer$path" || fail "no answer from $path"
    done
    sleep 0.2
done
scraped() { [ -n "$(promtool query instant "http://127.0.0.1:$prometheus" ropewalk_retries_total)" ]; }
until_true scraped

mkdir "$work/answers"
python3 "$here/queries.py" run "http://127.0.0.1:$prometheus" "$work/answers" || fail "some asked for what is not there"
echo "all passed"
