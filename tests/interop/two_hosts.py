"""Two hosts of this machine, joined by cables: namespaces of the network, for which no privileges are needed. For the scripts
beside this one; tests/program/two_hosts.rs makes them alike."""

import pathlib

PROGRAM = pathlib.Path(__file__).parents[1] / "program"

UNSHARE = "unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc sh -c".split()

# what makes MPIs use the cables, and not the memory that the hosts share
BY_TCP = {"UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp", "I_MPI_FABRICS": "ofi", "I_MPI_HYDRA_IFACE": "bridge"}


def make_agent(where: pathlib.Path) -> str:
    """A program that starts a command on a host, as rsh does."""
    agent = where / "agent"
    agent.write_text((PROGRAM / "rsh_agent.sh").read_text())
    agent.chmod(0o755)
    return str(agent)


def two_hosts_of(command: list[str], rate: str = "", as_root: bool = False) -> list[str]:
    """`command` where the hosts h1 and h2 are, whose cables carry no more than `rate`, such as 100mbit. Of a user
    who is none, unless `as_root`."""
    unshare = [part for part in UNSHARE if not (as_root and part in ("--user", "--map-root-user"))]
    return [*unshare, (PROGRAM / "two_hosts.sh").read_text(), "sh", rate, *command]
