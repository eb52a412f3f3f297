#!/usr/bin/env python3
"""Training speed and memory against a PyTorch peer, taking turns so that a noisy machine disturbs both alike.

    cargo build --release
    python3 benches/peer.py target/release/itera PEER_PYTHON PEER_SCRIPT PEER_CONFIG_DIR
    python3 benches/peer.py … --variants eager compile --rounds 7 --batch 4 --seq 1024
    python3 benches/peer.py … --variants eager --threads 1
    benches/device.sh ITERA PEER_PYTHON PEER_SCRIPT                  on a GPU, by this program's --device and --row

PEER_PYTHON is a Python that has torch, PEER_SCRIPT a program that takes PEER_CONFIG_DIR, --batch, --seq, --threads,
--steps and the variants' own flags, and prints one JSON object with train_tokens_per_s and params as its last line.
PEER_CONFIG_DIR and --config must describe the same shape: the numbers of parameters are compared.

Each round runs `itera bench train`, then each variant, each as a process of its own. The ratio of a round is itera's
tokens/s over the peer's in that round; what counts is the median of the ratios. `best` is the fastest variant of each
round. Memory is the most that a process ever had resident, Python and libraries included; its ratio is the peer's over
itera's. Standard library only.

Run it on an idle machine: threads that wait for each other, as PyTorch's do, lose several times as much to a third
program as threads that share out tasks, so that ratios from a busy machine flatter itera.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

VARIANTS = {
    "eager": [],
    "compile": ["--compile"],
    "bf16": ["--bf16"],
    "compile-bf16": ["--compile", "--bf16"],
    "hf": ["--hf"],
}
HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    args = arguments()
    load = os.getloadavg()[0]
    if load > 0.3:
        print(f"warning: other programs are running (load {load:.1f}); the ratios will flatter itera", file=sys.stderr)
    rounds = []
    for number in range(1, args.rounds + 1):
        runs = {"itera": measure_itera(args)}
        for variant in args.variants:
            runs[variant] = measure_peer(args, variant)
            if runs[variant]["params"] != runs["itera"]["params"]:
                sys.exit(f"not the same shape: itera has {runs['itera']['params']} parameters, {variant} {runs[variant]['params']}")
        rounds.append(runs)
        shown = (f"{name} {found['tokens_per_s']:.0f}" for name, found in runs.items())
        print(f"round {number}/{args.rounds}, tokens/s: {', '.join(shown)}", file=sys.stderr)
    findings = compare(args, rounds)
    if args.json:
        print(json.dumps(findings))
    elif args.row:
        show_row(args.row, findings)
    else:
        show(findings)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("itera", help="the itera binary")
    parser.add_argument("peer_python", help="a Python that has torch")
    parser.add_argument("peer_script", help="the peer")
    parser.add_argument("peer_config", help="its directory with config.json")
    parser.add_argument("--config", default=os.path.join(HERE, "../configs/bench-tiny.toml"), help="itera's configuration")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of it")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["eager"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=8, help="steps measured in a process, after two to warm up")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", metavar="NAME", help="what itera computes on, instead of the configured device")
    parser.add_argument("--peer-device", metavar="NAME", help="what the peer computes on, by torch's name, instead of the CPU")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one JSON object")
    shape.add_argument("--row", metavar="NAME", help="print one row of a table, as benches/device.sh does")
    args = parser.parse_args()
    if min(args.batch, args.seq, args.threads, args.steps, args.rounds) < 1:
        parser.error("sizes and counts are 1 or more")
    return args


def overrides(args):
    sizes = [f"train.batch_size={args.batch}", f"train.seq_len={args.seq}", "train.grad_accum_steps=1"]
    return [word for change in sizes + args.set for word in ("--set", change)]


def itera_command(args):
    counts = ["--steps", str(args.steps), "--threads", str(args.threads)]
    counts += ["--device", args.device] if args.device else []
    return [args.itera, "bench", "train", "--config", args.config, *overrides(args), *counts, "--json"]


def peer_command(args, variant):
    sizes = ["--batch", args.batch, "--seq", args.seq, "--threads", args.threads, "--steps", args.steps]
    there = [os.path.join(HERE, "peer_on_device.py"), args.peer_device] if args.peer_device else []
    return [args.peer_python, *there, args.peer_script, args.peer_config, *map(str, sizes), *VARIANTS[variant]]


def run(command):
    """What a process prints last, and the most memory it had; what it says meanwhile is shown if it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(command, stdout=out, stderr=log)
        except OSError as error:
            sys.exit(f"cannot start {command[0]}: {error.strerror}")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, log):
            file.seek(0)
        lines = out.read().decode().strip().splitlines()
        if process.returncode != 0 or not lines:
            sys.exit(f"failed with {process.returncode}: {' '.join(command)}\n{log.read().decode()}")
    # Linux counts in KiB, macOS in bytes
    return json.loads(lines[-1]), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_itera(args):
    printed, peak = run(itera_command(args))
    return result(printed["tokens_per_s"]["median"], printed["total_params"], peak, printed["share_of_peak"])


