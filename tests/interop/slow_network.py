"""Seconds a token of two processes on two hosts whose cables carry 100 Mbit/s: sums each step against replicas that meet seldom.

    python slow_network.py ITERA TEXT        (mpiexec.hydra of MPICH; hosts as two_hosts.py makes them)

The model has the shape of `tiny`, a process one thread. A step of sums has a micro-batch of 1,024 tokens a process, one of replicas
four. The first third of the steps is not counted. What the loss is like needs no network: it is that of one process with the same
keys, which are printed."""

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


MICRO_BATCH = {"train.optimizer": "muon", "train.batch_size": 2, "train.seq_len": 512}
SUMS = {"train.grad_accum_steps": 2}
REPLICAS = {"train.grad_accum_steps": 8, "train.replicas": 2, "train.sync_every": 20, "train.sync_moments": "true"}
REPLICAS |= {"train.outer_lr": 1.0, "train.outer_momentum": 0.0}
RUN = {"data.cache_dir": "cache", "train.steps": 60, "train.warmup_steps": 10, "log.every_steps": 20, "eval.every_steps": 60}


def arguments(keys):
    return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]


seconds = {}
for name, keys in [("sums", SUMS), ("replicas", REPLICAS)]:
    keys = {"data.source": text} | MICRO_BATCH | keys
    print(f"{name}: itera train --config {config} {shlex.join(arguments(keys))}", flush=True)
    train = [itera, "train", "--config", str(config), "--threads", "1", *arguments(keys | RUN | {"run.dir": name})]
    done = subprocess.run(
        two_hosts_of(launcher + train, "100mbit"), cwd=here, env={**os.environ, **BY_TCP}, capture_output=True, text=True
    )
    try:
        rows = [json.loads(row) for row in (here / name / "metrics.jsonl").open()][1:]
    except OSError:
        sys.exit(done.stdout + done.stderr)
    tokens = 1024 * keys["train.grad_accum_steps"]
    seconds[name] = sum(row["step_ms"] for row in rows) / 1e3 / len(rows) / tokens
    print(f"{name}: {seconds[name] * 1e6:.0f} µs a token, rows of {[round(row['step_ms']) for row in rows]} ms a step", flush=True)
print(f"{seconds['sums'] / seconds['replicas']:.2f} times fewer seconds a token")
