"""Does llama.cpp make of a GGUF file what `transformers` makes of the model directory that it was exported from?

    model directory ─┬→ transformers ──────────────→ ids, greedy text, log-probabilities ─┬→ equal?
                     └→ itera export → GGUF → llama.cpp ──────────────────────────────────┘
                                         └→ llama.cpp's converter ──→ the same keys and tensors?

    python check_llama_cpp.py runs/tiny/last tiny.gguf
    python check_llama_cpp.py runs/tiny/last tiny.gguf --llama-cpp path/to/llama.cpp     # the converter too
    python check_llama_cpp.py runs/tiny/last tiny-q8_0.gguf --tolerance 0.3              # a rounded file

Prints a line a check and exits with 1 if any failed. Needs `pip install gguf==0.19.0 xllamacpp` beside what
`../golden/requirements.txt` pins; xllamacpp is llama.cpp, built.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from gguf import GGUFReader
from in_llama_cpp import open_in_llama_cpp
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTINUATION = 50
PROMPTS = ["Once upon a time", "The dog said: \"don't!\"", "Größe 123,  東京\n\n and", "a"]

# keys that are deliberately not as the converter has them, and why
OTHER_KEYS = {
    "general.name": "whatever the exporter was told",
    "general.size_label": "a size in words, made from the name",
    "context_length": "the converter promises 2^20, not what the model promises",
    "feed_forward_length": "llama.cpp refuses a dense model whose MLP is not as wide as this, so it is that width",
    "expert_used_count": "llama.cpp refuses any but 0 in a dense model",
    "tokenizer.ggml.add_bos_token": "the converter leaves it away, and llama.cpp then begins a text without bos",
    "rope.scaling.finetuned": "the converter guesses from the layers, not from the configuration",
    "tokenizer.ggml.tokens": "the converter pads tokens to a multiple of 8, not the embedding",
    "tokenizer.ggml.token_type": "as above",
    "tokenizer.ggml.merges": "left away by the converter where there are none, which llama.cpp refuses",
}
# where config.json gives `head_dim`, which the converter overlooks and llama.cpp reads from these
HEAD_DIM_KEYS = ["attention.key_length", "attention.value_length", "rope.dimension_count"]
# −exp(A_log): the exponential of torch is off by a bit of the last place here and there
INEXACT = ".ssm_a"


class Checks:
    """Prints each result and remembers whether all were good."""

    def __init__(self):
        self.failures = 0

    def expect(self, good, what, detail=""):
        self.failures += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what:<10} {detail}")


def check_converter(llama_cpp, directory, ours, checks):
    """Every key and every tensor, against the file that the converter makes of the directory."""
    reader = GGUFReader(ours)
    kinds = {0: "f32", 1: "f16", 32: "bf16", 7: "q8_0"}
    kind = kinds.get(reader.fields["general.file_type"].contents())
    if kind is None:
        return print("skip  converter  it writes f32, f16, bf16 and q8_0 alone")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "converted.gguf"
        script = Path(__file__).with_name("convert_with_llama_cpp.py")
        command = [sys.executable, script, llama_cpp, directory, out, "--kind", kind]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            return checks.expect(False, "converter", result.stderr[-2000:])
        has_head_dim = "head_dim" in json.loads((Path(directory) / "config.json").read_text())
        intended = [*OTHER_KEYS, *(HEAD_DIM_KEYS if has_head_dim else [])]
        compare_files(GGUFReader(out), reader, intended, checks)


def compare_files(theirs, ours, intended, checks):
    fields = [{k: f.contents() for k, f in r.fields.items() if not k.startswith("GGUF.")} for r in (theirs, ours)]
    different = sorted(k for k in fields[0].keys() | fields[1].keys() if fields[0].get(k) != fields[1].get(k))
    unexplained = [key for key in different if not any(key.endswith(other) for other in intended)]
    detail = f"{len(fields[1])} keys; as intended, others are {different}" if not unexplained else str(unexplained)
    checks.expect(not unexplained, "keys", detail)
    tensors = [{t.name: t for t in r.tensors} for r in (theirs, ours)]
    names = sorted(tensors[0].keys() ^ tensors[1].keys())
    checks.expect(not names, "names", f"{len(tensors[1])} tensors" if not names else str(names))
    wrong = [name for name in tensors[0].keys() & tensors[1].keys() if not same(tensors[0][name], tensors[1][name])]
    checks.expect(not wrong, "tensors", "equal to the byte" if not wrong else str(sorted(wrong)))


def same(theirs, ours):
    if (theirs.tensor_type, list(theirs.shape)) != (ours.tensor_type, list(ours.shape)):
        return False
    if theirs.name.endswith(INEXACT):
        return numpy.allclose(theirs.data, ours.data, rtol=2e-7, atol=0)
    return theirs.data.tobytes() == ours.data.tobytes()


def continued_by_llama_cpp(server, prompt):
    """Ids of the greedy continuation, and their log-probabilities: none where bytes that are no text hide some."""
    request = {"prompt": prompt, "n_predict": CONTINUATION, "temperature": 0, "top_k": 1, "n_probs": 1}
    answer = server.handle_completions(request | {"cache_prompt": False, "return_tokens": True, "verbose": True})
    answer = json.loads(answer) if isinstance(answer, str) else answer
    if "choices" not in answer:
        sys.exit(f"llama.cpp refuses: {answer}")
    ids = answer["__verbose"]["tokens"]
    logprobs = [token["logprob"] for token in answer["choices"][0]["logprobs"]["content"]]
    return ids, logprobs if len(logprobs) == len(ids) else []


@torch.no_grad()
def check_text(model, tokenizer, server, prompt, tolerance, checks):
    """Same continuation by falling probability. Where two tokens lie within the tolerance either is right, and what
    follows is no longer comparable."""
    # llama.cpp begins with bos by itself
    ids = tokenizer(tokenizer.bos_token + prompt, return_tensors="pt", add_special_tokens=False).input_ids
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=CONTINUATION,
        do_sample=False,
        use_cache=model.config.use_cache,
        return_dict_in_generate=True,
        output_logits=True,
    )
    theirs = out.sequences[0, ids.shape[1] :].tolist()
    scores = [logits[0].log_softmax(-1) for logits in out.logits]
    # the text checks the tokenizer in the file too
    ours, logprobs = continued_by_llama_cpp(server, prompt)
    n_equal = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    worst = max((abs(scores[i][theirs[i]].item() - logprobs[i]) for i in range(min(n_equal, len(logprobs)))), default=0.0)
    text = tokenizer.decode(theirs[:n_equal], skip_special_tokens=True)
    detail = f"{prompt[:20]!r}: {n_equal} tokens equal, |Δ log p| ≤ {worst:.1e}: {text[:50]!r}"
    ended = n_equal == len(ours) == len(theirs) or theirs[n_equal : n_equal + 1] == [tokenizer.eos_token_id]
    if not ended and n_equal < len(scores):
        best = scores[n_equal].topk(2).values
        gap = (best[0] - best[1]).item()
        ended = gap <= 2 * tolerance
        detail += f"; then the best two lie {gap:.1e} apart"
    checks.expect(ended and worst <= tolerance, "greedy", detail)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="Hugging Face model directory, such as runs/tiny/last")
    parser.add_argument("file", type=Path, help="the GGUF file that was exported from it")
    parser.add_argument("--llama-cpp", type=Path, help="sources of llama.cpp, to run its converter too")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of log-probabilities, in nats")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, {arguments.directory}, {arguments.file}")
    checks = Checks()
    if arguments.llama_cpp:
        check_converter(arguments.llama_cpp, arguments.directory, arguments.file, checks)
    model = AutoModelForCausalLM.from_pretrained(arguments.directory, dtype=torch.float32, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(arguments.directory)
    server = open_in_llama_cpp(arguments.file)
    for prompt in PROMPTS:
        if tokenizer.unk_token_id in tokenizer.encode(prompt, add_special_tokens=False):
            print(f"      left out   {prompt[:20]!r}: llama.cpp drops bytes that have no token")
            continue
        check_text(model.eval(), tokenizer, server, prompt, arguments.tolerance, checks)
    print(f"{checks.failures} failed" if checks.failures else "all passed")
    sys.exit(1 if checks.failures else 0)


if __name__ == "__main__":
    main()
