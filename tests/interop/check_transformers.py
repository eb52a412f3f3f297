"""Does `transformers` see in a model directory what `itera` sees?

    directory ─┬→ AutoTokenizer, AutoModelForCausalLM ─┬→ ids, logits, greedy text ─→ equal?
               └→ itera logits, itera generate ────────┘

    python check_transformers.py runs/quickstart/last --itera target/release/itera

Of weights in the layout of compressed-tensors (`itera export --format hf --dtype fp8` or `int4`), which need that package,
every number must be the one that `itera` computes with. `CompressedTensorsConfig(dequantize=True)` is asked too: 4-bit
codes times scales are rounded to f16 there, the type of the scales.

Prints a line a check and exits with 1 if any failed. Needs what `../golden/requirements.txt` pins.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, CompressedTensorsConfig

TOLERANCE = 1e-4
# of a weight, relative: half a step of f16
F16_STEP = 2.0**-11
CONTINUATION = 50
TEXTS = [
    "",
    "a",
    "Once upon a time there was a little girl named Lily.",
    "  two spaces,\n\na blank line,\ttab and 1234567 digits...  ",
    "Größe, naïveté, Ελλάδα, Москва, 東京 and 🦊👩‍🚀",
    "She said: \"don't!\" " * 20,
]
PROMPTS = ["Once upon a time", "The dog", "\n"]


class Checks:
    """Prints each result and remembers whether all were good."""

    def __init__(self):
        self.failures = 0

    def expect(self, good, what, detail=""):
        self.failures += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what:<10} {detail}")


def itera(binary, *arguments):
    """What the program prints with `--json`."""
    command = [binary, *map(str, arguments), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexited with {result.returncode}:\n{result.stderr}")
    return json.loads(result.stdout)


def check_directory(directory, checks):
    """Opens the directory; every tensor must have its place and every special token its id."""
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    problems = {kind: sorted(names) for kind, names in report.items() if names}
    n_parameters = sum(p.numel() for p in model.parameters())
    checks.expect(not problems, "weights", str(problems or f"{type(model).__name__}, {n_parameters:,} parameters"))
    for special in ("bos_token_id", "eos_token_id", "pad_token_id"):
        ours, theirs = getattr(tokenizer, special), getattr(model.config, special)
        checks.expect(ours is not None and ours == theirs, "special", f"{special}: tokenizer {ours}, model {theirs}")
    checks.expect(len(tokenizer) <= model.config.vocab_size, "vocabulary", f"{len(tokenizer)} tokens")
    return model, tokenizer


def encode(tokenizer, text):
    """Ids of bos and `text`."""
    return [tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]


@torch.no_grad()
def check_compressed(model, directory, binary, checks):
    """Which weights are compressed, and that each stands for the same number in both programs, bit for bit."""
    stored = load_file(directory / "model.safetensors")
    modules = sorted(name.removesuffix("_scale") for name in stored if name.endswith(".weight_scale"))
    floats = sorted(name for name, tensor in stored.items() if tensor.dtype == torch.float8_e4m3fn)
    plain = [name for name in floats if name not in modules]
    # it decompresses when it is first used
    model(torch.tensor([[0]]), use_cache=False)
    dequantized = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, quantization_config=CompressedTensorsConfig(dequantize=True)
    )
    with tempfile.TemporaryDirectory() as wide:
        itera(binary, "export", directory, "--format", "hf", "--dtype", "f32", "--force", "-o", wide)
        expected = dict(AutoModelForCausalLM.from_pretrained(wide, dtype=torch.float32).named_parameters())
    for how, found, tolerance in (("as it is", model, 0.0), ("dequantize=True", dequantized, F16_STEP)):
        off = {name: (found.get_parameter(name) - e).abs() > tolerance * e.abs() for name, e in expected.items()}
        wrong = {name: off.sum().item() for name, off in off.items() if off.any()}
        checks.expect(not wrong, "numbers", str(wrong or f"{how}: {len(expected)} tensors equal"))
    print(f"      weights    {len(modules)} decompressed, {len(plain)} widened from 8-bit floats without a scale")


@torch.no_grad()
def check_logits(model, tokenizer, text, answer, checks):
    """Same ids, same logits at every position."""
    ids = encode(tokenizer, text)
    if ids != answer["ids"]:
        return checks.expect(False, "ids", f"{text[:40]!r}: transformers {ids}, itera {answer['ids']}")
    n_unknown = ids[1:].count(tokenizer.unk_token_id)
    round_trip = tokenizer.decode(ids[1:])
    decoded = f"{n_unknown} bytes unknown" if n_unknown else "decoded to the same text"
    checks.expect(n_unknown > 0 or round_trip == text, "ids", f"{text[:40]!r}: {len(ids)} equal, {decoded}")
    theirs = model(torch.tensor([ids]), use_cache=False).logits[0]
    ours = torch.tensor(answer["logits"])
    if ours.shape != theirs.shape:
        return checks.expect(False, "logits", f"transformers {list(theirs.shape)}, itera {list(ours.shape)}")
    difference = (ours - theirs).abs().max().item()
    checks.expect(difference <= TOLERANCE, "logits", f"{text[:40]!r}: max|Δ| {difference:.1e} of {list(ours.shape)}")


@torch.no_grad()
def check_greedy(model, tokenizer, prompt, answer, checks):
    """Same continuation by falling probability, up to eos. Where two tokens lie within the tolerance either is right,
    and what follows is no longer comparable."""
    ids = torch.tensor([encode(tokenizer, prompt)])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=CONTINUATION,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    theirs = until_eos(out.sequences[0, ids.shape[1] :].tolist(), tokenizer)
    ours = until_eos(answer["ids"], tokenizer)
    if ours == theirs:
        text = tokenizer.decode(theirs, skip_special_tokens=True)
        same_text = answer["text"] == text
        return checks.expect(same_text, "greedy", f"{prompt!r}: {len(theirs)} tokens equal: {text[:60]!r}")
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    best = out.logits[min(at, len(out.logits) - 1)][0].topk(2).values
    gap = (best[0] - best[1]).item()
    checks.expect(
        gap <= 2 * TOLERANCE,
        "greedy",
        f"{prompt!r}: differs at token {at}, where the best two lie {gap:.1e} apart: "
        f"transformers {theirs[at : at + 5]}, itera {ours[at : at + 5]}",
    )


def until_eos(ids, tokenizer):
    """The ids before the first eos."""
    eos = tokenizer.eos_token_id
    return ids[: ids.index(eos)] if eos in ids else ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="Hugging Face model directory, such as runs/quickstart/last")
    parser.add_argument("--itera", default="target/release/itera", help="the program to compare with")
    arguments = parser.parse_args()
    directory = arguments.directory
    if not (directory / "config.json").is_file():
        parser.error(f"{directory} holds no config.json; hint: name a checkpoint, such as {directory / 'last'}")

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="You passed `quantization_config`")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {directory}")
    checks = Checks()
    model, tokenizer = check_directory(directory, checks)
    if "quantization_config" in json.loads((directory / "config.json").read_text()):
        check_compressed(model, directory, arguments.itera, checks)
    for text in TEXTS:
        answer = itera(arguments.itera, "logits", directory, "--exact", "--text", text)
        check_logits(model, tokenizer, text, answer, checks)
    for prompt in PROMPTS:
        greedy = ("--temperature", "0", "--max-tokens", CONTINUATION, "--exact")
        answer = itera(arguments.itera, "generate", directory, "--prompt", prompt, *greedy)
        check_greedy(model, tokenizer, prompt, answer, checks)
    print(f"{checks.failures} failed" if checks.failures else "all passed")
    sys.exit(1 if checks.failures else 0)


if __name__ == "__main__":
    main()
