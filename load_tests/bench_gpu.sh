#!/usr/bin/env bash
# The GPU comparison on a machine with a GPU and Python 3.12 with torch, on which nothing can be installed.
#
#   load_tests/bench_gpu.sh pack FOLDER [BUNDLE ...]    here: collect all files, in pieces of at most 50 MB
#   FOLDER/bench_gpu.sh run FOLDER [OPTION ...]         there: join, unpack, run; options go to load_tests.bench_gpu
#
# PYTHON_VERSION=3.11 packs for another Python.
set -euo pipefail

fail() { echo "bench_gpu.sh: $*" >&2; exit 2; }

PIECE=45M
VERSION=${PYTHON_VERSION:-3.12}

# torch brings the CUDA libraries. tokenizers requires a hub client that is never imported, hence --no-deps.
fetch_wheels() {
    local options=(--quiet --only-binary=:all: --python-version "$VERSION" --implementation cp --dest "$1")
    options+=(--platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --constraint constraints.txt)
    python3 -m pip download "${options[@]}" onnxruntime-gpu==1.31.1 pydantic numpy
    python3 -m pip download "${options[@]}" --no-deps tokenizers
}

split_large() {
    local file
    find "$1" -type f -size +50000000c | while read -r file; do
        split --bytes "$PIECE" --numeric-suffixes --suffix-length 3 "$file" "$file.part"
        rm "$file"
    done
}

pack() {
    local folder=$1 bundle
    shift
    cd "$(dirname "$0")/.."
    [ $# -gt 0 ] || set -- models/jobs-v1
    mkdir -p "$folder/wheels" "$folder/app/models" "$folder/app/load_tests"
    fetch_wheels "$folder/wheels"
    cp models/*.py "$folder/app/models/"
    cp -r models/bundle models/runtime models/scorers models/slots "$folder/app/models/"
    cp load_tests/{__init__,bench_gpu,report}.py "$folder/app/load_tests/"
    for bundle in "$@"; do cp -r "$bundle" "$folder/app/models/"; done
    cp load_tests/bench_gpu.sh "$folder/"
    git describe --always --dirty --abbrev=12 > "$folder/commit"
    split_large "$folder"
    du -sh "$folder"
}

join_pieces() {
    local first file
    find "$1" -type f -name '*.part000' | while read -r first; do
        file=${first%.part000}
        cat "$file".part* > "$file.joining"
        mv "$file.joining" "$file"
        rm "$file".part*
    done
}

# A wheel is a zip file; the machine may have no pip.
unpack() {
    local wheel
    for wheel in "$1"/wheels/*.whl; do python3 -m zipfile --extract "$wheel" "$1/site"; done
}

run() {
    local folder
    folder=$(cd "$1" && pwd)
    shift
    join_pieces "$folder"
    [ -d "$folder/site" ] || unpack "$folder"
    cd "$folder/app"
    local bundles=() status=0
    for manifest in models/*/manifest.json; do bundles+=("$(dirname "$manifest")"); done
    PYTHONPATH="$folder/site:$folder/app" ORT_DISABLE_TELEMETRY=1 \
        python3 -m load_tests.bench_gpu "${bundles[@]}" --out "$folder/result.md" "$@" || status=$?
    [ ! -f "$folder/commit" ] || printf '\nPacked from commit %s.\n' "$(cat "$folder/commit")" >> "$folder/result.md"
    return "$status"
}

[ $# -ge 2 ] || fail "usage: bench_gpu.sh pack|run FOLDER [...]"
case $1 in
    pack | run) "$@" ;;
    *) fail "pack or run, not $1" ;;
esac
