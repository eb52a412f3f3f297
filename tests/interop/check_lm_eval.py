"""lm-eval's client of completions against `itera serve`, held to `itera eval`:
python check_lm_eval.py http://127.0.0.1:8000 MODEL ITERA PATH-OF-MODEL TEXT (pip install lm-eval[api]; TEXT: stories between
<|endoftext|>, of which the first 40 are scored)."""

import json
import math
import subprocess
import sys
import tempfile

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

url, model, itera, path, text = sys.argv[1:6]
mark = "<|endoftext|>"
stories = [story.strip() for story in open(text, encoding="utf-8").read().split(mark)]
stories = [story for story in stories if story][:40]

client = LocalCompletionsAPI(
    base_url=f"{url}/v1/completions", model=model, tokenizer_backend="remote", max_length=4096, num_concurrent=1
)
# a story is scored with the token that ends it
requests = [Instance("loglikelihood_rolling", {}, (story + mark,), at) for at, story in enumerate(stories)]
nats = -sum(client.loglikelihood_rolling(requests))
theirs = nats / math.log(2) / sum(len(story.encode()) for story in stories)

with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
    file.write(f"\n{mark}\n".join(stories))
    file.flush()
    out = subprocess.run([itera, "eval", path, "--data", file.name, "--json"], capture_output=True, check=True)
ours = json.loads(out.stdout)["bits_per_byte"]
assert abs(theirs - ours) < 1e-6, f"lm-eval finds {theirs}, itera eval {ours} bits per byte"
until = client.generate_until([Instance("generate_until", {}, ("Once upon a time", {"until": ["."], "max_gen_toks": 40}), 0)])
assert until[0] and "." not in until[0], until
print(f"ok: {theirs:.8f} and {ours:.8f} bits per byte")
