"""The GGUF file that llama.cpp's own converter makes of a model directory.

    python convert_with_llama_cpp.py path/to/llama.cpp runs/tiny/last out.gguf --kind q8_0

llama.cpp's sources lie, for instance, in `vendor/llama.cpp` of the source package `llama-cpp-python`. The converter knows
the pre-tokenisation of a model by a hash of how it splits one text into tokens, which a tokenizer that was trained here
cannot be listed with; so it is told the answer: that of GPT-2.
"""

import argparse
import sys
from pathlib import Path

KINDS = ("f32", "f16", "bf16", "q8_0")


def convert(llama_cpp, directory, out, kind):
    """Runs the converter in this process."""
    sys.path[:0] = [str(llama_cpp / "gguf-py"), str(llama_cpp)]
    from conversion.base import TextModel

    import convert_hf_to_gguf

    TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    sys.argv = ["convert_hf_to_gguf.py", str(directory), "--outfile", str(out), "--outtype", kind]
    convert_hf_to_gguf.main()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("llama_cpp", type=Path, help="sources of llama.cpp, with convert_hf_to_gguf.py")
    parser.add_argument("directory", type=Path, help="Hugging Face model directory")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--kind", choices=KINDS, default="f32", help="how matrices are stored")
    arguments = parser.parse_args()
    convert(arguments.llama_cpp.resolve(), arguments.directory.resolve(), arguments.out.resolve(), arguments.kind)


if __name__ == "__main__":
    main()
