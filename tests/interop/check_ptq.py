"""Do compressed-tensors and transformers see in a quantised directory what `itera compress` put there?

    source ── itera compress ─▶ out ─┬→ decompressed by compressed-tensors ─▶ within a step of the source?
                                     │                                      └▶ what `itera compare` and `inspect` say it is?
                                     └→ transformers ─▶ logits ─▶ those of the weights that it stands for?

    python tests/interop/check_ptq.py target/release/itera

Prints a line a check and exits with 1 if any failed. Needs `pip install llmcompressor==0.14.0.1 transformers torch`.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from compressed_tensors.compressors.base import BaseCompressor
from compressed_tensors.quantization import QuantizationScheme
from llmcompressor import model_free_ptq
from make_ptq_golden import KEPT
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).parent.parent / "golden" / "ptq"
KINDS = {
    "qwen3": transformers.Qwen3ForCausalLM,
    "llama": transformers.LlamaForCausalLM,
    "mixtral": transformers.MixtralForCausalLM,
    "bert": transformers.BertModel,
}
failures = 0


def check(what, holds, detail=""):
    global failures
    failures += not holds
    print("ok  " if holds else "FAIL", what, detail, flush=True)


def tensors(directory):
    return {name: tensor for file in sorted(directory.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def decompressed(directory):
    """The weights that a directory stands for, by compressed-tensors."""
    about = json.loads((directory / "config.json").read_text())["quantization_config"]
    group = about["config_groups"]["group_0"]
    scheme = QuantizationScheme.model_validate(group)
    compressor = BaseCompressor.get_value_from_registry(group["format"])
    stored, found = tensors(directory), {}
    for name, tensor in stored.items():
        module, _, part = name.rpartition(".")
        if part in ("weight_scale", "weight_global_scale"):
            continue
        if f"{module}.weight_scale" in stored and part in ("weight", "weight_packed"):
            parts = {key.rpartition(".")[2]: value for key, value in stored.items() if key.rpartition(".")[0] == module}
            found[f"{module}.weight"] = compressor.decompress(parts, scheme)["weight"]
        else:
            found[name] = tensor
    return found


def logits(kind, directory, dtype):
    model = kind.from_pretrained(directory, dtype=dtype).eval()
    with torch.no_grad():
        out = model(input_ids=torch.arange(1, 13).reshape(1, -1))
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state).float()


def unpacked(directory, source, weights):
    """A directory of the source's model with these weights."""
    directory.mkdir()
    shutil.copy(source / "config.json", directory)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, directory / "model.safetensors")
    return directory


def main(itera):
    for name, kind in KINDS.items():
        source = GOLDEN / name / "source"
        original = tensors(source)
        for recipe, step in [("fp8", 1 / 16), ("nvfp4", 1 / 3)]:
            with tempfile.TemporaryDirectory() as directory:
                out = Path(directory) / "out"
                run = [itera, "compress", str(source), "--recipe", recipe, "-o", str(out)]
                subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
                found = decompressed(out)
                check(f"{name} {recipe} has the tensors of the source", found.keys() == original.keys())
                worst = max(
                    ((found[key].float() - value.float()).abs().max() / value.float().abs().max().clamp(1e-9)).item()
                    for key, value in original.items()
                )
                check(f"{name} {recipe} is near the source", 0 < worst <= step, f"{worst:.4f} of the largest weight")
                seen(itera, f"{name} {recipe}", source, out, found)
                # compressed-tensors unpacks NVFP4 to bfloat16, whatever the model is in
                dtype = torch.bfloat16 if recipe == "nvfp4" else "auto"
                expected = logits(kind, unpacked(Path(directory) / "unpacked", source, found), dtype)
                cost = (expected - logits(kind, source, dtype)).abs().max().item()
                found = logits(kind, out, dtype)
                told = (found - expected).abs().max().item()
                detail = f"off by {told:.4f}; rounding costs {cost:.4f}"
                # FP8 rounds activations too
                holds = told <= max(cost, 0.02)
                if not holds and recipe == "nvfp4":
                    # transformers 5.24 passes over the codes of experts in NVFP4, whoever wrote them
                    peer = Path(directory) / "peer"
                    model_free_ptq(source, peer, "NVFP4A16", ignore=KEPT[name], device="cpu")
                    holds, detail = torch.equal(found, logits(kind, peer, dtype)), f"{detail}; so is the peer's"
                check(f"{name} {recipe} opens in transformers", holds, detail)
    blocks(itera)
    sys.exit(failures > 0)


def seen(itera, what, source, out, found):
    """`itera compare` and `inspect` see the weights that compressed-tensors sees, to the bit."""
    run = [itera, "compare", str(source), str(out), "--json"]
    said = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    original, off = tensors(source), 0.0
    for tensor in said["tensors"]:
        before, after = original[tensor["name"]].double(), found[tensor["name"]].double()
        expected = ((before - after).norm() / before.norm()).item() if before.norm() > 0 else 0.0
        if tensor["change"] == "same_bytes":
            off = max(off, expected)
        else:
            off = max(off, abs(tensor["change"]["error"]["relative"] / expected - 1))
    detail = f"{len(said['tensors'])} tensors, {off:.1e} apart, {said['same_bytes']} kept"
    check(f"{what}: the errors of `itera compare` are those of compressed-tensors", off < 1e-6, detail)
    with tempfile.TemporaryDirectory() as directory:
        other = unpacked(Path(directory) / "unpacked", source, found)
        run = [itera, "compare", str(other), str(out), "--json"]
        said = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
        errors = [t["change"]["error"]["relative"] for t in said["tensors"] if t["change"] != "same_bytes"]
        nothing = errors and not any(errors) and not said["missing"] and not said["unexpected"]
        check(f"{what}: what `itera` expands is what compressed-tensors expands, to the bit", nothing, f"{len(errors)} packed")
    listed = json.loads(subprocess.run([itera, "inspect", str(out), "--json"], check=True, capture_output=True).stdout)
    shapes = {tensor["name"]: tuple(tensor["shape"]) for tensor in listed["tensors"]}
    check(f"{what}: `itera inspect` lists them", shapes == {name: tuple(t.shape) for name, t in found.items()})


def blocks(itera):
    """FP8 in blocks of 128, of a model too large to lie in the repository."""
    torch.manual_seed(9)
    sizes = dict(vocab_size=64, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
    config = transformers.LlamaConfig(**sizes, head_dim=128, intermediate_size=256, tie_word_embeddings=False)
    with tempfile.TemporaryDirectory() as directory:
        source, out, peer = (Path(directory) / part for part in ("source", "out", "peer"))
        transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(source)
        model_free_ptq(source, peer, "FP8_BLOCK", ignore=KEPT["llama"], device="cpu")
        run = [itera, "compress", str(source), "--recipe", "fp8", "--scales", "block", "-o", str(out)]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        ours, theirs = tensors(out), tensors(peer)
        same = ours.keys() == theirs.keys() and all(
            ours[key].dtype == value.dtype
            and ours[key].shape == value.shape
            and torch.equal(ours[key].view(torch.uint8), value.view(torch.uint8))
            for key, value in theirs.items()
        )
        check("llama fp8 in blocks has the bytes of llm-compressor", same, f"{len(theirs)} tensors")
        seen(itera, "llama fp8 in blocks", source, out, decompressed(out))
        run = [itera, "compress", str(source), "--recipe", "fp8", "--scales", "tensor", "-o", str(out) + "-tensor"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        seen(itera, "llama fp8 by tensor", source, Path(str(out) + "-tensor"), decompressed(Path(str(out) + "-tensor")))


if __name__ == "__main__":
    main(sys.argv[1])
