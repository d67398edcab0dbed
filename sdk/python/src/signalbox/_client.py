"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import pyqwest
from protobuf.wkt import Timestamp

from ._gen.signalbox.audit.v1.audit_service_connect import AuditServiceClientSync
from ._gen.signalbox.identity.v1.identity_service_connect import IdentityServiceClientSync
from ._gen.signalbox.policy.v1.policy_service_connect import PolicyServiceClientSync
from ._gen.signalbox.registry.v1.registry_service_connect import RegistryServiceClientSync
from ._gen.signalbox.task.v1.task_service_connect import TaskServiceClientSync
from ._pager import Page, Pager
from ._replay import PolicyReplay
from ._tail import LeavingTransport, read_in_thread
from ._transport import KeyedSync, authorization_of, checked_base_url
from .audit.v1 import Event, ListEventsRequest, TailEventsRequest, TailEventsResponse
from .identity.v1 import (
    Issuer,
    Key,
    ListIssuersRequest,
    ListKeysRequest,
    ListRoleMembersRequest,
    ListTeamsRequest,
    ListUsersRequest,
    RoleMember,
    Team,
    User,
)
from .policy.v1 import (
    DraftPolicy,
    Grant,
    ListGrantsRequest,
    ListPoliciesRequest,
    ListPolicyVersionsRequest,
    Policy,
    PolicyVersion,
    ReplayEntities,
    ReplayPolicyRequest,
    ReplayPolicyResponse,
)
from .registry.v1 import Agent, ListAgentsRequest


T = TypeVar("T")


class RegistryClient(KeyedSync, RegistryServiceClientSync):
    """The catalogue of agents, a method per call."""


class IdentityClient(KeyedSync, IdentityServiceClientSync):
    """Who may call and what they hold, a method per call."""


class AuditClient(KeyedSync, AuditServiceClientSync):
    """The record of calls, a method per call."""


class TaskClient(KeyedSync, TaskServiceClientSync):
    """Whose tasks and contexts are, a method per call."""


class PolicyClient(KeyedSync, PolicyServiceClientSync):
    """Who may do what: policies and grants, a method per call."""


class Signalbox:
    """The way to one gateway with one key or token.

    ``registry``, ``identity``, ``audit``, ``tasks`` and ``policy`` have a method per call
    of the management plane; the other methods walk lists, follow events and replays, and
    point an A2A client at an agent. Every call that fails raises a :class:`SignalboxError`. One client may be
    used by many threads.

    Args:
        base_url: Address of the gateway, for example ``http://127.0.0.1:8080``.
        api_key: API key, ``sb_…``, the admin key, or a token (JWT) of an issuer that the
            gateway believes. Tokens expire: a function is asked for one at each call, by
            whichever thread makes it, and should answer from memory while its token is
            good. What it raises, the call raises.
        timeout: Bound of a call in seconds; None means none. Streams have none.
        transport: Used instead of an own one, for example for a private CA; it is
            not closed with this client.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | Callable[[], str],
        *,
        timeout: float | None = 30.0,
        transport: pyqwest.SyncTransport | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self._authorization = authorization_of(api_key)
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
        """Return the headers that carry key or token, for A2A clients.

        Send them to this gateway only, and ask again for each request where tokens expire.
        """
        return {"Authorization": self._authorization()}

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

    def list_users(self, *, issuer: str = "", disabled_only: bool = False, page_size: int = 0) -> Pager[User]:
        """Return all users that were made or have called, and match."""

        def fetch(token: str) -> Page[User]:
            page = self.identity.list_users(
                ListUsersRequest(
                    issuer=issuer, disabled_only=disabled_only, page_size=page_size, page_token=token
                )
            )
            return page.users, page.next_page_token

        return Pager(fetch)

    def list_issuers(self, *, page_size: int = 0) -> Pager[Issuer]:
        """Return all issuers of tokens."""

        def fetch(token: str) -> Page[Issuer]:
            page = self.identity.list_issuers(ListIssuersRequest(page_size=page_size, page_token=token))
            return page.issuers, page.next_page_token

        return Pager(fetch)

    def list_role_members(self, parent: str = "-", *, member: str = "", page_size: int = 0) -> Pager[RoleMember]:
        """Return who holds the role ``parent``, or any role."""

        def fetch(token: str) -> Page[RoleMember]:
            page = self.identity.list_role_members(
                ListRoleMembersRequest(parent=parent, member=member, page_size=page_size, page_token=token)
            )
            return page.members, page.next_page_token

        return Pager(fetch)

    def list_policies(self, *, page_size: int = 0) -> Pager[Policy]:
        """Return all policies, those that come with the gateway too."""

        def fetch(token: str) -> Page[Policy]:
            page = self.policy.list_policies(ListPoliciesRequest(page_size=page_size, page_token=token))
            return page.policies, page.next_page_token

        return Pager(fetch)

    def list_policy_versions(self, parent: str, *, page_size: int = 0) -> Pager[PolicyVersion]:
        """Return all versions of the policy ``parent``, the newest first."""

        def fetch(token: str) -> Page[PolicyVersion]:
            page = self.policy.list_policy_versions(
                ListPolicyVersionsRequest(parent=parent, page_size=page_size, page_token=token)
            )
            return page.versions, page.next_page_token

        return Pager(fetch)

    def list_grants(
        self, *, team: str = "", principal: str = "", agents: str = "", page_size: int = 0
    ) -> Pager[Grant]:
        """Return all grants that match."""

        def fetch(token: str) -> Page[Grant]:
            page = self.policy.list_grants(
                ListGrantsRequest(
                    team=team, principal=principal, agents=agents, page_size=page_size, page_token=token
                )
            )
            return page.grants, page.next_page_token

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
        request = TailEventsRequest(filter=filter, after_sequence=after_sequence)

        def read(http_client: pyqwest.SyncClient) -> Iterator[TailEventsResponse]:
            audit = AuditClient(
                self.base_url, authorization=self._authorization, timeout_ms=None, http_client=http_client
            )
            return audit.tail_events(request)

        with closing(self._leaving(read)) as responses:
            for response in responses:
                if response.event is not None:
                    yield response.event

    def replay_policy(
        self,
        draft: DraftPolicy | None = None,
        *,
        since_time: Timestamp | None = None,
        until_time: Timestamp | None = None,
        filter: str = "",
        entities: ReplayEntities = ReplayEntities.UNSPECIFIED,
    ) -> PolicyReplay:
        """Replay recorded decisions with the draft, or with the policies as they are now."""
        request = ReplayPolicyRequest(
            draft=draft, since_time=since_time, until_time=until_time, filter=filter, entities=entities
        )

        def read(http_client: pyqwest.SyncClient) -> Iterator[ReplayPolicyResponse]:
            policy = PolicyClient(
                self.base_url, authorization=self._authorization, timeout_ms=None, http_client=http_client
            )
            return policy.replay_policy(request)

        return PolicyReplay(self._leaving(read))

    def _leaving(self, read: Callable[[pyqwest.SyncClient], Iterator[T]]) -> Generator[T, None, None]:
        """Read a stream whose request ends with the loop over it."""
        transport = LeavingTransport(self._transport)
        with closing(read_in_thread(read(pyqwest.SyncClient(transport)), transport.leave)) as responses:
            yield from responses
