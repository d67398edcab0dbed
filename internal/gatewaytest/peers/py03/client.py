"""The scenario of doc.go through the Python SDK's 0.3 client.

usage: client.py --base URL [--key SECRET]
"""

import argparse
import asyncio
import json
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientJSONRPCError
from a2a.types import Message, Part, Role, TaskIdParams, TaskQueryParams, TextPart


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


async def run(base, key):
    out = {}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        card = await A2ACardResolver(http, base).get_agent_card()
        if not card.url.startswith(base):
            raise RuntimeError(f"the card's interface {card.url} is not under {base}")
        out["card"] = {
            "name": card.name,
            "url": card.url,
            "version": card.protocol_version,
            "streaming": bool(card.capabilities.streaming),
        }

        # Waiting, streaming and not waiting are settings of a client, not of a call.
        def client(**settings):
            return ClientFactory(ClientConfig(httpx_client=http, **settings)).create(card)

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
        else:
            raise RuntimeError("an unknown task was found")
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--key", default="")
    args = parser.parse_args()
    json.dump(asyncio.run(run(args.base.rstrip("/"), args.key)), sys.stdout)
    print()


if __name__ == "__main__":
    main()
