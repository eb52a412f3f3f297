"""A job on a Slurm of two nodes is stopped again and again, and ends with the bytes of one process left alone:

    python two_nodes.py ITERA [STOPS]        (as root; Debian's slurmctld, slurmd, munge, mpich; hosts as two_hosts.py makes them)

STOPS is 20: signals to the job, but for the fifth, for which the cable of h2 is pulled, and the tenth, for which its slurmd is
killed. Each start is of one to four processes on both nodes. Prints, for each, how long it took from the signal until the
checkpoint was published; exits with 1 if a hash differs, or a step was lost or done twice in what the run has recorded."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from two_hosts import two_hosts_of

config = pathlib.Path(__file__).parents[2] / "configs/smoke.toml"
STEPS = 6000

CONFIGURATION = """
ClusterName=two
SlurmctldHost={host}(10.77.0.254)
SlurmctldPort=16827
SlurmdPort=16828
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/munge
CryptoType=crypto/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool-%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd-%n.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
JobRequeue=1
RequeueExit=75
ReturnToService=2
SlurmdTimeout=10
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_min_interval=100000,batch_sched_delay=0
NodeName=h1 NodeAddr=10.77.0.1 CPUs=4 State=UNKNOWN
NodeName=h2 NodeAddr=10.77.0.2 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=h1,h2 Default=YES MaxTime=UNLIMITED State=UP
"""

SCRIPT = """#!/bin/sh
starts=${SLURM_RESTART_COUNT:-0}
ntasks=$((1 + (starts + 3) % 4))
nodes=$((ntasks > 1 ? 2 : 1))
UCX_TLS=tcp,self exec srun --mpi=pmi2 --nodes=$nodes --ntasks=$ntasks "$@"
"""


def keys(run):
    keys = {
        "run.dir": run,
        "data.cache_dir": "cache",
        "train.steps": STEPS,
        "train.grad_accum_steps": 5,
        "train.batch_size": 1,
        "model.dropout": 0.1,
        "log.every_steps": 1,
        "log.tensorboard": "false",
        "eval.every_steps": 2000,
        "checkpoint.every_steps": 200,
    }
    return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]


def train(itera, run, *more):
    return [itera, "train", "--config", str(config), "--threads", "1", *keys(run), *more]


class Cluster:
    def __init__(self, dir):
        self.dir, self.env = dir, {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        self.env["SLURM_CONF"] = str(dir / "slurm.conf")
        (dir / "state").mkdir()
        dir.chmod(0o755)
        (dir / "key").write_bytes(os.urandom(128))
        (dir / "key").chmod(0o600)
        host = os.uname().nodename.split(".")[0]
        (dir / "slurm.conf").write_text(CONFIGURATION.format(host=host, dir=dir))
        munged = [f"--{option}={dir}/{file}" for option, file in
                  [("socket", "munge"), ("key-file", "key"), ("pid-file", "munged.pid"), ("seed-file", "seed"), ("log-file", "munged.log")]]
        self.start("munged", *munged, "--force")
        self.start("slurmctld", "-c")
        self.nodes = {}
        for node in ("h1", "h2"):
            self.start_node(node)
        self.wait_for("nodes", lambda: self.ask("sinfo", "--noheader", "--format=%D %T") == "2 idle")

    def start(self, *command):
        subprocess.run(command, env=self.env, check=True)

    def start_node(self, node):
        self.nodes[node] = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{node}", "unshare", "--uts", "sh", "-c", f"hostname {node}; exec slurmd -D -N {node}"],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, *command):
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout.strip()

    def about(self, job):
        return self.ask("scontrol", "--oneliner", "show", "job", job)

    def run_now(self, job):
        """Slurm lets a job wait for two minutes before it is run again."""
        if "JobState=PENDING Reason=BeginTime" in self.about(job):
            time.sleep(2)
            self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def wait_for(self, what, is_so, patience=300):
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > patience:
                sys.exit(f"no {what}: {(self.dir / 'slurmctld.log').read_text()[-3000:]}")
            time.sleep(0.02)


def inside(itera, stops):
    here = pathlib.Path(tempfile.mkdtemp(prefix="two-nodes-"))
    os.chdir(here)
    subprocess.run(train(itera, "whole"), check=True, capture_output=True)
    (here / "slurm").mkdir()
    cluster = Cluster(here / "slurm")
    (here / "job.sh").write_text(SCRIPT)
    options = "--parsable --requeue --nodes=2 --ntasks=4 --time=60 --open-mode=append --output=log job.sh".split()
    job = cluster.ask("sbatch", *options, *train(itera, "run", "--resume", "--watchdog", "5s"))

    def log():
        path = here / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def next_step(after):
        cluster.run_now(job)
        return log().count("\nstep ") > after

    durable = []
    for stop in range(1, stops + 1):
        steps = log().count("\nstep ")
        cluster.wait_for("step", lambda: next_step(steps + 5))
        said = log().count("saved; continue with --resume")
        began = time.monotonic()
        if stop == 5:
            what = "cable of h2 pulled"
            subprocess.run(["ip", "link", "set", "cable2", "down"], check=True)
            cluster.wait_for("end of the start", lambda: "RUNNING" not in cluster.about(job))
            subprocess.run(["ip", "link", "set", "cable2", "up"], check=True)
        elif stop == 10:
            what = "slurmd of h2 killed"
            cluster.nodes["h2"].kill()
            cluster.nodes["h2"].wait()
            cluster.wait_for("end of the start", lambda: "RUNNING" not in cluster.about(job))
            cluster.start_node("h2")
        else:
            what = ["USR1", "TERM", "INT", "USR2", "HUP"][stop % 5]
            cluster.ask("scancel", f"--signal={what}", job)
            cluster.wait_for("checkpoint", lambda: log().count("saved; continue with --resume") > said)
            durable.append(time.monotonic() - began)
            cluster.wait_for("end of the start", lambda: "RUNNING" not in cluster.about(job))
        print(f"{stop}: {what}: {time.monotonic() - began:.2f} s, of which until it was saved {durable[-1] if durable else 0:.2f}", flush=True)
        cluster.wait_for("nodes", lambda: "down" not in cluster.ask("sinfo", "--noheader", "--format=%T"))
    cluster.wait_for("end of the job", lambda: cluster.run_now(job) or "JobState=COMPLETED" in cluster.about(job), 1800)

    def left(run):
        files = ["model.safetensors", "trainer/optimizer.safetensors"]
        hashes = [hashlib.sha256((here / run / "last" / file).read_bytes()).hexdigest() for file in files]
        rows = [json.loads(row) for row in (here / run / "metrics.jsonl").open()]
        return hashes, [(row["step"], row["loss_nats"]) for row in rows]

    whole, run = left("whole"), left("run")
    print(f"undisturbed: {whole[0][0][:16]}, {stops} stops: {run[0][0][:16]}, rows alike: {whole[1] == run[1]}")
    print(f"from the signal to a durable checkpoint: median {statistics.median(durable):.2f} s, worst {max(durable):.2f} s")
    for name in ("slurmctld", "munged"):
        os.kill(int((cluster.dir / f"{name}.pid").read_text()), signal.SIGTERM)
    for node in cluster.nodes.values():
        node.kill()
    if whole != run:
        sys.exit(log()[-3000:])
    shutil.rmtree(here, ignore_errors=True)


if sys.argv[1] == "--inside":
    inside(sys.argv[2], int(sys.argv[3]))
else:
    itera, stops = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "20"
    sys.exit(subprocess.run(two_hosts_of([sys.executable, __file__, "--inside", itera, stops], as_root=True)).returncode)
