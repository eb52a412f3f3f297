"""How long does a program take from its start to its first bytes of output, and to its end?

    python3 benches/start.py 60 target/release/itera generate tiny.gguf -p "Once upon a time" -n 1

Prints medians and minima over as many starts as asked for. `itera generate` shows nothing before its first token.
"""

import os
import statistics
import sys
import time


def start(arguments):
    """Milliseconds to the first bytes on standard output, and to the exit."""
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read), (os.POSIX_SPAWN_CLOSE, write)]
    began = time.perf_counter()
    pid = os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=actions)
    os.close(write)
    os.read(read, 1 << 16)
    first = time.perf_counter() - began
    while os.read(read, 1 << 16):
        pass
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(arguments)} failed")
    return 1e3 * first, 1e3 * (time.perf_counter() - began)


def main():
    times, arguments = int(sys.argv[1]), sys.argv[2:]
    firsts, ends = zip(*(start(arguments) for _ in range(times)))
    for name, ms in [("first bytes", firsts), ("exit", ends)]:
        print(f"{name:11} {statistics.median(ms):7.2f} ms, at least {min(ms):.2f}")


if __name__ == "__main__":
    main()
