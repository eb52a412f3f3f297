"""llama.cpp's own chat client against `itera serve --port 8080`: python check_llama_cpp_chat.py tools/server/chat.mjs
(llama.cpp's sources are in the source package llama-cpp-python of PyPI; needs node).

The client knows one address, 127.0.0.1:8080. What it prints is held to the answer to the same prompt without a stream."""

import json
import re
import subprocess
import sys
import urllib.request

URL = "http://127.0.0.1:8080"
[client] = sys.argv[1:]
QUESTIONS = ["Who is Tim?", "And Lily?"]


def ask(prompt):
    fields = {"temperature": 0.2, "top_k": 40, "top_p": 0.9, "n_predict": 256, "stop": ["\n### Human:"]}
    request = urllib.request.Request(f"{URL}/completion", json.dumps({"prompt": prompt, **fields}).encode())
    return json.load(urllib.request.urlopen(request))["content"]


told = subprocess.run(["node", client], input="".join(f"{question}\n" for question in QUESTIONS), capture_output=True, text=True)
source = open(client, encoding="utf-8").read()
chat = re.findall(r'human: "(.*)",\s*assistant: "(.*)"', source)
instruction = re.search(r"const instruction = `(.*)`", source)[1]
expected = ""
for question in QUESTIONS:
    said = "\n".join(f"### Human: {human}\n### Assistant: {assistant}" for human, assistant in chat)
    answer = ask(f"{instruction}\n{said}\n### Human: {question}\n### Assistant:")
    assert answer, "nothing was said"
    chat.append((question, answer.lstrip()))
    expected += f"> {answer}\n"
assert told.stdout.removesuffix("> ") == expected, (told.stdout, told.stderr, expected)
print("ok")
