"""Does a server keep its promises for as long as it runs: loads, exchanges, memory, overload, ends?

    python serve_at_length.py ITERA                      all of it, about 40 minutes
    python serve_at_length.py ITERA loads swaps          some of it
    python serve_at_length.py ITERA --times 0.01         a hundredth of it

    loads      10,000 loads and unloads: resident memory stays
    swaps      1,000 exchanges of a model by another, asked by 8 clients: every answer is 200, and wholly of one of them
    prompts    a million distinct prompts: resident memory stays within the budget and 16 MiB
    overload   ten minutes of ten times the requests that the server has time for: latency of those that it takes in, and memory
    ends       20 SIGTERMs at any moment: every request that was taken in is answered, and the server ends with 0

Prints a line a check and exits with 1 if any failed. Needs nothing but Python.
"""

import argparse
import contextlib
import heapq
import http.client
import json
import os
import random
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
SMALL, LARGE = CHECKPOINTS / "stories-75k.gguf", CHECKPOINTS / "stories-378k.gguf"
MIB = 1 << 20


class Server:
    """`itera serve`, on a port of its own."""

    def __init__(self, itera, *args):
        command = [itera, "serve", "--port", "0", *map(str, args)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if line.startswith("listening at "):
                self.address = line.split("http://")[1].strip()
                break
        else:
            sys.exit("".join(said))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def client(self):
        return http.client.HTTPConnection(self.address, timeout=300)

    def status(self, key):
        """Bytes of `VmRSS` or `VmHWM`."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) << 10


def post(client, path, body):
    client.request("POST", path, json.dumps(body))
    response = client.getresponse()
    return response.status, response.read()


def put(source, path):
    """Let a copy take the place of what is there, at once."""
    new = path.with_name(".new")
    shutil.copy(source, new)
    os.replace(new, path)


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def loads(itera, times, expect):
    count = max(20, int(10_000 * times))
    with tempfile.TemporaryDirectory() as directory:
        put(SMALL, Path(directory) / "a.gguf")
        with Server(itera, "--repository", directory, "--allow-load", "--cache", 4) as server:
            client, resident = server.client(), []
            for turn in range(count):
                for what in ["load", "unload"]:
                    status, body = post(client, f"/v2/repository/models/a/{what}", {})
                    if status != 200:
                        return expect(False, "loads", body.decode())
                if turn % (count // 20) == count // 20 - 1:
                    resident.append(server.status("VmRSS"))
            grown = max(resident[10:]) - max(resident[:10])
            expect(grown <= MIB, "loads", f"{count} loads and unloads: resident {resident[0] >> 10} KiB, then "
                   f"{resident[-1] >> 10} KiB; the second half has {grown >> 10} KiB more than the first at most")


def swaps(itera, times, expect):
    count = max(10, int(1_000 * times))
    request = {"model": "a", "prompt": "Once upon a time", "max_tokens": 20}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.gguf"
        with Server(itera, "--repository", directory, "--allow-load", "--cache", 4) as server:
            client, known = server.client(), {}

            def exchange(source):
                put(source, path)
                status, body = post(client, "/v2/repository/models/a/load", {})
                assert status == 200, body

            def part(body):
                answer = json.loads(body)
                return answer["system_fingerprint"], answer["choices"][0]["text"]

            for source in [SMALL, LARGE]:
                exchange(source)
                known[part(post(client, "/v1/completions", request)[1])] = 0
            over, wrong = threading.Event(), []

            def ask(_):
                own = server.client()
                while not over.is_set():
                    status, body = post(own, "/v1/completions", request)
                    if status != 200 or part(body) not in known:
                        wrong.append(body)
                    else:
                        known[part(body)] += 1

            threads, resident = in_threads(8, ask), []
            for turn in range(count):
                exchange([SMALL, LARGE][turn % 2])
                resident.append(server.status("VmRSS"))
            over.set()
            for thread in threads:
                thread.join()
            half = count // 2
            grown = max(resident[half:]) - max(resident[:half])
            expect(not wrong and min(known.values()) > 0 and grown <= 4 * MIB, "swaps",
                   f"{count} exchanges, answers of one and of the other: {sorted(known.values())}, wrong {len(wrong)}; the second "
                   f"half has {grown >> 10} KiB more than the first at most, {max(resident) >> 10} KiB in all")


def prompts(itera, times, expect):
    count, each, budget = max(6400, int(1_000_000 * times)), 64, 192 * MIB
    args = [f"a={SMALL}", "--memory", budget // MIB, "--cache", 32, "--max-batch", 64]
    with Server(itera, *args) as server:
        wrong = []

        def ask(number):
            own = server.client()
            for turn in range(count // each // 4):
                first = (number * count + turn) * each
                texts = [f"The {first + index:x} dog said: {first * 7 + index}" for index in range(each)]
                status, body = post(own, "/v1/completions", {"prompt": texts, "max_tokens": 1})
                if status != 200:
                    wrong.append(body)

        for thread in in_threads(4, ask):
            thread.join()
        most, limit = server.status("VmHWM"), budget + 16 * MIB
        expect(not wrong and most <= limit, "prompts",
               f"{count} prompts: {most / MIB:.1f} MiB at most, of {limit / MIB:.0f}; refused {len(wrong)} {wrong[:1]}")


def crowd(address, request, lengths, clients, seconds, pause):
    """What `clients` see that ask again and again, after `pause` seconds in the mean where one was refused, for texts of any of
    `lengths`: texts of one length would end together and leave those that wait a whole text to wait for.

    They share a thread, and sockets without a library on top: what they need of the cores is taken from the server's.
    Returns the seconds that answers took, those that refusals took, and of each request that had neither what came of it.
    """
    host, port = address.split(":")
    answered, refused, lost = [], [], []
    drawn, waiting, due = random.Random(0), selectors.DefaultSelector(), []
    until = time.monotonic() + seconds

    def ask(client):
        own = {"seed": drawn.randrange(1 << 30), "max_tokens": drawn.randint(*lengths)}
        body = json.dumps({**request, **own}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        waiting.register(client, selectors.EVENT_READ, [time.monotonic(), b""])
        with contextlib.suppress(OSError):  # which is read of too, as the end of the connection
            client.sendall(head + body)

    for _ in range(clients):
        ask(socket.create_connection((host, int(port))))
    while waiting.get_map() or due:
        while due and due[0][0] <= time.monotonic():
            ask(heapq.heappop(due)[2])
        for key, _ in waiting.select(max(0, due[0][0] - time.monotonic()) if due else None):
            client, (began, come) = key.fileobj, key.data
            try:
                piece = client.recv(1 << 16)
            except OSError:
                piece = b""
            come += piece
            head, _, body = come.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if piece and not (length and len(body) == int(length[1])):
                key.data[1] = come
                continue
            waiting.unregister(client)
            now, status = time.monotonic(), head[9:12]
            if piece:
                {b"200": answered, b"429": refused}.get(status, lost).append(now - began)
            else:
                lost.append(come)
            again = now + (2 * pause * drawn.random() if status == b"429" else 0)
            if piece and again < until:
                heapq.heappush(due, (again, client.fileno(), client))
            else:
                client.close()
    return answered, refused, lost


def overload(itera, times, expect):
    seconds, room, lengths = max(10, 600 * times), 16, (500, 1500)
    request = {"prompt": "Once upon a time", "ignore_eos": True}
    with Server(itera, f"a={SMALL}", "--max-batch", room, "--max-queue", room // 4, "--cache", 4) as server:

        def measure(clients, seconds, pause=0.0):
            return crowd(server.address, request, lengths, clients, seconds, pause)

        span = min(30, seconds / 3)
        full, _, _ = measure(room, span)
        rate, before = len(full) / span, server.status("VmRSS")
        # refused clients come again so often that ten times the rate arrives
        clients = 10 * room
        pause = (clients - room) / (10 * rate)
        answered, refused, lost = measure(clients, seconds, pause)
        arrived = (len(answered) + len(refused)) / seconds
        grown = server.status("VmRSS") - before
        usual, loaded, fast = quantile(full, 0.99), quantile(answered, 0.99), quantile(refused, 0.99)
        expect(loaded <= 2 * usual and not lost and grown <= 4 * MIB, "overload",
               f"{seconds:.0f} s, {arrived / rate:.1f} times the rate of {rate:.0f} requests/s: p99 of {len(answered)} answers "
               f"{1e3 * loaded:.0f} ms, with all {room} places taken and nobody waiting {1e3 * usual:.0f} ms; p99 of "
               f"{len(refused)} refusals {1e3 * fast:.1f} ms; lost {len(lost)}; memory grew by {grown >> 10} KiB")


def ends(itera, times, expect):
    count, counts = max(3, int(20 * times)), {"answered": 0, "refused": 0}
    lost, codes = [], []
    for turn in range(count):
        server = Server(itera, f"a={SMALL}", "--max-batch", 8, "--drain", 60)
        began = time.monotonic()

        def ask(number):
            stream = number % 2 == 0
            request = {"prompt": "Once upon a time", "max_tokens": 200, "seed": number, "stream": stream, "ignore_eos": True}
            while True:
                try:
                    status, body = post(server.client(), "/v1/completions", request)
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    lost.append(repr(error))
                    return
                if status == 503:
                    counts["refused"] += 1
                    return
                done = b"data: [DONE]" in body if stream else json.loads(body)["usage"]["completion_tokens"] == 200
                if status == 200 and done:
                    counts["answered"] += 1
                else:
                    lost.append((status, body[-200:]))

        at = 0.05 + 0.1 * turn
        threads = in_threads(32, ask)
        time.sleep(max(0, began + at - time.monotonic()))
        server.process.send_signal(signal.SIGTERM)
        codes.append(server.process.wait(timeout=100))
        for thread in threads:
            thread.join()
    expect(not lost and set(codes) == {0}, "ends",
           f"{count} ends: answered {counts['answered']}, refused {counts['refused']}, lost {len(lost)} {lost[:2]}, codes {set(codes)}")


def main():
    parts = {"loads": loads, "swaps": swaps, "prompts": prompts, "overload": overload, "ends": ends}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("itera", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("parts", nargs="*", default=list(parts), metavar="PART")
    parser.add_argument("--times", type=float, default=1.0, help="how much of it, 1 for all")
    args = parser.parse_args()
    failures = []

    def expect(good, what, detail):
        failures.extend([] if good else [what])
        print(f"{'ok  ' if good else 'FAIL'}  {what:<9} {detail}", flush=True)

    for part in args.parts:
        parts[part](args.itera, args.times, expect)
    sys.exit(bool(failures))


main()
