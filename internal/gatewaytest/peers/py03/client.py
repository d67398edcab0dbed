"""The scenario of doc.go through the Python SDK's 0.3 client.

usage: client.py --base URL [--key SECRET] [--binding JSONRPC|HTTP+JSON|GRPC] [--agent NAME] [--no-file]
--agent names the agent to a gateway in the metadata of gRPC.
"""

import argparse
import asyncio
import json
import sys
import uuid

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientHTTPError, A2AClientJSONRPCError
from a2a.types import Message, Part, Role, TaskIdParams, TaskQueryParams, TextPart

FILES = [
    {
        "kind": "file",
        "file": {"bytes": "AAFiaW5hcnn//g==", "name": "blob.bin", "mimeType": "application/octet-stream"},
    },
    {
        "kind": "file",
        "file": {"uri": "https://files.example/a.pdf", "name": "a.pdf", "mimeType": "application/pdf"},
    },
    {"kind": "data", "data": {"list": [1, True, "x"], "n": 3.5}},
]


def part_of(part):
    if part.kind == "text":
        return {"text": part.text}
    if part.kind == "data":
        return {"data": part.data}
    file = part.file
    return {
        "bytes": getattr(file, "bytes", None),
        "url": getattr(file, "uri", None),
        "filename": file.name,
        "mediaType": file.mime_type,
    }


def text_of(parts):
    return "".join(p.root.text for p in parts if p.root.kind == "text")


def describe_task(task):
    text = "".join(text_of(a.parts) for a in task.artifacts or [])
    return {"kind": "task", "id": task.id, "state": task.status.state.value, "text": text}


def describe(event):
    if isinstance(event, Message):
        return {"kind": "message", "id": event.message_id, "state": "", "text": text_of(event.parts)}
    return describe_task(event[0])


def message(text):
    return Message(message_id=str(uuid.uuid4()), role=Role.user, parts=[Part(root=TextPart(text=text))])


async def one(events):
    (event,) = [e async for e in events]
    return event


def with_pairs(details, pairs):
    return details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *pairs))


class UnaryMetadata(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the key and the name of the agent: a gRPC call has no path that names it."""

    def __init__(self, pairs):
        self.pairs = pairs

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        return await continuation(with_pairs(client_call_details, self.pairs), request)


class StreamMetadata(grpc.aio.UnaryStreamClientInterceptor):
    """Does the same for streams: a channel takes an interceptor for one kind only."""

    def __init__(self, pairs):
        self.pairs = pairs

    async def intercept_unary_stream(self, continuation, client_call_details, request):
        return await continuation(with_pairs(client_call_details, self.pairs), request)



async def run(base, key, binding, agent, files):
    out = {}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        pairs = [("authorization", f"Bearer {key}")] if key else []
        if agent:
            pairs.append(("x-signalbox-agent", agent))

        def dial(url):
            return grpc.aio.insecure_channel(url, interceptors=[UnaryMetadata(pairs), StreamMetadata(pairs)])

        card = await A2ACardResolver(http, base).get_agent_card()
        faces = [(card.preferred_transport or "JSONRPC", card.url)]
        faces += [(i.transport, i.url) for i in card.additional_interfaces or []]
        urls = [url for transport, url in faces if transport == binding]
        if not urls:
            raise RuntimeError(f"the card has no {binding}: {faces}")
        if binding != "GRPC" and not urls[0].startswith(base):
            raise RuntimeError(f"the card's interface {urls[0]} is not under {base}")
        out["card"] = {
            "name": card.name,
            "url": urls[0],
            "version": card.protocol_version,
            "streaming": bool(card.capabilities.streaming),
        }

        # Waiting, streaming and not waiting are settings of a client, not of a call.
        def client(**settings):
            config = ClientConfig(
                httpx_client=http, grpc_channel_factory=dial, supported_transports=[binding], **settings
            )
            return ClientFactory(config).create(card)

        waits = client(streaming=False)
        out["send"] = describe(await one(waits.send_message(message("hello"))))
        out["message"] = describe(await one(waits.send_message(message("message"))))

        kinds, states, text = [], [], ""
        async for event in client(streaming=True).send_message(message("stream")):
            if isinstance(event, Message):
                kinds.append(event.kind)
                continue
            task, update = event
            event = update or task
            kinds.append(event.kind)
            if event.kind in ("task", "status-update"):
                states.append(event.status.state.value)
            if event.kind == "artifact-update":
                text += text_of(event.artifact.parts)
        out["stream"] = {"kinds": kinds, "states": states, "text": text}

        if files:
            sent = message("file")
            sent.parts += [Part.model_validate(p) for p in FILES]
            task, _ = await one(waits.send_message(sent))
            out["file"] = [part_of(p.root) for p in task.artifacts[0].parts]

        slow = describe(await one(client(streaming=False, polling=True).send_message(message("slow"))))
        for _ in range(100):
            out["get"] = describe_task(await waits.get_task(TaskQueryParams(id=slow["id"])))
            if out["get"]["state"] != "submitted":
                break
            await asyncio.sleep(0.02)
        out["cancel"] = describe_task(await waits.cancel_task(TaskIdParams(id=slow["id"])))

        try:
            await waits.get_task(TaskQueryParams(id="no-such-task"))
        except A2AClientJSONRPCError as err:
            out["missing"] = {"code": err.error.code, "name": type(err.error).__name__, "message": err.error.message}
        except A2AClientHTTPError as err:
            # Only JSON-RPC has codes; elsewhere this SDK leaves it at the status.
            code = -32001 if err.status_code == 404 else 0
            out["missing"] = {"code": code, "name": str(err.status_code), "message": err.message}
        except grpc.aio.AioRpcError as err:
            code = -32001 if err.code() == grpc.StatusCode.NOT_FOUND else 0
            out["missing"] = {"code": code, "name": err.code().name, "message": err.details()}
        else:
            raise RuntimeError("an unknown task was found")
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--binding", default="JSONRPC")
    parser.add_argument("--agent", default="")
    parser.add_argument("--no-file", action="store_true")
    args = parser.parse_args()
    result = run(args.base.rstrip("/"), args.key, args.binding, args.agent, not args.no_file)
    json.dump(asyncio.run(result), sys.stdout)
    print()


if __name__ == "__main__":
    main()
