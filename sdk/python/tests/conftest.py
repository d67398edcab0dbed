"""A gateway process and a small agent for the end-to-end tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

ADMIN_KEY = "sdk-test-admin-key-0123456789-0123456789"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 40


@dataclass(frozen=True)
class Gateway:
    """A running gateway and its admin key."""

    url: str
    admin_key: str = ADMIN_KEY


@dataclass(frozen=True)
class EchoAgent:
    """A running agent that answers each message with its own text."""

    url: str
    card: dict[str, Any]


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    default = Path(__file__).parents[3] / "bin" / "signalbox"
    binary = os.environ.get("SIGNALBOX_BIN") or str(default)
    with tempfile.TemporaryDirectory(prefix="signalbox-sdk-") as data, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data],
            env={**os.environ, "SIGNALBOX_ADMIN_KEY": ADMIN_KEY},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        too_long = threading.Timer(START_TIMEOUT_S, process.kill)
        too_long.start()
        drain: threading.Thread | None = None
        try:
            url = ""
            for line in process.stdout:
                if match := re.match(r"signalbox ready\s+(\S+)$", line):
                    url = match[1]
                    break
            too_long.cancel()
            if not url:
                log.seek(0)
                raise RuntimeError(f"{binary} ended before it was ready:\n{log.read()[-20_000:]}")
            drain = threading.Thread(target=process.stdout.read)
            drain.start()
            yield Gateway(url)
        finally:
            too_long.cancel()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if drain is not None:
                drain.join()
            process.stdout.close()


@pytest.fixture(scope="session")
def echo() -> Iterator[EchoAgent]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["content-length"])))
            parts = call["params"]["message"]["parts"]
            message = {"messageId": f"re-{call['id']}", "role": "ROLE_AGENT", "parts": parts}
            body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"message": message}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield EchoAgent(
        url,
        {
            "name": "Echo",
            "description": "Says what it hears.",
            "version": "1.0.0",
            "supportedInterfaces": [
                {"url": f"{url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            ],
            "capabilities": {"streaming": False, "pushNotifications": False},
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "skills": [{"id": "echo", "name": "Echo", "description": "Repeats the text.", "tags": ["test"]}],
        },
    )
    server.shutdown()
    thread.join()
    server.server_close()


def eventually(what: str, ask: Callable[[], T | None], timeout_s: float = 15) -> T:
    """Ask until the answer is not None: another process needs a moment for some things."""
    end = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if answer is not None:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        threading.Event().wait(0.05)
