#!/usr/bin/env python3
"""Speed of `itera serve`: against the engine without a server, and against llama.cpp's server on the same file.

    cargo build --release
    python3 benches/serve.py target/release/itera story260k.gguf tiny-q8.gguf --llama-cpp

Prints of each file, as medians of rounds in which all take turns:

    tokens/s of 64 texts at once, streamed and whole, as shares of what `itera bench` reaches without a server;
    of a request that computes next to nothing, CPU time of the server and time until the answer, also with all on one core,
    which leaves out what it takes to wake another;
    time until the first token of a prompt of 2,000 tokens, and of the same prompt again;
    resident memory of 10,000 streams that wait;
    with --llama-cpp tokens/s of 1, 8 and 64 clients, by llama.cpp's `/completion`, and how many times those of llama.cpp.

Client and servers share the machine; the client reads bytes and looks at nothing but their end. Needs `pip install xllamacpp`
for --llama-cpp: llama.cpp, built, with its server. Run it on an idle machine.
"""
import argparse
import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

PROMPT = "Once upon a time there was a little dog who lived in a small house near the forest. " * 3
IDLE = 10_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("itera", help="the program")
    parser.add_argument("files", nargs="+", help="GGUF files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--llama-cpp", action="store_true")
    parser.add_argument("--be-llama-cpp", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.be_llama_cpp:
        return be_llama_cpp(args.be_llama_cpp, args.tokens)
    for file in args.files:
        print(file)
        against_the_engine(args, file)
        next_to_nothing(args, file)
        twice(args, file)
        idle(args, file)
        if args.llama_cpp:
            against_llama_cpp(args, file)


class Process:
    """A server that says on a line of its output where it listens."""

    def __init__(self, command, mark):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        for line in self.process.stdout:
            said.append(line)
            if mark in line:
                host, port = line.split("http://")[1].strip().rsplit(":", 1)
                self.address = host, int(port)
                # what else it says is read too: llama.cpp's server stops where a pipe is full
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        sys.exit("".join(said))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run_on(self, cores):
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), cores)

    def resident_bytes(self):
        lines = open(f"/proc/{self.process.pid}/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


def itera(args, file, *more):
    return Process([args.itera, "serve", f"model={file}", "--port", "0", *more], "listening at")


def llama_cpp(args, file):
    command = [sys.executable, __file__, args.itera, file, "--be-llama-cpp", file, "--tokens", str(args.tokens)]
    return Process(command, "listening at http")


def be_llama_cpp(file, tokens):
    """Serve by llama.cpp, as it is usually started, with a place for each of 64 clients."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_parallel, parameters.n_ctx, parameters.port = 64, 64 * (tokens + 512), 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = os.cpu_count()
    # a connection has a thread as long as it is open
    parameters.n_threads_http = 80
    server = xllamacpp.Server(parameters)
    print(f"listening at {server.listening_address}", flush=True)
    while True:
        time.sleep(1)


def request(path, body):
    text = json.dumps(body)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def rate(server, clients, tokens, stream):
    """Tokens a second of as many clients, each with a connection and a text of its own."""
    waiting = selectors.DefaultSelector()
    for seed in range(clients):
        body = {"prompt": PROMPT, "n_predict": tokens, "ignore_eos": True, "temperature": 0, "seed": seed, "stream": stream}
        connection = socket.create_connection(server.address)
        waiting.register(connection, selectors.EVENT_READ, [request("/completion", body), b""])
    began = time.perf_counter()
    for key in list(waiting.get_map().values()):
        key.fileobj.sendall(key.data[0])
    while waiting.get_map():
        for key, _ in waiting.select():
            piece = key.fileobj.recv(1 << 18)
            key.data[1] = (key.data[1] + piece)[-4096:] if stream else key.data[1] + piece
            if not piece:
                sys.exit(f"the server left: {key.data[1][-500:]}")
            if is_whole(key.data[1], stream):
                predicted = [int(number) for number in re.findall(rb'"tokens_predicted":\s*(\d+)', key.data[1])]
                if predicted[-1:] != [tokens]:
                    sys.exit(f"not {tokens} tokens: {key.data[1][-500:]}")
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    return clients * tokens / (time.perf_counter() - began)


def is_whole(text, stream):
    """The end of a response: of its last piece, or after as many bytes as it says."""
    if stream:
        return text.endswith(b"\r\n0\r\n\r\n")
    head, found, body = text.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    return bool(found) and len(body) >= lengths[0]


def against_the_engine(args, file):
    alone, streamed, whole = [], [], []
    command = [args.itera, "bench", file, "--json", "--tokens", str(args.tokens), "--repeats", "1"]
    with itera(args, file) as server:
        rate(server, 64, args.tokens, True)
        for _ in range(args.rounds):
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            alone.append(found["models"][0]["streams_tokens_per_s"]["median"])
            streamed.append(rate(server, 64, args.tokens, True))
            whole.append(rate(server, 64, args.tokens, False))
    engine = statistics.median(alone)
    for what, rates in [("streamed", streamed), ("whole", whole)]:
        share = statistics.median(here / there for here, there in zip(rates, alone))
        print(f"  64 texts {what:9} {statistics.median(rates):8.0f} tokens/s, {share:.2f} of {engine:.0f} without a server")


def next_to_nothing(args, file):
    cores = os.sched_getaffinity(0)
    for where, on in [("", cores), (" on one core with its client", {min(cores)})]:
        with itera(args, file) as server:
            server.run_on(on)
            os.sched_setaffinity(0, on)
            cpu, until = one_token(server)
            os.sched_setaffinity(0, cores)
        print(f"  a request of one token{where} {1e6 * cpu:.0f} µs of CPU, {1e6 * until:.0f} µs until the answer")


def ask(connection, text, stream=False):
    """Seconds until the response is there, or its first event, and all of it."""
    began, until, response = time.perf_counter(), None, b""
    connection.sendall(text)
    while not is_whole(response, stream):
        response += connection.recv(1 << 16)
        if stream and until is None and b"data: " in response:
            until = time.perf_counter() - began
    return until or time.perf_counter() - began, response


def one_token(server):
    """CPU time of the server, and the median time until the answer, in seconds."""
    count = 5_000
    connection = socket.create_connection(server.address)
    text = request("/v1/completions", {"prompt": "a", "max_tokens": 1})

    for _ in range(500):
        ask(connection, text)
    before = server.cpu_seconds()
    times = [ask(connection, text)[0] for _ in range(count)]
    return (server.cpu_seconds() - before) / count, statistics.median(times)


def twice(args, file):
    with itera(args, file) as server:
        connection = socket.create_connection(server.address)
        _, answer = ask(connection, request("/tokenize", {"content": PROMPT}))
        copies = -(-2000 // len(json.loads(answer.partition(b"\r\n\r\n")[2])["tokens"]))
        bodies = [{"prompt": f"{number}. {PROMPT * copies}", "max_tokens": 1, "stream": True} for number in range(30)]
        texts = [request("/v1/completions", body) for body in bodies]
        pairs = [[ask(connection, text, True)[0] for _ in range(2)] for text in texts]
        first, again = (statistics.median(times) for times in zip(*pairs))
        print(f"  a prompt of 2,000 tokens {1e3 * first:.1f} ms until the first token, {1e3 * again:.2f} ms when it comes again")


def idle(args, file):
    with itera(args, file, "--max-queue", str(2 * IDLE)) as server:
        # others to wait for, for long; memory grows until the first of them have ended
        busy = {"prompt": PROMPT, "max_tokens": 3000, "ignore_eos": True, "stream": True, "n": 2048}
        connections = [socket.create_connection(server.address)]
        connections[0].sendall(request("/v1/completions", busy))
        while b"finish_reason\":\"length" not in connections[0].recv(1 << 16):
            pass
        before = server.resident_bytes()
        for _ in range(IDLE):
            connections.append(socket.create_connection(server.address))
            connections[-1].sendall(request("/v1/completions", {"prompt": "a", "max_tokens": 1, "stream": True}))
        time.sleep(2)
        each = (server.resident_bytes() - before) / IDLE
        print(f"  {IDLE} streams that wait {each / 1024:.1f} KiB each")
        for connection in connections:
            connection.close()


def against_llama_cpp(args, file):
    with itera(args, file) as ours, llama_cpp(args, file) as theirs:
        for clients in [1, 8, 64]:
            rounds = [[rate(server, clients, args.tokens, True) for server in [ours, theirs]] for _ in range(args.rounds)]
            here, there = (statistics.median(rates) for rates in zip(*rounds))
            ratios = [here / there for here, there in rounds]
            ratio = f"{statistics.median(ratios):.1f} times ({min(ratios):.1f} to {max(ratios):.1f})"
            print(f"  {clients:2} clients {here:8.0f} tokens/s, llama.cpp {there:.0f}: {ratio}")


main()
