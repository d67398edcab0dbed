"""A 0.3 agent on the Python SDK of that time.

What it does is chosen by the text of the message; see doc.go for the list. Each
binding has a card of its own: that of JSON-RPC below the address, those of the
others below /rest and /grpc.
"""

import asyncio
import base64
import json
import os
import socket
import sys
import threading
import uuid

import grpc
import uvicorn
from a2a.grpc import a2a_pb2_grpc
from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentSkill,
    Part,
    Task,
    TaskState,
    TaskStatus,
    TextPart,
)
from a2a.utils import new_agent_text_message
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route


def text_part(text):
    return Part(root=TextPart(text=text))


class Executor(AgentExecutor):
    async def execute(self, context, event_queue):
        text = context.get_user_input(delimiter="")
        if text == "message":
            await event_queue.enqueue_event(new_agent_text_message("reply: message", context.context_id))
            return
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(
                Task(
                    id=context.task_id,
                    context_id=context.context_id,
                    status=TaskStatus(state=TaskState.submitted),
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
                    [text_part(chunk)], artifact_id=artifact, name="answer", append=append, last_chunk=last
                )
            await updater.complete()
        elif text == "file":
            sent = context.message.parts[1:]
            raw = next(p.root.file.bytes for p in sent if getattr(getattr(p.root, "file", None), "bytes", None))
            got = base64.b64decode(raw, validate=True).hex()
            await updater.add_artifact([text_part(f"got: {got}"), *sent], name="answer", last_chunk=True)
            await updater.complete()
        elif text == "fail":
            await updater.failed(updater.new_agent_message([text_part("failed as asked")]))
        elif text == "input":
            await updater.requires_input(updater.new_agent_message([text_part("what next?")]), final=True)
        else:
            await updater.add_artifact([text_part(f"echo: {text}")], name="answer", last_chunk=True)
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
        protocol_version="0.3.0",
        name="peer-py03",
        description="Echoes, streams and waits, as it is told.",
        version="1.0.0",
        url=url,
        preferred_transport=binding,
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="echo", name="Echo", description="Says it again.", tags=["test"])],
    )


def make_handler():
    return DefaultRequestHandler(agent_executor=Executor(), task_store=InMemoryTaskStore())


async def serve(listener):
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    grpc_server = grpc.aio.server()
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_card = make_card("GRPC", f"127.0.0.1:{grpc_port}")
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(grpc_card, make_handler()), grpc_server)

    async def show_grpc_card(_request):
        return JSONResponse(grpc_card.model_dump(mode="json", by_alias=True, exclude_none=True))

    app = A2AStarletteApplication(agent_card=make_card("JSONRPC", f"{url}/"), http_handler=make_handler()).build()
    recorder = Recorder(app)
    app.router.routes.append(Route("/__headers", recorder.show))
    app.router.routes.append(Route("/grpc/.well-known/agent-card.json", show_grpc_card))
    rest = A2ARESTFastAPIApplication(agent_card=make_card("HTTP+JSON", f"{url}/rest"), http_handler=make_handler())
    app.router.routes.append(Mount("/rest", rest.build()))

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets=sockets)
            await grpc_server.start()
            print("READY " + json.dumps({"url": url, "version": "0.3"}), flush=True)

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
