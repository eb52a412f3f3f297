"""Builds the image, without a daemon or a network, and holds it to its promises: one static file beside an empty directory, less
than 15 MB, and a server that answers within 50 ms of its start with the bytes of `itera generate`, as nobody.

    python3 packaging/check_image.py          as root, or under `buildah unshare`, after the build that Containerfile names

Run it on an idle machine. Each start is timed from the fork of the program in the image's file system, by the image's own
command, to the whole answer.
"""

import http.client
import json
import os
import pathlib
import signal
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "checkpoints"
MODEL, PROMPT, SEED, TOKENS = "stories-75k", "Once upon a time", 7, 40
MOST_BYTES, MOST_MS, STARTS, PORT = 15_000_000, 50, 40, 18_000


def run(*arguments):
    """What a command prints."""
    return subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def ask(method, path, body=None):
    """Status and body of an answer, or None where nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    try:
        connection.request(method, path, body and json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def complete(tokens):
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": tokens, "temperature": 0.8, "seed": SEED}
    status, answer = ask("POST", "/v1/completions", body)
    assert status == 200, answer
    return json.loads(answer)["choices"][0]["text"]


def start(root, config):
    """Milliseconds from the start of the server to its first 200, to its first completion, and the text that it then writes."""
    user, group = map(int, config["User"].split(":"))

    def enter():
        os.chroot(root)
        os.chdir(config["WorkingDir"])
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)

    arguments = [*config["Entrypoint"], *config["Cmd"], "--port", str(PORT)]
    began = time.perf_counter()
    with subprocess.Popen(arguments, preexec_fn=enter, env={}, stderr=subprocess.DEVNULL) as server:
        try:
            while (health := ask("GET", "/health")) is None:
                assert server.poll() is None, "the server ended"
                time.sleep(0.0005)
            assert health[0] == 200, health
            healthy = time.perf_counter() - began
            complete(1)
            answered = time.perf_counter() - began
            text = complete(TOKENS)
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0, server.returncode
    return 1e3 * healthy, 1e3 * answered, text


def main():
    run("buildah", "bud", "--isolation", "chroot", "-f", "packaging/Containerfile", "-t", "itera", ".")
    config = json.loads(run("buildah", "inspect", "--type", "image", "itera"))["OCIv1"]["config"]
    container = run("buildah", "from", "itera").strip()
    inside = ["buildah", "run", "--isolation", "chroot", "-v", f"{MODELS}:/models:ro", container, "--", "/itera"]
    try:
        root = pathlib.Path(run("buildah", "mount", container).strip())
        entries = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        assert entries == ["itera", "models"], entries
        size = (root / "itera").stat().st_size
        assert size < MOST_BYTES, f"{size} bytes"
        labelled = config["Labels"]["org.opencontainers.image.version"]
        assert run(*inside, "--version") == f"itera {labelled}\n", f"the image is labelled {labelled}"

        setting = ["-p", PROMPT, "-n", str(TOKENS), "--temperature", "0.8", "--seed", str(SEED)]
        expected = run(*inside, "generate", f"{MODEL}.gguf", *setting).rstrip("\n")
        run("mount", "--bind", "-o", "ro", str(MODELS), str(root / "models"))
        try:
            healthy, answered, texts = zip(*(start(root, config) for _ in range(STARTS)))
        finally:
            run("umount", str(root / "models"))
        assert {PROMPT + text for text in texts} == {expected}, (expected, texts)
    finally:
        run("buildah", "rm", container)
    print(f"{size} bytes; {STARTS} starts, each with the text of `itera generate`")
    for what, ms in [("GET /health", healthy), ("a completion", answered)]:
        print(f"  {what} after {statistics.median(ms):.1f} ms, at most {max(ms):.1f}")
    assert max(answered) < MOST_MS, "slow to start"


if __name__ == "__main__":
    main()
