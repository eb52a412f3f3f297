"""OpenAI's own client against `itera serve`: python check_openai.py http://127.0.0.1:8000 MODEL [KEY] (pip install openai).

The key is one of role `inference`, of a server with --keys."""

import base64
import json
import math
import struct
import sys

from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI, PermissionDeniedError

url, model, *key = sys.argv[1:]
client = OpenAI(base_url=f"{url}/v1", api_key=key[0] if key else "none", max_retries=0)
if key:
    try:
        client.with_options(api_key="none").models.list()
        raise SystemExit("answered without a key of the server")
    except AuthenticationError as refused:
        assert refused.code == "invalid_api_key", refused.body
    try:
        client.with_options(base_url=url).get("/metrics", cast_to=str)
        raise SystemExit("an inference key read /metrics")
    except PermissionDeniedError as refused:
        assert refused.code == "missing_scope", refused.body

# asked again, more tokens were cached
counts = lambda usage: (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
assert model in [entry.id for entry in client.models.list()], "the model is listed"
assert client.models.retrieve(model).id == model

request = dict(model=model, prompt="Once upon a time", max_tokens=40, temperature=0.8, seed=7)
whole = client.completions.create(**request)
choice = whole.choices[0]
assert choice.finish_reason in ("stop", "length") and choice.text
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
assert client.completions.create(**request).choices[0].text == choice.text, "asked again"

events = list(client.completions.create(**request, stream=True, stream_options={"include_usage": True}))
assert "".join(part.text for event in events for part in event.choices) == choice.text, "streamed"
assert counts(events[-1].usage) == counts(whole.usage)
assert {event.system_fingerprint for event in events} == {whole.system_fingerprint}

several = client.completions.create(**{**request, "prompt": ["The dog", "The cat"]}, n=2)
assert [part.index for part in several.choices] == [0, 1, 2, 3]
stopped = client.completions.create(**request, stop=["."])
assert stopped.choices[0].text == choice.text.split(".")[0]
greedy = client.completions.create(**{**request, "temperature": 0}, extra_body={"top_k": 1})
assert greedy.choices[0].text

message = {"role": "user", "content": request["prompt"]}
chat = {**{key: value for key, value in request.items() if key != "prompt"}, "messages": [message]}
said = client.chat.completions.create(**chat, logprobs=True, top_logprobs=2)
told = said.choices[0]
assert told.message.role == "assistant" and told.finish_reason in ("stop", "length")
tokens = told.logprobs.content
assert b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace").startswith(told.message.content)
assert all(len(token.top_logprobs) == 2 for token in tokens)
chunks = list(client.chat.completions.create(**chat, stream=True, stream_options={"include_usage": True}))
assert "".join(part.delta.content for chunk in chunks for part in chunk.choices) == told.message.content, "streamed"
assert chunks[0].choices[0].delta.role == "assistant" and counts(chunks[-1].usage) == counts(said.usage)
with client.chat.completions.stream(**chat) as stream:
    assert "".join(event.delta for event in stream if event.type == "content.delta") == told.message.content

schema = {
    "type": "object", "properties": {"age": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["age"],
    "additionalProperties": False,
}
form = {"type": "json_schema", "json_schema": {"name": "age", "strict": True, "schema": schema}}
try:
    held = json.loads(client.chat.completions.create(**chat, response_format=form).choices[0].message.content)
    assert list(held) == ["age"] and 1 <= held["age"] <= 9, held
except BadRequestError as refused:
    # a vocabulary without the letters of JSON
    assert refused.body["param"] == "response_format", refused.body

# asked for as base64 by the client itself, and as numbers
inputs = ["The dog", "Once upon a time there was a cat."]
embedded = client.embeddings.create(model=model, input=inputs)
vectors = [entry.embedding for entry in embedded.data]
assert [entry.index for entry in embedded.data] == [0, 1] and (embedded.object, embedded.model) == ("list", model)
assert embedded.usage.total_tokens == embedded.usage.prompt_tokens > 2
assert all(abs(math.hypot(*vector) - 1) < 1e-6 for vector in vectors)
f32 = lambda numbers: struct.pack(f"<{len(numbers)}f", *numbers)
as_numbers = client.embeddings.create(model=model, input=inputs, encoding_format="float", user="somebody")
assert [f32(entry.embedding) for entry in as_numbers.data] == [f32(vector) for vector in vectors]
as_base64 = client.embeddings.create(model=model, input=inputs, encoding_format="base64")
assert [base64.b64decode(entry.embedding) for entry in as_base64.data] == [f32(vector) for vector in vectors]
few = client.embeddings.create(model=model, input=inputs[0], dimensions=5).data[0].embedding
length = math.hypot(*vectors[0][:5])
assert all(abs(x - y / length) < 1e-6 for x, y in zip(few, vectors[0][:5], strict=True)), few

for wrong, error in [({"model": "none"}, NotFoundError), ({"temperature": -1}, BadRequestError)]:
    try:
        client.completions.create(**{**request, **wrong})
    except error as refused:
        assert refused.body["param"] == next(iter(wrong)), refused.body
    else:
        raise AssertionError(f"{wrong} was answered")
try:
    client.embeddings.create(model=model, input=["The dog", ""])
except BadRequestError as refused:
    assert refused.body["param"] == "input", refused.body
else:
    raise AssertionError("an empty text was embedded")
print(f"ok: {choice.text!r}, {told.message.content!r}")
