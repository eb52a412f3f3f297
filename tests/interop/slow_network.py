"""Seconds a token of two processes on two hosts whose cables carry 100 Mbit/s: sums each step against replicas that meet seldom.

    python slow_network.py ITERA TEXT        (mpiexec.hydra of MPICH; hosts as two_hosts.py makes them)

The model has the shape of `tiny`; a step has two micro-batches of 1,024 tokens, one a process, which has one thread. The first
50 of 150 steps are not counted. What the loss is like needs no network: it is that of one process with the same keys, which
are printed."""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

from two_hosts import BY_TCP, make_agent, two_hosts_of

itera, text = (os.path.abspath(path) for path in sys.argv[1:3])
config = pathlib.Path(__file__).parents[2] / "configs/tinystories.toml"
here = pathlib.Path(tempfile.mkdtemp(prefix="slow-network-"))
launcher = ["mpiexec.hydra", "-launcher", "rsh", "-launcher-exec", make_agent(here), "-iface", "bridge"]
launcher += ["-hosts", "h1:1,h2:1", "-n", "2"]


def keys(apart):
    keys = {"data.source": text, "train.optimizer": "muon", "train.batch_size": 2, "train.seq_len": 512, "train.grad_accum_steps": 2}
    if apart:
        keys |= {"train.replicas": 2, "train.sync_every": 50, "train.sync_moments": "true"}
        keys |= {"train.outer_lr": 1.0, "train.outer_momentum": 0.0}
    return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]


seconds = {}
for name, apart in [("sums", False), ("replicas", True)]:
    print(f"{name}: itera train --config {config} {shlex.join(keys(apart))}", flush=True)
    train = [itera, "train", "--config", str(config), *keys(apart), "--threads", "1"]
    for change in (f"run.dir={name}", "data.cache_dir=cache", "train.steps=150", "log.every_steps=50", "eval.every_steps=150"):
        train += ["--set", change]
    done = subprocess.run(
        two_hosts_of(launcher + train, "100mbit"), cwd=here, env={**os.environ, **BY_TCP}, capture_output=True, text=True
    )
    try:
        rows = [json.loads(row) for row in (here / name / "metrics.jsonl").open()][1:]
    except OSError:
        sys.exit(done.stdout + done.stderr)
    seconds[name] = sum(row["step_ms"] for row in rows) / 1e3 / len(rows) / 2048
    print(f"{name}: {seconds[name] * 1e6:.0f} µs a token, rows of {[round(row['step_ms']) for row in rows]} ms a step", flush=True)
print(f"{seconds['sums'] / seconds['replicas']:.2f} times fewer seconds a token")
