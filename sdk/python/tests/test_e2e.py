"""A first hour with a live gateway: the tests run in order and build on each other."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest
from conftest import EchoAgent, Gateway, eventually
from protobuf.wkt import FieldMask, Struct

from signalbox import (
    AbortedError,
    AlreadyExistsError,
    AsyncSignalbox,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Signalbox,
    UnauthenticatedError,
    UnavailableError,
)
from signalbox.audit.v1 import Event, GetEventRequest, Outcome
from signalbox.identity.v1 import CreateKeyRequest, CreateTeamRequest, Key, Team
from signalbox.registry.v1 import (
    Agent,
    CreateAgentRequest,
    Endpoint,
    GetAgentRequest,
    State,
    UpdateAgentRequest,
    Visibility,
)

ECHO_EVENTS = 'agent = "agents/echo"'


@pytest.fixture(scope="module")
def admin(gateway: Gateway) -> Iterator[Signalbox]:
    with Signalbox(gateway.url, gateway.admin_key) as client:
        yield client


@pytest.fixture(scope="module")
def secret(admin: Signalbox) -> str:
    team = admin.identity.create_team(CreateTeamRequest(team_id="research", team=Team(display_name="Research")))
    created = admin.identity.create_key(CreateKeyRequest(parent=team.name, key=Key(display_name="laptop")))
    return created.secret


@pytest.fixture(scope="module")
def client(gateway: Gateway, secret: str) -> Iterator[Signalbox]:
    with Signalbox(gateway.url + "/", secret) as client:

        def known() -> bool | None:
            try:
                list(client.list_teams())
            except UnauthenticatedError:
                return None
            return True

        eventually("the new key is known", known)
        yield client


def call(client: Signalbox, text: str) -> str:
    """Call the agent, once the gateway knows it, and return the id of the message."""
    message_id = f"m-{uuid.uuid4()}"
    message = {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}]}
    request = urllib.request.Request(
        client.agent_url("agents/echo"),
        data=json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
        ).encode(),
        headers={**client.auth_headers(), "Content-Type": "application/json", "A2A-Version": "1.0"},
    )

    def answer() -> Any:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as err:
            with err:
                return None

    body = eventually("the agent is callable", answer)
    assert body == {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"message": {"messageId": "re-1", "role": "ROLE_AGENT", "parts": [{"text": text}]}},
    }
    return message_id


def recorded(client: Signalbox, message_id: str) -> Event:
    """Return the event of a call, once it has been written."""

    def ask() -> Event | None:
        events = client.list_events(filter=ECHO_EVENTS, page_size=10)
        return next((e for e in events if e.message_id == message_id), None)

    return eventually("the event of the call", ask)


def test_the_secret_of_a_key_is_returned_once(admin: Signalbox, client: Signalbox, secret: str) -> None:
    assert secret.startswith("sb_")
    [key] = admin.list_keys("teams/research")
    assert key.name.startswith("teams/research/keys/")
    assert key.display_name == "laptop"
    assert secret not in repr(key)
    assert [t.name for t in client.list_teams()] == ["teams/research"]


def test_an_agent_is_created_from_an_inline_card(client: Signalbox, echo: EchoAgent) -> None:
    agent = client.registry.create_agent(
        CreateAgentRequest(
            agent_id="echo",
            agent=Agent(
                team="teams/research",
                display_name="Echo",
                tags=["first"],
                visibility=Visibility.TEAM,
                endpoints=[Endpoint(url=echo.url)],
                card=Struct.from_python(echo.card),
            ),
        )
    )
    assert agent.name == "agents/echo"
    assert agent.state == State.APPROVED
    assert [(i.binding, i.version) for i in agent.interfaces] == [("JSONRPC", "1.0")]
    assert agent.warnings == []
    with pytest.raises(AlreadyExistsError) as refused:
        client.registry.create_agent(
            CreateAgentRequest(agent_id="echo", agent=Agent(endpoints=[Endpoint(url=echo.url)]))
        )
    assert refused.value.reason == "AGENT_EXISTS"


def test_lists_are_filtered_and_walked_page_by_page(client: Signalbox, echo: EchoAgent) -> None:
    for agent_id in ("alpha", "beta", "gamma"):
        client.registry.create_agent(
            CreateAgentRequest(
                agent_id=agent_id,
                agent=Agent(
                    team="teams/research",
                    tags=["greek"],
                    endpoints=[Endpoint(url=echo.url)],
                    card=Struct.from_python(echo.card),
                ),
            )
        )
    greek = client.list_agents(filter='tags:"greek"', order_by="name desc", page_size=2)
    assert [len(page) for page in greek.pages()] == [2, 1]
    assert [a.name for a in greek] == ["agents/gamma", "agents/beta", "agents/alpha"]
    assert [a.name for a in client.list_agents(page_size=3)] == [
        "agents/alpha",
        "agents/beta",
        "agents/echo",
        "agents/gamma",
    ]
    with pytest.raises(InvalidArgumentError) as refused:
        list(client.list_agents(filter="colour = red"))
    assert refused.value.reason == "INVALID_FILTER"


def test_an_update_changes_what_its_mask_names_and_refuses_an_old_etag(client: Signalbox) -> None:
    before = client.registry.get_agent(GetAgentRequest(name="agents/echo"))
    mask = FieldMask(paths=["display_name"])
    updated = client.registry.update_agent(
        UpdateAgentRequest(
            agent=Agent(name=before.name, etag=before.etag, display_name="Echo 2", tags=["not-in-the-mask"]),
            update_mask=mask,
        )
    )
    assert updated.display_name == "Echo 2"
    assert updated.tags == ["first"]
    assert updated.etag != before.etag
    with pytest.raises(AbortedError) as refused:
        client.registry.update_agent(
            UpdateAgentRequest(
                agent=Agent(name=before.name, etag=before.etag, display_name="Echo 3"), update_mask=mask
            )
        )
    assert refused.value.code == "aborted"
    assert refused.value.reason == "ETAG_MISMATCH"


def test_refusals_say_why(gateway: Gateway, client: Signalbox) -> None:
    with pytest.raises(NotFoundError) as not_found:
        client.registry.get_agent(GetAgentRequest(name="agents/nobody"))
    assert not_found.value.reason == "AGENT_NOT_FOUND"

    with pytest.raises(InvalidArgumentError) as invalid:
        client.registry.create_agent(
            CreateAgentRequest(agent_id="Not A Name", agent=Agent(endpoints=[Endpoint(url="ftp://x")]))
        )
    assert invalid.value.reason == "INVALID_ARGUMENT"
    broken = {v.field: v.rule for v in invalid.value.field_violations}
    assert broken["agent_id"] == "string.pattern"
    assert broken["agent.endpoints[0].url"] == "string.pattern"

    with (
        Signalbox(gateway.url, "sb_" + "x" * 43) as stranger,
        pytest.raises(UnauthenticatedError) as unauthenticated,
    ):
        list(stranger.list_agents())
    assert unauthenticated.value.reason == "CREDENTIALS_INVALID"

    with pytest.raises(PermissionDeniedError) as denied:
        client.identity.create_team(CreateTeamRequest(team_id="mine"))
    assert denied.value.reason == "PERMISSION_DENIED"

    with Signalbox("http://127.0.0.1:1", "sb_x") as nowhere, pytest.raises(UnavailableError) as unreachable:
        list(nowhere.list_agents())
    assert unreachable.value.reason is None


def test_a_call_leaves_an_event_and_a_tail_sees_the_next_one(client: Signalbox) -> None:
    first = call(client, "hello")
    event = recorded(client, first)
    assert event.outcome == Outcome.SUCCEEDED
    assert event.method == "SendMessage"
    assert event.team == "teams/research"
    assert client.audit.get_event(GetEventRequest(name=event.name)) == event

    sent: list[str] = []
    caller = threading.Thread(target=lambda: sent.append(call(client, "again")))
    caller.start()
    with closing(client.tail_events(filter=ECHO_EVENTS, after_sequence=event.sequence)) as tail:
        seen = next(tail)
    caller.join()
    assert [seen.message_id] == sent
    assert seen.sequence > event.sequence


def test_a_tail_that_waits_can_be_interrupted(client: Signalbox) -> None:
    main = threading.main_thread().ident
    assert main is not None
    # Who is started in the background of a script ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT])
    interrupt.start()
    try:
        with pytest.raises(KeyboardInterrupt), closing(client.tail_events(filter='agent = "agents/alpha"')) as tail:
            next(tail)
    finally:
        signal.signal(signal.SIGINT, before)
    for reader in [t for t in threading.enumerate() if t.name == "signalbox-stream"]:
        reader.join(5)
        assert not reader.is_alive()


def test_the_asynchronous_client_does_the_same(gateway: Gateway, client: Signalbox, secret: str) -> None:
    async def scenario() -> None:
        async with AsyncSignalbox(gateway.url, secret) as aclient:
            names = [a.name async for a in aclient.list_agents(filter='tags:"greek"', page_size=2)]
            assert names == ["agents/alpha", "agents/beta", "agents/gamma"]
            assert [t.name async for t in aclient.list_teams()] == ["teams/research"]
            assert len([k async for k in aclient.list_keys("teams/research")]) == 1
            agent = await aclient.registry.get_agent(GetAgentRequest(name="agents/echo"))
            assert agent.display_name == "Echo 2"

            with pytest.raises(NotFoundError) as not_found:
                await aclient.registry.get_agent(GetAgentRequest(name="agents/nobody"))
            assert not_found.value.reason == "AGENT_NOT_FOUND"

            first = await asyncio.to_thread(call, client, "hello, loop")
            event = await asyncio.to_thread(recorded, client, first)
            events = [e.message_id async for e in aclient.list_events(filter=ECHO_EVENTS, page_size=1)]
            assert events.count(first) == 1

            second = asyncio.create_task(asyncio.to_thread(call, client, "again, loop"))
            async with (
                asyncio.timeout(20),
                aclosing(aclient.tail_events(filter=ECHO_EVENTS, after_sequence=event.sequence)) as tail,
            ):
                seen = await anext(tail)
            assert seen.message_id == await second

    asyncio.run(scenario())


def test_a_tail_that_is_cancelled_while_it_waits_ends(gateway: Gateway, secret: str) -> None:
    async def scenario() -> None:
        async with (
            AsyncSignalbox(gateway.url, secret) as aclient,
            aclosing(aclient.tail_events(filter='agent = "agents/alpha"')) as tail,
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(tail)

    asyncio.run(scenario())
