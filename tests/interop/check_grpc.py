"""Triton's own client, KServe's and that of gRPC's health against `itera serve`, held to a completion:
python check_grpc.py 127.0.0.1:8000 MODEL triton, and again with kserve, since their messages have the same names
(pip install tritonclient[grpc] kserve grpcio-health-checking; a server with --allow-load, built with `--features grpc`)."""

import asyncio
import json
import queue
import sys
import urllib.request

import numpy

url, model, client = sys.argv[1:4]
settings = dict(max_tokens=40, temperature=0.8, top_p=0.9, seed=7)
body = json.dumps({"model": model, "prompt": "Once upon a time", **settings}).encode()
completion = json.load(urllib.request.urlopen(f"http://{url}/v1/completions", body))
text = completion["choices"][0]["text"]


def told(path):
    return json.load(urllib.request.urlopen(f"http://{url}{path}"))


def by_triton():
    from tritonclient import grpc as triton
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype

    def tensor(name, value):
        array = numpy.array([value], object if isinstance(value, str) else {"max_tokens": "int32", "seed": "uint64"}.get(name, "float32"))
        tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        return tensor

    def refused(status, call):
        try:
            call()
        except InferenceServerException as error:
            assert error.status() == f"StatusCode.{status}", error
        else:
            raise AssertionError(f"expected {status}")

    client = triton.InferenceServerClient(url)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model, "1")
    assert client.get_server_metadata(as_json=True) == told("/v2")
    metadata, config = client.get_model_metadata(model), client.get_model_config(model).config
    assert [tensor.name for tensor in metadata.inputs] == [tensor["name"] for tensor in told(f"/v2/models/{model}")["inputs"]]
    assert [tensor.data_type for tensor in config.output] == [13, 13, 4, 4] and config.backend == "itera"
    assert any((found.name, found.state) == (model, "READY") for found in client.get_model_repository_index().models)
    before = client.get_inference_statistics(model).model_stats[0].inference_count

    inputs = [tensor(name, value) for name, value in dict(text_input="Once upon a time", **settings).items()]
    for outputs in (None, [triton.InferRequestedOutput("text_output")]):
        answer = client.infer(model, inputs, outputs=outputs, request_id="7", model_version="1")
        assert answer.as_numpy("text_output")[0].decode() == text and answer.get_response().id == "7"
        if outputs is None:
            assert answer.as_numpy("num_output_tokens")[0] == completion["usage"]["completion_tokens"]
    asked = 2
    answers = queue.Queue()
    for _ in range(8):
        prompt = [tensor("text_input", "Once upon a time")]
        client.async_infer(model, prompt, lambda result, error: answers.put((result, error)), parameters=settings)
        asked += 1
    for _ in range(8):
        result, error = answers.get(timeout=30)
        assert error is None and result.as_numpy("text_output")[0].decode() == text

    # a stream answers each request in turn; one that is refused does not end it
    client.start_stream(lambda result, error: answers.put((result, error)))
    for name in (model, "none", model):
        client.async_stream_infer(name, inputs)
    found = [answers.get(timeout=30) for _ in range(3)]
    client.stop_stream()
    assert [error is None for _, error in found] == [True, False, True] and "no model" in str(found[1][1])
    assert {result.as_numpy("text_output")[0].decode() for result, _ in found[::2]} == {text}
    asked += 2

    # a sequence, whose parts are those of a text
    whole = ""
    for piece, prompt in enumerate(["Once upon a time", " and", " The"]):
        answer = client.infer(
            model, [tensor("text_input", prompt)], sequence_id=5, sequence_start=piece == 0, sequence_end=piece == 2,
            parameters={"max_tokens": 5, "temperature": 0.0},
        )
        whole += answer.as_numpy("text_output")[0].decode()
        asked += 1
    assert whole
    refused("INVALID_ARGUMENT", lambda: client.infer(model, [tensor("text_input", "a")], sequence_id=5))
    refused("NOT_FOUND", lambda: client.infer("none", inputs))
    refused("INVALID_ARGUMENT", lambda: client.infer(model, [tensor("text_inputs", "a")]))
    refused("INVALID_ARGUMENT", lambda: client.infer(model, inputs, priority=3))
    assert client.get_inference_statistics(model).model_stats[0].inference_count == before + asked

    client.unload_model(model)
    assert not client.is_model_ready(model)
    client.load_model(model)
    assert client.is_model_ready(model)
    refused("INVALID_ARGUMENT", lambda: client.load_model(model, config="{}", files={"file:1/x": b"x"}))


def by_health():
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(url) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1


async def by_kserve():
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    client = InferenceGRPCClient(url=url)
    inputs = []
    for name, value in dict(text_input="Once upon a time", **settings).items():
        kind = "BYTES" if isinstance(value, str) else {"max_tokens": "INT32", "seed": "UINT64"}.get(name, "FP32")
        inputs.append(InferInput(name=name, shape=[1], datatype=kind, data=[value]))
    assert await client.is_server_ready() and await client.is_model_ready(model)
    answer = await client.infer(InferRequest(model_name=model, infer_inputs=inputs))
    (found,) = [output.as_numpy()[0] for output in answer.outputs if output.name == "text_output"]
    assert (found.decode() if isinstance(found, bytes) else found) == text, found


asyncio.run(by_kserve()) if client == "kserve" else by_triton()
by_health()
print("the same")
