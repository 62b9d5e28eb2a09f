#!/usr/bin/env bash
# Compiles the clients in Java and Go and runs them: against the service with the jobs model, which must score, and
# against a server that refuses once with Retry-After and then for longer than the budget, which shows both rules.
# PYTHON is an interpreter with the service's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=
for tool in javac java go; do command -v "$tool" > /dev/null || missing="$missing $tool"; done
if [ -n "$missing" ]; then
    echo "not checked: no$missing on PATH; on Debian: apt-get install default-jdk-headless golang-go" >&2
    exit 1
fi

scratch=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do { kill -KILL "$pid" && wait "$pid"; } 2> /dev/null || true; done
    rm -rf "$scratch"
}
trap finish EXIT

javac -Xlint:all -Werror -d "$scratch" clients/java/Score.java
[ -z "$(gofmt -l clients/go)" ] || { echo "clients/go: run gofmt -w" >&2; exit 1; }
export GOCACHE="$scratch/cache" GOPROXY=off GO111MODULE=off
go vet clients/go/score.go
go build -o "$scratch/score" clients/go/score.go

# Wait for the line that names the port, then print it.
port_of() {
    for _ in $(seq 600); do
        if sed -nE "s/$2/\1/p" "$1" | grep -m 1 . && { [ -z "${3:-}" ] || grep -q "$3" "$1"; }; then return; fi
        sleep 0.1
    done
    cat "$1" >&2
    return 1
}

FITSCORE_BUNDLE=models/jobs-v1 FITSCORE_PORT=0 FITSCORE_DEFAULT_DEADLINE_MS=60000 \
    "$PYTHON" -m service 2> "$scratch/service.log" &
pids+=($!)
"$PYTHON" - > "$scratch/refusing.log" << 'PYTHON' &
import http.server


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers each client: refused for a second, then for a minute; prints the deadline of each request."""

    seen = {}

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        name = self.headers["User-Agent"].split("/")[0]
        self.seen[name] = self.seen.get(name, 0) + 1
        print(name, self.seen[name], self.headers["X-Deadline-Ms"], flush=True)
        self.send_response(503)
        self.send_header("Retry-After", "1" if self.seen[name] == 1 else "60")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
PYTHON
pids+=($!)
service=$(port_of "$scratch/service.log" '.*listening on .*:([0-9]+).*' 'ready: ' | tail -n 1)
refusing=$(port_of "$scratch/refusing.log" 'port ([0-9]+)')

run() {
    if [ "$1" = java ]; then java -cp "$scratch" Score "$2"; else "$scratch/score" "$2"; fi
}

for language in java go; do
    answer=$(run "$language" "http://127.0.0.1:$service") || { echo "$language: $answer" >&2; exit 1; }
    case "$answer" in
        200*'"id":"near","score":0.'*'"id":"far","score":0.'*) ;;
        *) echo "$language: unexpected answer: $answer" >&2; exit 1 ;;
    esac
    if answer=$(run "$language" "http://127.0.0.1:$refusing"); then echo "$language: took a refusal as success" >&2; exit 1; fi
    case "$answer" in 503*) ;; *) echo "$language: $answer" >&2; exit 1 ;; esac
    echo "$language: scores; retried once within the budget, and not beyond it"
done
# Each sent two requests, the second with about a second less.
awk '$2 ~ /^[0-9]+$/ && NF == 3 { n[$1]++; if ($2 == 1) first[$1] = $3; else if (first[$1] - $3 < 900) bad = 1 }
     END { for (name in n) { total++; if (n[name] != 2) bad = 1 } exit bad || total != 2 }' "$scratch/refusing.log" ||
    { cat "$scratch/refusing.log" >&2; exit 1; }
