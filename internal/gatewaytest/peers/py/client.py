"""The scenario of doc.go through the Python SDK's client, 1.0.

usage: client.py --base URL [--key SECRET] [--binding JSONRPC|HTTP+JSON|GRPC] [--agent NAME] [--no-file]
--agent names the agent to a gateway in the metadata of gRPC, unless the card gives a tenant.
"""

import argparse
import asyncio
import json
import sys
import uuid

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import get_artifact_text, get_message_text
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    TaskState,
)
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError
from google.protobuf.json_format import MessageToDict, ParseDict

KINDS = {
    "task": "task",
    "message": "message",
    "status_update": "status-update",
    "artifact_update": "artifact-update",
}

FILES = [
    {"raw": "AAFiaW5hcnn//g==", "filename": "blob.bin", "mediaType": "application/octet-stream"},
    {"url": "https://files.example/a.pdf", "filename": "a.pdf", "mediaType": "application/pdf"},
    {"data": {"list": [1, True, "x"], "n": 3.5}},
]


def part_of(part):
    if "raw" in part:
        part["bytes"] = part.pop("raw")
    return part


def state(value):
    return TaskState.Name(value).removeprefix("TASK_STATE_").lower().replace("_", "-")


def describe_task(task):
    text = "".join(get_artifact_text(a, delimiter="") for a in task.artifacts)
    return {"kind": "task", "id": task.id, "state": state(task.status.state), "text": text}


def describe(response):
    if response.HasField("task"):
        return describe_task(response.task)
    message = response.message
    return {"kind": "message", "id": message.message_id, "state": "", "text": get_message_text(message, delimiter="")}


def request(text, **configuration):
    return SendMessageRequest(
        message=Message(message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[Part(text=text)]),
        configuration=SendMessageConfiguration(**configuration),
    )


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

        def dial(url):
            return grpc.aio.insecure_channel(url, interceptors=[UnaryMetadata(pairs), StreamMetadata(pairs)])

        def factory(streaming):
            return ClientFactory(
                ClientConfig(
                    httpx_client=http,
                    streaming=streaming,
                    grpc_channel_factory=dial,
                    supported_protocol_bindings=[binding],
                )
            )

        # The factory must see the client first: it adds the version header.
        unary = factory(False)
        card = await A2ACardResolver(http, base).get_agent_card()
        faces = [i for i in card.supported_interfaces if (i.protocol_binding, i.protocol_version) == (binding, "1.0")]
        if not faces:
            raise RuntimeError(f"the card has no {binding}: {card.supported_interfaces}")
        face = faces[0]
        if agent and not face.tenant:
            pairs.append(("x-signalbox-agent", agent))
        if binding != "GRPC" and not face.url.startswith(base):
            raise RuntimeError(f"the card's interface {face.url} is not under {base}")
        out["card"] = {
            "name": card.name,
            "url": face.url,
            "version": face.protocol_version,
            "streaming": card.capabilities.streaming,
        }
        client = unary.create(card)
        streaming = factory(True).create(card)

        out["send"] = describe(await one(client.send_message(request("hello"))))
        out["message"] = describe(await one(client.send_message(request("message"))))

        kinds, states, text = [], [], ""
        async for event in streaming.send_message(request("stream")):
            which = event.WhichOneof("payload")
            kinds.append(KINDS[which])
            if which in ("task", "status_update"):
                states.append(state(getattr(event, which).status.state))
            if which == "artifact_update":
                text += get_artifact_text(event.artifact_update.artifact, delimiter="")
        out["stream"] = {"kinds": kinds, "states": states, "text": text}

        if files:
            sent = request("file")
            for part in FILES:
                ParseDict(part, sent.message.parts.add())
            file = await one(client.send_message(sent))
            out["file"] = [part_of(MessageToDict(p)) for p in file.task.artifacts[0].parts]

        slow = describe(await one(client.send_message(request("slow", return_immediately=True))))
        for _ in range(100):
            out["get"] = describe_task(await client.get_task(GetTaskRequest(id=slow["id"])))
            if out["get"]["state"] != "submitted":
                break
            await asyncio.sleep(0.02)
        out["cancel"] = describe_task(await client.cancel_task(CancelTaskRequest(id=slow["id"])))

        try:
            await client.get_task(GetTaskRequest(id="no-such-task"))
        except A2AError as err:
            out["missing"] = {
                "code": JSON_RPC_ERROR_CODE_MAP.get(type(err), 0),
                "name": type(err).__name__,
                "message": str(err),
            }
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
