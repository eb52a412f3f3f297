"""A Prometheus scrapes `itera serve`: python check_prometheus.py 127.0.0.1:8000 MODEL (needs the program prometheus, Debian's).

What it then answers to queries as dashboards have them is held to what was asked of the server meanwhile."""

import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

target, model = sys.argv[1:]
PROMETHEUS = "127.0.0.1:19090"
REQUESTS, TOKENS = 20, 10


def get(url, body=None):
    return json.load(urllib.request.urlopen(url, body and json.dumps(body).encode()))


def query(expression):
    told = get(f"http://{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    return [float(series["value"][1]) for series in told["data"]["result"]]


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, what.__doc__
        time.sleep(0.5)


def is_up():
    """Prometheus does not say that the server is up."""
    try:
        return query("up") == [1.0]
    except OSError:
        return False


with tempfile.TemporaryDirectory() as here:
    with open(f"{here}/prometheus.yml", "w", encoding="utf-8") as file:
        job = {"job_name": "itera", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
        json.dump({"scrape_configs": [job]}, file)  # JSON is YAML
    flags = {"config.file": f"{here}/prometheus.yml", "storage.tsdb.path": f"{here}/data", "web.listen-address": PROMETHEUS}
    command = ["prometheus", *(f"--{flag}={value}" for flag, value in flags.items())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as prometheus:
        try:
            until(is_up)
            of_model = f'{{model_name="{model}"}}'
            counts = {
                f"sum(vllm:generation_tokens_total{of_model})": REQUESTS * TOKENS,
                f"sum(vllm:request_success_total{of_model})": REQUESTS,
                f"sum(vllm:time_to_first_token_seconds_count{of_model})": REQUESTS,
                f'sum(nv_inference_request_success{{model="{model}"}})': REQUESTS,
            }
            before = {name: sum(query(name)) for name in counts}
            for seed in range(REQUESTS):
                body = {"model": model, "prompt": "Once", "max_tokens": TOKENS, "ignore_eos": True, "seed": seed}
                get(f"http://{target}/v1/completions", body)

            def is_told():
                """Prometheus does not have what was asked."""
                return all(query(name) == [before[name] + more] for name, more in counts.items())

            until(is_told)
            p99 = f"histogram_quantile(0.99, sum by (le) (vllm:e2e_request_latency_seconds_bucket{of_model}))"
            assert 0 < query(p99)[0] < 10, query(p99)
            named = get(f"http://{PROMETHEUS}/api/v1/label/__name__/values")["data"]
            assert sum(name.startswith("itera_") for name in named) > 20, named
            of_type = get(f"http://{PROMETHEUS}/api/v1/targets/metadata")["data"]
            # Triton's counters have no `_total`, without which OpenMetrics has no counter
            untyped = [metric["metric"] for metric in of_type if metric["type"] == "unknown"]
            assert all(name.startswith("nv_") for name in untyped), untyped
        finally:
            prometheus.terminate()
print("ok")
