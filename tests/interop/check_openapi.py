"""schemathesis against `itera serve` by its own document: python check_openapi.py http://127.0.0.1:8000 MODEL [CASES]
(pip install schemathesis openapi-spec-validator; CASES of each method of each path, 2000 unless told; the server has --feedback).

No answer may be a 5xx, a status or type of content that is not told, or another object than the schema tells; what the schema of
a body excludes must be refused, and so must methods that are not told of. What the schema allows may be refused: whether a prompt
fits the context, or a grammar can be kept to, is no question of schemas."""

import json
import subprocess
import sys
import tempfile
import urllib.request

from openapi_spec_validator import validate

url, model, *cases = sys.argv[1:]
validate(json.load(urllib.request.urlopen(f"{url}/openapi.json")))

# once with models and versions that are there, once with any
there = f'[parameters]\n"path.model" = {json.dumps(model)}\n"path.version" = "1"\n'
for config, count in [(there, int(cases[0]) if cases else 2000), ("", 200)]:
    with tempfile.TemporaryDirectory() as here:
        with open(f"{here}/schemathesis.toml", "w", encoding="utf-8") as file:
            file.write(config)
        checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure"]
        # a body may ask for hundreds of texts as long as the context: more than a million tokens
        phases = ["--phases", "coverage,fuzzing", "--max-examples", str(count), "--request-timeout", "600"]
        # what is found is told as it is: to make it small can take longer than to find it
        phases += ["--no-shrink"]
        quiet = ["--warnings", "off", "--no-color", "--suppress-health-check", "all"]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
        subprocess.run([*command, *checks, *phases, *quiet], cwd=here, check=True)
print("ok")
