"""What the client does without a gateway."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from protobuf import Enum, Message
from protobuf.wkt import Any

import signalbox._gen.signalbox as generated
from signalbox import (
    AsyncSignalbox,
    Pager,
    ResourceExhaustedError,
    Signalbox,
    SignalboxError,
)
from signalbox._transport import with_key
from signalbox.errors import from_connect


def field(number: int, value: str | bytes) -> bytes:
    """Return one length-delimited protobuf field."""
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def detail(type_name: str, value: bytes) -> ErrorDetail:
    return ErrorDetail(Any(type_url="type.googleapis.com/" + type_name, value=value))


def error_info(reason: str, domain: str, **metadata: str) -> ErrorDetail:
    entries = b"".join(field(3, field(1, k) + field(2, v)) for k, v in metadata.items())
    return detail("google.rpc.ErrorInfo", field(1, reason) + field(2, domain) + entries)


def test_errors_carry_reason_metadata_and_the_time_to_wait() -> None:
    info = error_info("RECORD_UNAVAILABLE", "signalbox.dev", retry_after_s="2.5", limit="90 %")
    err = from_connect(ConnectError(Code.RESOURCE_EXHAUSTED, "no room", [info]))
    assert isinstance(err, ResourceExhaustedError)
    assert err.code == "resource_exhausted"
    assert err.message == "no room"
    assert err.reason == "RECORD_UNAVAILABLE"
    assert err.metadata == {"retry_after_s": "2.5", "limit": "90 %"}
    assert err.retry_after_seconds == 2.5
    assert str(err) == "no room (RECORD_UNAVAILABLE)"


def test_errors_ignore_other_domains_and_details_that_do_not_parse() -> None:
    err = from_connect(
        ConnectError(
            Code.INVALID_ARGUMENT,
            "bad",
            [
                error_info("ELSEWHERE", "example.com"),
                detail("google.rpc.ErrorInfo", b"\x0a\xff"),
                detail("google.rpc.ErrorInfo", b"\x0a\x01\xff"),
                detail("google.rpc.ErrorInfo", b"\x0f"),
                detail("buf.validate.Violations", b"\x0a\xff"),
                detail("signalbox.policy.v1.PolicyMistakes", b"\x0a\xff"),
            ],
        )
    )
    assert err.code == "invalid_argument"
    assert err.reason is None
    assert err.field_violations == ()
    assert err.policy_mistakes == ()


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_typed_error(code: Code) -> None:
    err = from_connect(ConnectError(code, ""))
    assert isinstance(err, SignalboxError)
    assert err.code == code.value
    assert err.message != ""


@pytest.mark.parametrize("base_url", ["gateway", "ftp://gateway.example", "http://", "http://u:p@g", "http://g/?a=b"])
def test_an_address_that_cannot_work_is_refused_at_once(base_url: str) -> None:
    for client in (Signalbox, AsyncSignalbox):
        with pytest.raises(ValueError, match="base_url"):
            client(base_url, "sb_x")


@pytest.mark.parametrize("api_key", ["", "sb_\nx", "sb_ x", "sb_\u00e9"])
def test_a_key_that_no_header_can_hold_is_refused_at_once(api_key: str) -> None:
    for client in (Signalbox, AsyncSignalbox):
        with pytest.raises(ValueError, match="api_key"):
            client("http://gateway.example", api_key)


def test_the_key_is_added_unless_a_call_brings_its_own() -> None:
    asked: list[str] = []

    def key() -> str:
        asked.append("Bearer k")
        return asked[-1]

    assert with_key({"x-a": "b"}, key)["authorization"] == "Bearer k"
    assert with_key({"Authorization": "Bearer own"}, key)["authorization"] == "Bearer own"
    assert len(asked) == 1


def test_agent_urls_take_ids_and_names() -> None:
    with Signalbox("https://gateway.example/prefix/", "sb_x") as client:
        assert client.agent_url("echo") == "https://gateway.example/prefix/a2a/echo"
        assert client.agent_url("agents/a/b") == "https://gateway.example/prefix/a2a/a%2Fb"


def test_a_pager_asks_for_a_page_only_when_it_is_needed() -> None:
    pages = {"": ([1, 2], "a"), "a": ([], "b"), "b": ([3], "")}
    asked: list[str] = []

    def fetch(token: str) -> tuple[list[int], str]:
        asked.append(token)
        return pages[token]

    pager = Pager(fetch)
    items = iter(pager)
    assert [next(items), next(items)] == [1, 2]
    assert asked == [""]
    assert list(pager) == [1, 2, 3]
    assert asked == ["", "", "a", "b"]


def envelope(data: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


EVENT = field(1, field(1, "events/e"))
PROGRESS = [field(1, bytes([0x08, n])) for n in (1, 2)]
REPORT = field(2, field(1, "replays/r"))
END = envelope(b"{}", 2)


class _QuietGateway(BaseHTTPRequestHandler):
    """Sends signs of life around its only event, and replays; the key says of which kind."""

    left = threading.Semaphore(0)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        kind = self.headers["authorization"].removeprefix("Bearer ")
        messages = {
            "sb_x": [b"", EVENT, b""],
            "whole": [PROGRESS[0], b"", field(9, "x"), PROGRESS[1], REPORT],
            "cut": [PROGRESS[0]],
            "endless": [PROGRESS[0]],
        }
        body = b"".join(map(envelope, messages[kind]))
        self.send_response(200)
        self.send_header("content-type", "application/connect+proto")
        if kind == "endless":
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            # Nothing comes before the client is gone.
            self.connection.settimeout(20)
            with suppress(ConnectionError):
                assert self.rfile.read(1) == b""
            self.left.release()
            return
        body += END
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def quiet_gateway() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _QuietGateway) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def test_a_tail_passes_over_responses_without_an_event(quiet_gateway: str) -> None:
    with Signalbox(quiet_gateway, "sb_x") as client:
        assert [event.name for event in client.tail_events()] == ["events/e"]

    async def tail() -> list[str]:
        async with AsyncSignalbox(quiet_gateway, "sb_x") as client:
            return [event.name async for event in client.tail_events()]

    assert asyncio.run(tail()) == ["events/e"]


def test_a_replay_passes_over_steps_that_it_does_not_know(quiet_gateway: str) -> None:
    with Signalbox(quiet_gateway, "whole") as client:
        replay = client.replay_policy()
        assert [progress.replayed for progress in replay] == [1, 2]
        assert replay.report().name == "replays/r"
        assert replay.report().name == "replays/r"

    async def follow() -> None:
        async with AsyncSignalbox(quiet_gateway, "whole") as client:
            replay = client.replay_policy()
            assert [progress.replayed async for progress in replay] == [1, 2]
            assert (await replay.report()).name == "replays/r"

    asyncio.run(follow())


@pytest.mark.parametrize("kind", ["cut", "endless"])
def test_a_replay_that_is_closed_or_cut_has_no_report(quiet_gateway: str, kind: str) -> None:
    with Signalbox(quiet_gateway, kind) as client, closing(client.replay_policy()) as replay:
        for progress in replay:
            assert progress.replayed == 1
            if kind == "endless":
                replay.close()
                assert _QuietGateway.left.acquire(timeout=10)
        with pytest.raises(SignalboxError) as lost:
            replay.report()
        assert lost.value.code == "data_loss"
    for reader in [t for t in threading.enumerate() if t.name == "signalbox-stream"]:
        reader.join(5)
        assert not reader.is_alive()

    async def leave() -> None:
        async with AsyncSignalbox(quiet_gateway, kind) as client, aclosing(client.replay_policy()) as replay:
            async for progress in replay:
                assert progress.replayed == 1
                if kind == "endless":
                    break
        if kind == "endless":
            assert _QuietGateway.left.acquire(timeout=10)
        with pytest.raises(SignalboxError) as lost:
            await replay.report()
        assert lost.value.code == "data_loss"

    asyncio.run(leave())


def test_a_function_is_asked_for_the_key_at_each_call(quiet_gateway: str) -> None:
    keys = iter(["sb_x", "whole", "third"])
    with Signalbox(quiet_gateway, lambda: next(keys)) as client:
        assert len(list(client.tail_events())) == 1
        assert client.replay_policy().report().name == "replays/r"
        assert client.auth_headers() == {"Authorization": "Bearer third"}

    async def later(key: str) -> str:
        await asyncio.sleep(0)
        return key

    async def ask() -> None:
        akeys = iter(["sb_x", "whole", "third", "fourth"])
        async with AsyncSignalbox(quiet_gateway, lambda: later(next(akeys))) as client:
            assert len([event async for event in client.tail_events()]) == 1
            assert (await client.replay_policy().report()).name == "replays/r"
            assert await client.auth_headers() == {"Authorization": "Bearer third"}
        async with AsyncSignalbox(quiet_gateway, lambda: next(akeys)) as client:
            assert await client.auth_headers() == {"Authorization": "Bearer fourth"}

    asyncio.run(ask())


def no_token() -> str:
    raise LookupError("no token today")


@pytest.mark.parametrize(
    ("api_key", "error"),
    [(no_token, LookupError), (lambda: "", ValueError), (lambda: "a\nb", ValueError), (lambda: None, TypeError)],
)
def test_a_function_that_has_no_key_is_not_blamed_on_the_gateway(
    api_key: Callable[[], str], error: type[Exception]
) -> None:
    with Signalbox("http://127.0.0.1:1", api_key) as client:
        for call in (lambda: list(client.list_agents()), lambda: list(client.tail_events()), client.auth_headers):
            with pytest.raises(error):
                call()

    async def ask() -> None:
        async with AsyncSignalbox("http://127.0.0.1:1", api_key) as client:
            with pytest.raises(error):
                [agent async for agent in client.list_agents()]
            with pytest.raises(error):
                [event async for event in client.tail_events()]

    asyncio.run(ask())


def test_every_generated_message_is_exported() -> None:
    for info in pkgutil.walk_packages(generated.__path__, generated.__name__ + "."):
        if not info.name.endswith("_pb"):
            continue
        package = info.name.removeprefix(generated.__name__).rpartition(".")[0]
        public = importlib.import_module("signalbox" + package)
        module = importlib.import_module(info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            if value.__module__ == module.__name__ and issubclass(value, (Message, Enum)):
                assert name in public.__all__, f"{public.__name__} does not export {name}"
                assert getattr(public, name) is value
