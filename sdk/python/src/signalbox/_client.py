"""The synchronous client."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pyqwest

from ._gen.signalbox.audit.v1.audit_service_connect import AuditServiceClientSync
from ._gen.signalbox.identity.v1.identity_service_connect import IdentityServiceClientSync
from ._gen.signalbox.policy.v1.policy_service_connect import PolicyServiceClientSync
from ._gen.signalbox.registry.v1.registry_service_connect import RegistryServiceClientSync
from ._gen.signalbox.task.v1.task_service_connect import TaskServiceClientSync
from ._pager import Page, Pager
from ._tail import LeavingTransport, read_in_thread
from ._transport import KeyedSync, checked_base_url, checked_key
from .audit.v1 import Event, ListEventsRequest, TailEventsRequest
from .identity.v1 import Key, ListKeysRequest, ListTeamsRequest, Team
from .registry.v1 import Agent, ListAgentsRequest


class RegistryClient(KeyedSync, RegistryServiceClientSync):
    """The catalogue of agents, a method per call."""


class IdentityClient(KeyedSync, IdentityServiceClientSync):
    """Teams and keys, a method per call."""


class AuditClient(KeyedSync, AuditServiceClientSync):
    """The record of calls, a method per call."""


class TaskClient(KeyedSync, TaskServiceClientSync):
    """Whose tasks and contexts are, a method per call."""


class PolicyClient(KeyedSync, PolicyServiceClientSync):
    """Who may do what: policies and grants, a method per call."""


class Signalbox:
    """The way to one gateway with one key.

    ``registry``, ``identity``, ``audit``, ``tasks`` and ``policy`` have a method per call
    of the management plane; the other methods walk lists, follow events, and point an A2A
    client at an agent. Every call that fails raises a :class:`SignalboxError`. One client may be
    used by many threads.

    Args:
        base_url: Address of the gateway, for example ``http://127.0.0.1:8080``.
        api_key: API key, ``sb_…``, or the admin key.
        timeout: Bound of a call in seconds; None means none. Streams have none.
        transport: Used instead of an own one, for example for a private CA; it is
            not closed with this client.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float | None = 30.0,
        transport: pyqwest.SyncTransport | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self._authorization = f"Bearer {checked_key(api_key)}"
        self._own: pyqwest.SyncHTTPTransport | None = None
        if transport is None:
            # A gateway never redirects: who does is not one, and must not get the key.
            transport = self._own = pyqwest.SyncHTTPTransport(
                tls_include_system_certs=True, follow_redirects=False
            )
        self._transport = transport
        http_client = pyqwest.SyncClient(transport)
        timeout_ms = None if timeout is None else max(1, int(timeout * 1000))
        self.registry = RegistryClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.identity = IdentityClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.audit = AuditClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.tasks = TaskClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.policy = PolicyClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The client is of no use afterwards."""
        if self._own is not None:
            self._own.close()

    def agent_url(self, agent: str) -> str:
        """Return the base URL of an agent for A2A clients; takes ``echo`` and ``agents/echo``."""
        return f"{self.base_url}/a2a/{quote(agent.removeprefix('agents/'), safe='')}"

    def auth_headers(self) -> dict[str, str]:
        """Return the headers that carry the key, for A2A clients. Send them to this gateway only."""
        return {"Authorization": self._authorization}

    def list_agents(self, *, filter: str = "", order_by: str = "", page_size: int = 0) -> Pager[Agent]:
        """Return all agents that match."""

        def fetch(token: str) -> Page[Agent]:
            page = self.registry.list_agents(
                ListAgentsRequest(filter=filter, order_by=order_by, page_size=page_size, page_token=token)
            )
            return page.agents, page.next_page_token

        return Pager(fetch)

    def list_teams(self, *, page_size: int = 0) -> Pager[Team]:
        """Return all teams that this key may see."""

        def fetch(token: str) -> Page[Team]:
            page = self.identity.list_teams(ListTeamsRequest(page_size=page_size, page_token=token))
            return page.teams, page.next_page_token

        return Pager(fetch)

    def list_keys(self, parent: str, *, page_size: int = 0) -> Pager[Key]:
        """Return all keys of the team ``parent``."""

        def fetch(token: str) -> Page[Key]:
            page = self.identity.list_keys(ListKeysRequest(parent=parent, page_size=page_size, page_token=token))
            return page.keys, page.next_page_token

        return Pager(fetch)

    def list_events(self, *, filter: str = "", page_size: int = 0) -> Pager[Event]:
        """Return all events that match, the newest first."""

        def fetch(token: str) -> Page[Event]:
            page = self.audit.list_events(ListEventsRequest(filter=filter, page_size=page_size, page_token=token))
            return page.events, page.next_page_token

        return Pager(fetch)

    def tail_events(self, *, filter: str = "", after_sequence: int | None = None) -> Generator[Event, None, None]:
        """Yield events as they reach the gateway's database, until the gateway ends the stream.

        Leaving the loop, Ctrl-C too, ends the request at once, which ``audit.tail_events``
        does only with the next event. Close the iterator when it outlives its loop.

        To go on after a break without a gap, pass the ``sequence`` of the last event as
        ``after_sequence``.
        """
        transport = LeavingTransport(self._transport)
        audit = AuditClient(
            self.base_url,
            authorization=self._authorization,
            timeout_ms=None,
            http_client=pyqwest.SyncClient(transport),
        )
        stream = audit.tail_events(TailEventsRequest(filter=filter, after_sequence=after_sequence))
        with closing(read_in_thread(stream, transport.leave)) as responses:
            for response in responses:
                if response.event is not None:
                    yield response.event
