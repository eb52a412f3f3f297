#!/usr/bin/env python3
"""Decoding speed against llama.cpp on the same files, one thread, taking turns: a noisy machine disturbs both alike.

    cargo build --release
    python3 benches/llama_cpp.py target/release/itera tiny-q8.gguf story260k.gguf --rounds 5

Needs `pip install xllamacpp`: llama.cpp, built. A round is `itera bench` and then a completion by llama.cpp, of
as many tokens after a prompt about as long, the likeliest each, timed by llama.cpp itself. The ratio of a round is
itera's tokens/s over llama.cpp's in that round; what counts is the median. Run it on an idle machine.
"""
import argparse
import json
import statistics
import subprocess
import sys

import xllamacpp

# about as many tokens as `itera bench` reads by default
PROMPT = "Once upon a time there was a little dog who lived in a small house near the forest. " * 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("itera", help="the program")
    parser.add_argument("files", nargs="+", help="GGUF files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256)
    args = parser.parse_args()
    for file in args.files:
        server = open_in_llama_cpp(file)
        decode_by_llama_cpp(server, args.tokens)
        rounds = []
        for _ in range(args.rounds):
            rounds.append((decode_by_itera(args.itera, file, args.tokens), decode_by_llama_cpp(server, args.tokens)))
        ratios = [ours / theirs for ours, theirs in rounds]
        ours, theirs = (statistics.median(speeds) for speeds in zip(*rounds))
        ratio = f"{statistics.median(ratios):.1f} times ({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"{file}: itera {ours:.0f} tokens/s, llama.cpp {theirs:.0f}; {ratio}")


def decode_by_itera(program, file, tokens):
    """Tokens a second of one text."""
    command = [program, "bench", file, "--json", "--threads", "1", "--streams", "1", "--tokens", str(tokens)]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode != 0:
        sys.exit(found.stderr)
    return json.loads(found.stdout)["models"][0]["tokens_per_s"]["median"]


def open_in_llama_cpp(file):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 512, 1, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(parameters)


def decode_by_llama_cpp(server, tokens):
    """Tokens a second after the first, by its own clock."""
    request = {"prompt": PROMPT, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    answer = server.handle_completions(request)
    answer = json.loads(answer) if isinstance(answer, str) else answer
    if "timings" not in answer:
        sys.exit(f"llama.cpp refuses: {answer}")
    return answer["timings"]["predicted_per_second"]


if __name__ == "__main__":
    main()
