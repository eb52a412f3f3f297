#!/bin/bash
# Training on a GPU, against PyTorch on the same card, taking turns: one table.
#
#     cargo build --release --features wgpu                       # or cuda; anywhere, the program is all that is needed
#     benches/device.sh ITERA PEER_PYTHON PEER_SCRIPT
#     benches/device.sh ITERA PEER_PYTHON PEER_SCRIPT --device cuda --rounds 3
#     benches/device.sh ITERA PEER_PYTHON PEER_SCRIPT --peer-device cpu --small     # without a card: lavapipe
#
# ITERA is a program built for that device, PEER_PYTHON a Python that has torch, PEER_SCRIPT the peer (see peer.py).
#
#   --device NAME        what itera computes on (wgpu)
#   --peer-device NAME   what the peer computes on, by torch's name (cuda)
#   --rounds N           turns of each row (1)
#   --seconds N          when to stop; rows that are not done by then are left out (480)
#   --small              models and batches that a CPU has time for: is the script right, not how fast is it
#
# Rows are models of 1.9 and 30 million parameters in f32 and bf16, or in f16 where the device has no bf16. Columns: tokens/s of
# itera, which share of what the card can do in f32 that is, tokens/s of PyTorch eager and compiled, and how many times the
# faster of them itera is. Beside both bf16 and f16, PyTorch's is its autocast to bf16.
set -euo pipefail

device=wgpu peer_device=cuda rounds=1 seconds=480 small=no
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
case ${1:-} in -h | --help) usage; exit 0 ;; esac
[ $# -ge 3 ] || { usage >&2; exit 2; }
itera=$1 peer_python=$2 peer_script=$3
shift 3
while [ $# -gt 0 ]; do
    case $1 in
        --small) small=yes; shift; continue ;;
        --device | --peer-device | --rounds | --seconds) ;;
        *) echo "unknown option $1; --help tells them" >&2; exit 2 ;;
    esac
    [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
    declare "$(tr - _ <<<"${1#--}")=$2"
    shift 2
done

here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models="bench-tiny bench-30m" batch=32 seq=512 steps=20
shape=(--set "data.cache_dir=$work/cache")
if [ $small = yes ]; then
    batch=1 seq=32 steps=2
    shape+=(--set model.vocab_size=512 --set data.builtin_bytes=200000)
fi

# the same shape for the peer: the config.json of a run of one step
for model in $models; do
    "$itera" train --config "$here/../configs/$model.toml" "${shape[@]}" --set "run.dir=$work/$model" --device flex \
        --set train.steps=1 --set train.batch_size=1 --set train.warmup_steps=0 --set train.seq_len=32 \
        --set eval.tokens=64 --set eval.sample_tokens=1 \
        >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
done

{ read -r card; read -r half; } < <("$itera" doctor --json | python3 -c '
import json, sys
devices = {device["name"]: device["adapters"] for device in json.load(sys.stdin)["devices"]}
# the CPU is no adapter, and has bf16
adapter = next(iter(devices[sys.argv[1]]), {"name": sys.argv[1], "types": ["bf16"]})
print(adapter["name"])
print(next((kind for kind in ("bf16", "f16") if kind in adapter["types"]), ""))' "$device")
echo "$card, $batch × $seq tokens a step, $rounds rounds"
echo
echo "| model | itera, tokens/s | of the peak | PyTorch eager | compiled | times the faster |"
echo "|---|---|---|---|---|---|"
for model in $models; do
    for precision in f32 $half; do
        left=$((seconds - SECONDS))
        variants="eager compile"
        [ $precision = f32 ] || variants="bf16 compile-bf16"
        # shellcheck disable=SC2086  # two words
        if [ $left -le 0 ] || ! timeout "$left" python3 "$here/peer.py" "$itera" "$peer_python" "$peer_script" "$work/$model/last" \
            --config "$here/../configs/$model.toml" "${shape[@]}" --set "train.precision=$precision" --variants $variants \
            --batch $batch --seq $seq --steps $steps --rounds "$rounds" --device "$device" --peer-device "$peer_device" \
            --row "$model, $precision" 2>"$work/log"; then
            echo "| $model, $precision | | | | | |"
            [ $SECONDS -ge "$seconds" ] && echo "not within $seconds s" >&2 || cat "$work/log" >&2
        fi
    done
done