def measure_peer(args, variant):
    printed, peak = run(peer_command(args, variant))
    return result(printed["train_tokens_per_s"], printed["params"], peak, None)


def result(tokens_per_s, params, peak_resident_bytes, share_of_peak):
    return {
        "tokens_per_s": tokens_per_s,
        "params": params,
        "peak_resident_bytes": peak_resident_bytes,
        "share_of_peak": share_of_peak,
    }


def compare(args, rounds):
    findings = {
        "batch": args.batch,
        "seq": args.seq,
        "threads": args.threads,
        "params": rounds[0]["itera"]["params"],
        "rounds": args.rounds,
        "itera": series(runs["itera"] for runs in rounds),
        "share_of_peak": spread(runs["itera"]["share_of_peak"] for runs in rounds),
    }
    peers = {name: [runs[name] for runs in rounds] for name in args.variants}
    if len(peers) > 1:
        peers["best"] = [max((runs[name] for name in args.variants), key=lambda r: r["tokens_per_s"]) for runs in rounds]
    ours = [runs["itera"] for runs in rounds]
    findings["peers"] = {
        name: {
            **series(theirs),
            "speed_ratio": spread(a["tokens_per_s"] / b["tokens_per_s"] for a, b in zip(ours, theirs)),
            "memory_ratio": spread(b["peak_resident_bytes"] / a["peak_resident_bytes"] for a, b in zip(ours, theirs)),
        }
        for name, theirs in peers.items()
    }
    return findings


def series(results):
    results = list(results)
    return {key: spread(result[key] for result in results) for key in ("tokens_per_s", "peak_resident_bytes")}


def spread(values):
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def show(findings):
    print("batch {batch} × {seq}, {threads} threads, {params} parameters, {rounds} rounds; median (min to max)".format(**findings))
    print(f"{'':8} {'tokens/s':>24} {'itera is faster by':>22} {'peak MB':>10} {'and smaller by':>16}")
    rows = [("itera", findings["itera"])] + list(findings["peers"].items())
    for name, row in rows:
        speed, memory = row["tokens_per_s"], row["peak_resident_bytes"]["median"] / 1e6
        cells = [f"{name:8}", f"{speed['median']:8.0f} ({speed['min']:.0f} to {speed['max']:.0f})".rjust(24)]
        if name == "itera":
            cells += [" " * 22, f"{memory:10.0f}"]
        else:
            ratio = row["speed_ratio"]
            cells.append(f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})".rjust(22))
            cells += [f"{memory:10.0f}", f"{row['memory_ratio']['median']:.2f}".rjust(16)]
        print(" ".join(cells))
    share = findings["share_of_peak"]
    print("itera's share of the arithmetic peak: {:.1f} % ({:.1f} to {:.1f})".format(*(100 * share[k] for k in ("median", "min", "max"))))


def show_row(name, findings):
    """`| name | tokens/s | share of the peak | tokens/s of each peer … | how many times the best |`"""
    peers = list(findings["peers"].items())
    speeds = [f"{peer['tokens_per_s']['median']:,.0f}" for key, peer in peers if key != "best"]
    ours, share = findings["itera"]["tokens_per_s"]["median"], findings["share_of_peak"]["median"]
    cells = [name, f"{ours:,.0f}", f"{share:.3f}", *speeds, f"{peers[-1][1]['speed_ratio']['median']:.2f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
