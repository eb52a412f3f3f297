"""GGUF files that llama.cpp's converter makes of models beside this directory.

    ../hybrid: config.json, model.safetensors ─┬→ model directory ─→ convert_hf_to_gguf.py ─→ hybrid.gguf
    bytes and three special tokens ────────────┘

    python make_goldens.py path/to/llama.cpp
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
CONVERT = HERE.parent.parent / "interop" / "convert_with_llama_cpp.py"
CASES = {"hybrid": "q8_0", "all_attention": "f16", "dense": "bf16"}

# the ids of the configurations
SPECIAL = {256: "<|bos|>", 257: "<|endoftext|>", 258: "<|pad|>"}


def write_tokenizer(directory):
    """A tokenizer that joins nothing: the models have no more tokens than these."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)} | {text: i for i, text in SPECIAL.items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[256], eos_token=SPECIAL[257], pad_token=SPECIAL[258]
    ).save_pretrained(directory)


def main():
    for case, kind in CASES.items():
        with tempfile.TemporaryDirectory() as directory:
            model = Path(directory) / "model"
            model.mkdir()
            for name in ("config.json", "model.safetensors"):
                shutil.copy(HERE.parent / case / name, model)
            write_tokenizer(model)
            out = HERE / f"{case}.gguf"
            subprocess.run([sys.executable, CONVERT, sys.argv[1], model, out, "--kind", kind], check=True)


if __name__ == "__main__":
    main()
