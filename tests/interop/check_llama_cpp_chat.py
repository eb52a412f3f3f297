"""llama.cpp's own chat client against `itera serve --port 8080`: python check_llama_cpp_chat.py tools/server/chat.mjs
(llama.cpp's sources are in the source package llama-cpp-python of PyPI; needs node).

The client knows one address, 127.0.0.1:8080. What it prints is held to the answer to the same prompt without a stream. It takes what it
gets by one read for one event, so that it ends with a SyntaxError where two come together, as from any server that is fast: then it
is begun again. A model as large as configs/tiny.toml's is slow enough for most of its answers."""

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


def talk():
    """What the client prints, which reads a question when it has answered the one before; None if it took two events for one."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(["node", client], **pipes) as chat:
        told = b""
        for question in [*QUESTIONS, None]:
            while not (b"\n" + told).endswith(b"\n> "):
                piece = chat.stdout.read1()
                if not piece:
                    problem = chat.stderr.read()
                    assert b"after JSON" in problem, (told, problem)
                    return None
                told += piece
            if question:
                chat.stdin.write(f"{question}\n".encode())
                chat.stdin.flush()
                told += b"\r"
        chat.kill()
    return told.decode().replace("\r", "")


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
told = next((told for told in (talk() for _ in range(50)) if told), None)
assert told, "two events came together each time: take a larger model"
assert told == f"{expected}> ", (told, expected)
print("ok")
