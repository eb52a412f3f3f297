"""vLLM's own benchmark client against `itera serve`: python check_vllm_client.py http://127.0.0.1:8000 MODEL endpoint_request_func.py
(pip install aiohttp regex tqdm; the file is vllm/benchmarks/lib/endpoint_request_func.py of a wheel of vllm, which needs no more).

Each of its functions for what we serve is asked what `vllm bench serve` asks by it; texts and counts are held to plain requests."""

import asyncio
import importlib.util
import json
import sys
import urllib.request

import aiohttp

url, model, path = sys.argv[1:]
spec = importlib.util.spec_from_file_location("endpoint_request_func", path)
client = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = client
spec.loader.exec_module(client)

PROMPT, TOKENS = "Once upon a time", 40


def ask(path, fields):
    request = urllib.request.Request(f"{url}{path}", json.dumps({"model": model, **fields}).encode())
    return json.load(urllib.request.urlopen(request))


async def by_client(backend, path, count=1, prompt=PROMPT, **more):
    asked = client.RequestFuncInput(prompt=prompt, api_url=f"{url}{path}", prompt_len=5, output_len=TOKENS, model=model, **more)
    async with aiohttp.ClientSession() as session:
        told = await asyncio.gather(*(client.ASYNC_REQUEST_FUNCS[backend](asked, session) for _ in range(count)))
    assert all(one.success for one in told), [one.error for one in told]
    return told


async def main():
    whole = ask("/v1/completions", {"prompt": PROMPT, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0.7})
    more = {"ignore_eos": True, "extra_body": {"temperature": 0.7}, "logprobs": 1}
    for told in await by_client("vllm", "/v1/completions", 32, **more):
        assert told.generated_text == whole["choices"][0]["text"], told
        assert (told.output_tokens, told.prompt_len) == (TOKENS, whole["usage"]["prompt_tokens"]), told
        assert told.ttft > 0, told
    message = {"role": "user", "content": PROMPT}
    whole = ask("/v1/chat/completions", {"messages": [message], "max_tokens": TOKENS})
    for told in await by_client("openai-chat", "/v1/chat/completions", 32):
        assert told.generated_text == whole["choices"][0]["message"]["content"], told
        assert told.output_tokens == whole["usage"]["completion_tokens"], told
    texts = [PROMPT, "The dog"]
    [told] = await by_client("openai-embeddings", "/v1/embeddings", prompt=texts)
    assert told.prompt_len == ask("/v1/embeddings", {"input": texts})["usage"]["prompt_tokens"], told


asyncio.run(main())
print("ok")
