"""Two hosts of this machine, joined by cables, as tests/program/two_hosts.rs makes them: namespaces of the network, for which no
privileges are needed. For the scripts beside this one."""

import pathlib

# a third host, 10.77.0.254, is where the launcher runs
HOSTS = r"""
set -e
mount -t tmpfs none /run
mkdir /run/netns
ip link add bridge type bridge
ip addr add 10.77.0.254/24 dev bridge
ip link set bridge up
ip link set lo up
for host in 1 2; do
    ip netns add h$host
    ip link add cable$host type veth peer name eth0 netns h$host
    ip link set cable$host master bridge up
    ip -n h$host addr add 10.77.0.$host/24 dev eth0
    ip -n h$host link set eth0 up
    ip -n h$host link set lo up
    if [ -n "$1" ]; then
        tc qdisc add dev cable$host root tbf rate $1 burst 32kbit latency 400ms
        nsenter --net=/run/netns/h$host tc qdisc add dev eth0 root tbf rate $1 burst 32kbit latency 400ms
    fi
done
printf '127.0.0.1 localhost\n10.77.0.1 h1\n10.77.0.2 h2\n' >/run/hosts
mount --bind /run/hosts /etc/hosts
shift
exec "$@"
"""

AGENT = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do case "$1" in -l) shift 2;; *) shift;; esac; done
host=$1; shift
exec nsenter --net=/run/netns/$host unshare --uts sh -c "hostname $host; $*"
"""

UNSHARE = "unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc sh -c".split()

# what makes MPIs use the cables, and not the memory that the hosts share
BY_TCP = {"UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp", "I_MPI_FABRICS": "ofi", "I_MPI_HYDRA_IFACE": "bridge"}


def make_agent(where: pathlib.Path) -> str:
    """A program that starts a command on a host, as rsh does."""
    agent = where / "agent"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    return str(agent)


def two_hosts_of(command: list[str], rate: str = "", as_root: bool = False) -> list[str]:
    """`command` where the hosts h1 and h2 are, whose cables carry no more than `rate`, such as 100mbit. Of a user
    who is none, unless `as_root`."""
    unshare = [part for part in UNSHARE if not (as_root and part in ("--user", "--map-root-user"))]
    return [*unshare, HOSTS, "sh", rate, *command]
