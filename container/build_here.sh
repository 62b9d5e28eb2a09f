#!/usr/bin/env bash
# Build the CPU image on a Debian machine, as root, with neither docker nor a registry of images; then start and check it.
# The base is made from Debian's own packages. The machine's trusted certificates and pip settings are mounted for the
# build alone, so they never end up in the image. BUNDLE, STORE and PORT may be set.
set -euo pipefail
cd "$(dirname "$0")/.."

bundle=${BUNDLE:-models/jobs-v1}
store=${STORE:-/var/tmp/fitscore-image}
port=${PORT:-8000}
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
base=localhost/debian-python:$release
image=localhost/fitscore:cpu

bud() { buildah --storage-driver vfs --root "$store/root" --runroot "$store/run" "$@"; }

install_tools() {
    type buildah mmdebstrap curl pgrep > /dev/null 2>&1 && return
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends buildah mmdebstrap curl procps
}

# Without this file buildah refuses to work; Debian only suggests the package that brings it.
configure_buildah() {
    [ -e /etc/containers/policy.json ] && return
    mkdir -p /etc/containers
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' > /etc/containers/policy.json
}

make_base() {
    bud inspect --type image "$base" > /dev/null 2>&1 && return
    local sources=() file container
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        [ -s "$file" ] && sources+=("$file")
    done
    mkdir -p "$store"
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$release" "$store/base.tar" "${sources[@]}"
    container=$(bud from scratch)
    bud add --quiet "$container" "$store/base.tar" /
    bud commit --quiet --rm "$container" "$base"
    rm "$store/base.tar"
}

build() {
    local mounts=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
    [ -e /etc/pip.conf ] && mounts+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
    bud bud --isolation chroot --format docker --pull-never "${mounts[@]}" \
        --build-arg "BASE=$base" --build-arg "BUNDLE=$bundle" --target cpu --tag "$image" .
}

fail() { echo "image: $*" >&2; exit 1; }

check_contents() {
    local root=$1 package place
    [ "$(bud inspect --type image --format '{{.OCIv1.Config.User}}' "$image")" = 10001:10001 ] || fail "runs as root"
    for package in torch transformers pip training; do
        for place in "$root"/opt/venv/lib/python3*/site-packages "$root/app"; do
            [ ! -e "$place/$package" ] || fail "holds $package"
        done
    done
    echo "image: $(du -sm "$root" | cut -f1) MB unpacked, of them $(du -sm "$root/opt/venv" | cut -f1) MB packages;" \
        "user 10001; no torch, transformers, pip or training"
}

# The process inside: the container's own user runs nothing else.
service_pid() { pgrep --uid 10001 --full 'python -m service' | tail -1; }

check_service() {
    local container=$1 client pid code=0
    bud run --isolation chroot --env "FITSCORE_PORT=$port" "$container" -- python -m service &
    client=$!
    curl --silent --show-error --fail --retry 120 --retry-delay 1 --retry-all-errors --output /dev/null \
        "http://127.0.0.1:$port/readyz" 2> /dev/null || fail "not ready after two minutes"
    curl --silent --show-error --fail "http://127.0.0.1:$port/livez" > /dev/null
    curl --silent --show-error --fail --header 'Content-Type: application/json' --data @- "http://127.0.0.1:$port/score" << 'BODY'
{"member": {"id": "m", "text": "Data engineer. python, spark"},
 "candidates": [{"id": "near", "text": "Senior data engineer"}, {"id": "far", "text": "Dental nurse"}]}
BODY
    echo
    pid=$(service_pid)
    kill -TERM "$pid"
    wait "$client" || code=$?
    [ "$code" = 0 ] || fail "exit code $code after SIGTERM"
    echo "image: ready, scored a request, left with 0 on SIGTERM"
}

[ "$(id -u)" = 0 ] || fail "must run as root (chroot isolation)"
[ -e "$bundle/manifest.json" ] || fail "no bundle in $bundle"
install_tools
configure_buildah
make_base
build
container=$(bud from --pull-never "$image")
trap 'pid=$(service_pid || true); [ -z "$pid" ] || kill "$pid"; bud rm "$container" > /dev/null' EXIT
check_contents "$(bud mount "$container")"
check_service "$container"
