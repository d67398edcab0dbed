"""A 1.0 agent on the Python SDK.

What it does is chosen by the text of the message; see doc.go for the list. Each
binding has a card of its own: that of JSON-RPC below the address, those of the
others below /rest and /grpc.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import uuid

import grpc
import uvicorn
from a2a.helpers import get_message_text, new_task, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState, a2a_pb2_grpc
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


class Executor(AgentExecutor):
    async def execute(self, context, event_queue):
        text = get_message_text(context.message, delimiter="")
        if text == "message":
            await event_queue.enqueue_event(new_text_message("reply: message", context_id=context.context_id))
            return
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(
                new_task(
                    context.task_id,
                    context.context_id,
                    TaskState.TASK_STATE_SUBMITTED,
                    history=[context.message],
                )
            )
        await updater.start_work()
        if text == "slow":
            # Ends by being cancelled, as the framework does for us.
            await asyncio.Event().wait()
        elif text == "stream":
            artifact = str(uuid.uuid4())
            for chunk, append, last in (("one ", False, False), ("two ", True, False), ("three", True, True)):
                await updater.add_artifact(
                    [new_text_part(chunk)], artifact_id=artifact, name="answer", append=append, last_chunk=last
                )
            await updater.complete()
        elif text == "file":
            sent = list(context.message.parts)[1:]
            got = next(p.raw for p in sent if p.WhichOneof("content") == "raw")
            await updater.add_artifact([new_text_part(f"got: {got.hex()}"), *sent], name="answer", last_chunk=True)
            await updater.complete()
        elif text == "fail":
            await updater.failed(updater.new_agent_message([new_text_part("failed as asked")]))
        elif text == "input":
            await updater.requires_input(updater.new_agent_message([new_text_part("what next?")]))
        else:
            await updater.add_artifact([new_text_part(f"echo: {text}")], name="answer", last_chunk=True)
            await updater.complete()

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


class Recorder:
    """Keeps the headers of the last call, for tests to read."""

    def __init__(self, app):
        self.app = app
        self.last = {}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and ".well-known" not in scope["path"] and scope["path"] != "/__headers":
            headers = {}
            for name, value in scope["headers"]:
                headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
            self.last = headers
        await self.app(scope, receive, send)

    async def show(self, _request):
        return JSONResponse(self.last)


def make_card(binding, url):
    return AgentCard(
        name="peer-py",
        description="Echoes, streams and waits, as it is told.",
        version="1.0.0",
        supported_interfaces=[AgentInterface(url=url, protocol_binding=binding, protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="echo", name="Echo", description="Says it again.", tags=["test"])],
    )


def make_handler(card):
    return DefaultRequestHandler(agent_executor=Executor(), task_store=InMemoryTaskStore(), agent_card=card)


async def serve(listener):
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    grpc_server = grpc.aio.server()
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")

    rpc_card = make_card("JSONRPC", f"{url}/")
    rest_card = make_card("HTTP+JSON", f"{url}/rest/api")
    grpc_card = make_card("GRPC", f"127.0.0.1:{grpc_port}")
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(make_handler(grpc_card)), grpc_server)
    well_known = "/.well-known/agent-card.json"
    app = Starlette(
        routes=[
            *create_agent_card_routes(rpc_card),
            *create_agent_card_routes(rest_card, card_url="/rest" + well_known),
            *create_agent_card_routes(grpc_card, card_url="/grpc" + well_known),
            *create_rest_routes(make_handler(rest_card), path_prefix="/rest/api"),
            *create_jsonrpc_routes(make_handler(rpc_card), "/"),
        ]
    )
    recorder = Recorder(app)
    app.router.routes.append(Route("/__headers", recorder.show))

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets=sockets)
            await grpc_server.start()
            print("READY " + json.dumps({"url": url, "version": "1.0"}), flush=True)

    await Server(uvicorn.Config(recorder, log_level="warning", lifespan="off")).serve(sockets=[listener])


def main():
    # The address is part of the card, so the socket comes first.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    listener.listen(128)

    # The parent holds our standard input: when it is gone, so are we.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    asyncio.run(serve(listener))


if __name__ == "__main__":
    main()
