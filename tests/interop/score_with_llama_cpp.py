"""Does llama.cpp find the bits per byte in a GGUF file that `itera eval` finds?

    documents ─┬→ llama.cpp: the probability of each token after those before it ─┬→ within 0.5 %?
               └→ itera eval FILE --data TEXT --json ─────────────────────────────┘

    python score_with_llama_cpp.py path/to/itera valid.txt tiny-int4/*.gguf --documents 6

Scores as `itera eval` does: each document by itself, after an eos, and the eos that ends it. A line a file; exits with 1 if
any differs by more. Needs `pip install xllamacpp`, which is llama.cpp, built.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from in_llama_cpp import open_in_llama_cpp

SEPARATOR = "<|endoftext|>"
TOLERANCE = 0.005


def answer_of(result):
    return json.loads(result) if isinstance(result, str) else result


def tokens_of(server, text):
    body = json.dumps({"content": text, "add_special": False}).encode()
    request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["tokens"]


def nats_by_llama_cpp(server, document, eos, vocab_size):
    """Nats of every token of a document and of the eos behind it."""
    ids = tokens_of(server, document)
    nats = 0.0
    for index, target in enumerate([*ids, eos]):
        request = {"prompt": [eos, *ids[:index]], "n_predict": 1, "temperature": 0, "n_probs": vocab_size}
        answer = answer_of(server.handle_completions(request | {"cache_prompt": True, "verbose": True}))
        if "choices" not in answer:
            sys.exit(f"llama.cpp refuses: {answer}")
        found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        nats -= next(token["logprob"] for token in found if token["id"] == target)
    return nats


def bits_per_byte_by_itera(itera, file, documents):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as text:
        text.write(f"\n{SEPARATOR}\n".join(documents))
        text.flush()
        command = [itera, "eval", file, "--data", text.name, "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["bits_per_byte"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("itera", type=Path, help="the program")
    parser.add_argument("text", type=Path, help="documents, a separator line between two")
    parser.add_argument("files", type=Path, nargs="+", help="GGUF files")
    parser.add_argument("--documents", type=int, default=6, help="how many of them to score")
    arguments = parser.parse_args()
    documents = [part.strip() for part in arguments.text.read_text(encoding="utf-8").split(SEPARATOR)]
    documents = [part for part in documents if part][: arguments.documents]
    size_bytes = sum(len(document.encode()) for document in documents)
    failures = 0
    for file in arguments.files:
        listed = subprocess.run([arguments.itera, "inspect", file, "--json"], check=True, capture_output=True).stdout
        metadata = json.loads(listed)["metadata"]
        eos, vocab_size = metadata["tokenizer.ggml.eos_token_id"], metadata["tokenizer.ggml.tokens"]["len"]
        server = open_in_llama_cpp(file)
        nats = sum(nats_by_llama_cpp(server, document, eos, vocab_size) for document in documents)
        theirs = nats / math.log(2) / size_bytes
        ours = bits_per_byte_by_itera(arguments.itera, file, documents)
        good = abs(theirs / ours - 1) <= TOLERANCE
        failures += not good
        print(f"{'ok  ' if good else 'FAIL'}  {file}: llama.cpp {theirs:.5f}, itera {ours:.5f} bits per byte, {theirs / ours - 1:+.3%}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
