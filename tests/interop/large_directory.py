"""Memory and time of a directory of 16 GB, whatever the machine: 32 matrices of 16,384 × 16,384 in bf16 whose bytes are a hole
in a file, compressed under a limit of address space. Says what the disk writes a second, too.

    python large_directory.py ITERA [DIR]        (DIR has to have room for 5 GB; Linux)"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

SIDE, MATRICES, SPACE = 16_384, 32, 600 << 20

itera = os.path.abspath(sys.argv[1])
with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as here:
    here = pathlib.Path(here)
    source = here / "source"
    source.mkdir()
    each = 2 * SIDE * SIDE
    header = {
        f"model.layers.{layer}.mlp.down_proj.weight": {
            "dtype": "BF16", "shape": [SIDE, SIDE], "data_offsets": [layer * each, (layer + 1) * each]
        }
        for layer in range(MATRICES)
    }
    header = json.dumps(header).encode()
    with open(source / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + MATRICES * each)
    (source / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    print(f"source: {(source / 'model.safetensors').stat().st_size / 1e9:.1f} GB", flush=True)

    began = time.monotonic()
    with open(here / "written", "wb") as file:
        for _ in range(16):
            file.write(os.urandom(1 << 26))
        os.fsync(file.fileno())
    print(f"disk: {16 * (1 << 26) / 1e6 / (time.monotonic() - began):.0f} MB/s written, random numbers included", flush=True)
    (here / "written").unlink()

    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    began = time.monotonic()
    done = subprocess.run(
        [itera, "compress", source, "--recipe", "nvfp4", "-o", here / "out"], preexec_fn=limit, capture_output=True, text=True
    )
    took = time.monotonic() - began
    if done.returncode:
        sys.exit(done.stderr)
    resident = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    written = sum(file.stat().st_size for file in (here / "out").iterdir())
    print(f"itera: {took:.0f} s, {resident:.0f} MB resident, {written / 1e9:.1f} GB written ({written / 1e6 / took:.0f} MB/s)")
    if resident > 300:
        sys.exit("more than 300 MB")
