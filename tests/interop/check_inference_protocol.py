"""Triton's own client and KServe's against `itera serve`, and both against a completion:
python check_inference_protocol.py http://127.0.0.1:8000 MODEL (pip install tritonclient[http] kserve; a server with --allow-load)."""

import asyncio
import json
import sys
import urllib.request

import numpy
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient import http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

url, model = sys.argv[1:3]
settings = dict(max_tokens=40, temperature=0.8, top_p=0.9, seed=7)
body = json.dumps({"model": model, "prompt": "Once upon a time", **settings}).encode()
completion = json.load(urllib.request.urlopen(f"{url}/v1/completions", body))
text = completion["choices"][0]["text"]

client = http.InferenceServerClient(url.removeprefix("http://"))
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert client.is_model_ready(model, "1") and not client.is_model_ready("none") and not client.is_model_ready(model, "2")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
metadata, config = client.get_model_metadata(model), client.get_model_config(model)
assert [tensor["name"] for tensor in metadata["inputs"]] == [tensor["name"] for tensor in config["input"]]
assert {"name": model, "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()


def tensor(name, value, binary):
    array = numpy.array([value], object if isinstance(value, str) else {"max_tokens": "int32", "seed": "uint64"}.get(name, "float32"))
    tensor = http.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


before = client.get_inference_statistics(model)["model_stats"][0]["inference_count"]
asked = 0
for binary in (True, False):
    for outputs in (None, [http.InferRequestedOutput("text_output", binary_data=binary)]):
        for encoding in (None, "gzip", "deflate"):
            inputs = [tensor(name, value, binary) for name, value in dict(text_input="Once upon a time", **settings).items()]
            answer = client.infer(
                model, inputs, outputs=outputs, request_id="7", request_compression_algorithm=encoding,
                response_compression_algorithm=encoding,
            )
            found = answer.as_numpy("text_output")[0]
            assert (found.decode() if isinstance(found, bytes) else found) == text, (binary, encoding, found)
            assert answer.get_response()["id"] == "7"
            if outputs is None:
                assert answer.as_numpy("num_output_tokens")[0] == completion["usage"]["completion_tokens"]
            asked += 1
waiting = [client.async_infer(model, [tensor("text_input", "Once upon a time", True)], parameters=settings) for _ in range(8)]
assert {answer.get_result().as_numpy("text_output")[0].decode() for answer in waiting} == {text}
# a text in three pieces: each is that of all before it, by ids
assert {"sequence", "sequence(string_id)"} <= set(client.get_server_metadata()["extensions"])


def ids(**text):
    return json.load(urllib.request.urlopen(f"{url}/tokenize", json.dumps({"model": model, **text}).encode()))["tokens"]


for sequence_id in (5, "five"):
    tokens = []
    for piece, prompt in enumerate(["Once upon a time", " and", " The"]):
        tokens += ids(content=prompt) if tokens else ids(prompt=prompt)
        asked_at_once = {
            "model": model, "prompt": tokens, "n_predict": 20, "seed": piece, "temperature": 0.8, "return_tokens": True,
        }
        whole = json.load(urllib.request.urlopen(f"{url}/completion", json.dumps(asked_at_once).encode()))
        found = client.infer(
            model, [tensor("text_input", prompt, True)], sequence_id=sequence_id, sequence_start=piece == 0,
            sequence_end=piece == 2, parameters={"max_tokens": 20, "seed": piece, "temperature": 0.8},
        )
        assert found.as_numpy("text_output")[0].decode() == whole["content"], (sequence_id, piece)
        assert found.as_numpy("num_input_tokens")[0] == len(tokens)
        tokens += whole["tokens"][:-1] if whole["stop_type"] == "eos" else whole["tokens"]
        asked += 2
    try:
        client.infer(model, [tensor("text_input", "a", True)], sequence_id=sequence_id)
        raise AssertionError("it has ended")
    except InferenceServerException as refused:
        assert refused.status() == "400" and "must specify the START flag" in refused.message(), refused
after = client.get_inference_statistics(model)["model_stats"][0]["inference_count"]
assert after - before == asked + 8, (before, after)
for name, wrong in [("none", {}), ("../x", {}), (model, {"temperature": -1.0}), (model, {"wrong": 1})]:
    try:
        client.infer(name, [tensor("text_input", "a", True)], parameters=wrong or None)
    except InferenceServerException as refused:
        assert refused.status() in ("400", "404"), refused
    else:
        raise AssertionError(f"{name} with {wrong} was answered")


async def kserve():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url) and await client.is_model_ready(url, model)
    for binary in (True, False):
        prompt = InferInput("text_input", [1], "BYTES")
        prompt.set_data_from_numpy(numpy.array(["Once upon a time"], object), binary_data=binary)
        request = InferRequest(model_name=model, infer_inputs=[prompt], parameters=dict(settings))
        answer = await client.infer(url, request, model_name=model)
        found = next(output for output in answer.outputs if output.name == "text_output").data[0]
        assert (found.decode() if isinstance(found, bytes) else found) == text, found


asyncio.run(kserve())

# with --allow-load
client.unload_model(model)
assert not client.is_model_ready(model) and client.is_server_ready()
assert {"name": model, "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"} in client.get_model_repository_index()
client.load_model(model)
assert client.is_model_ready(model)
for wrong in [{"config": "{}"}, {"files": {"file:../../x": b"x"}}]:
    try:
        client.load_model(model, **wrong)
    except InferenceServerException as refused:
        assert refused.status() == "400", refused
    else:
        raise AssertionError(f"{wrong} was taken")
print(f"ok: {text!r}")
