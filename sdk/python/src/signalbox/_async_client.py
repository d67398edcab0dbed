"""The asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast
from urllib.parse import quote

import pyqwest
from protobuf.wkt import Timestamp

from ._gen.signalbox.audit.v1.audit_service_connect import AuditServiceClient
from ._gen.signalbox.identity.v1.identity_service_connect import IdentityServiceClient
from ._gen.signalbox.policy.v1.policy_service_connect import PolicyServiceClient
from ._gen.signalbox.registry.v1.registry_service_connect import RegistryServiceClient
from ._gen.signalbox.task.v1.task_service_connect import TaskServiceClient
from ._pager import AsyncPager, Page
from ._replay import AsyncPolicyReplay
from ._transport import Keyed, async_authorization_of, checked_base_url
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


class AsyncRegistryClient(Keyed, RegistryServiceClient):
    """The catalogue of agents, a method per call."""


class AsyncIdentityClient(Keyed, IdentityServiceClient):
    """Who may call and what they hold, a method per call."""


class AsyncAuditClient(Keyed, AuditServiceClient):
    """The record of calls, a method per call."""


class AsyncTaskClient(Keyed, TaskServiceClient):
    """Whose tasks and contexts are, a method per call."""


class AsyncPolicyClient(Keyed, PolicyServiceClient):
    """Who may do what: policies and grants, a method per call."""


class AsyncSignalbox:
    """The way to one gateway with one key or token, for asyncio.

    As :class:`Signalbox`, with awaitable calls and asynchronous iterators.

    Args:
        base_url: Address of the gateway, for example ``http://127.0.0.1:8080``.
        api_key: API key, ``sb_…``, the admin key, or a token (JWT) of an issuer that the
            gateway believes. Tokens expire: a function is asked for one at each call, may
            be asynchronous, and should answer from memory while its token is good. What it
            raises, the call raises.
        timeout: Bound of a call in seconds; None means none. Streams have none.
        transport: Used instead of an own one, for example for a private CA; it is
            not closed with this client.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | Callable[[], str | Awaitable[str]],
        *,
        timeout: float | None = 30.0,
        transport: pyqwest.Transport | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self._authorization = async_authorization_of(api_key)
        self._own: pyqwest.HTTPTransport | None = None
        if transport is None:
            # A gateway never redirects: who does is not one, and must not get the key.
            transport = self._own = pyqwest.HTTPTransport(tls_include_system_certs=True, follow_redirects=False)
        http_client = pyqwest.Client(transport)
        timeout_ms = None if timeout is None else max(1, int(timeout * 1000))
        self.registry = AsyncRegistryClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.identity = AsyncIdentityClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.audit = AsyncAuditClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.tasks = AsyncTaskClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )
        self.policy = AsyncPolicyClient(
            self.base_url, authorization=self._authorization, timeout_ms=timeout_ms, http_client=http_client
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. The client is of no use afterwards."""
        if self._own is not None:
            await self._own.aclose()

    def agent_url(self, agent: str) -> str:
        """Return the base URL of an agent for A2A clients; takes ``echo`` and ``agents/echo``."""
        return f"{self.base_url}/a2a/{quote(agent.removeprefix('agents/'), safe='')}"

    async def auth_headers(self) -> dict[str, str]:
        """Return the headers that carry key or token, for A2A clients.

        Send them to this gateway only, and ask again for each request where tokens expire.
        """
        return {"Authorization": await self._authorization()}

    def list_agents(self, *, filter: str = "", order_by: str = "", page_size: int = 0) -> AsyncPager[Agent]:
        """Return all agents that match."""

        async def fetch(token: str) -> Page[Agent]:
            page = await self.registry.list_agents(
                ListAgentsRequest(filter=filter, order_by=order_by, page_size=page_size, page_token=token)
            )
            return page.agents, page.next_page_token

        return AsyncPager(fetch)

    def list_teams(self, *, page_size: int = 0) -> AsyncPager[Team]:
        """Return all teams that this key may see."""

        async def fetch(token: str) -> Page[Team]:
            page = await self.identity.list_teams(ListTeamsRequest(page_size=page_size, page_token=token))
            return page.teams, page.next_page_token

        return AsyncPager(fetch)

    def list_keys(self, parent: str, *, page_size: int = 0) -> AsyncPager[Key]:
        """Return all keys of the team ``parent``."""

        async def fetch(token: str) -> Page[Key]:
            page = await self.identity.list_keys(
                ListKeysRequest(parent=parent, page_size=page_size, page_token=token)
            )
            return page.keys, page.next_page_token

        return AsyncPager(fetch)

    def list_users(
        self, *, issuer: str = "", disabled_only: bool = False, page_size: int = 0
    ) -> AsyncPager[User]:
        """Return all users that were made or have called, and match."""

        async def fetch(token: str) -> Page[User]:
            page = await self.identity.list_users(
                ListUsersRequest(
                    issuer=issuer, disabled_only=disabled_only, page_size=page_size, page_token=token
                )
            )
            return page.users, page.next_page_token

        return AsyncPager(fetch)

    def list_issuers(self, *, page_size: int = 0) -> AsyncPager[Issuer]:
        """Return all issuers of tokens."""

        async def fetch(token: str) -> Page[Issuer]:
            page = await self.identity.list_issuers(ListIssuersRequest(page_size=page_size, page_token=token))
            return page.issuers, page.next_page_token

        return AsyncPager(fetch)

    def list_role_members(
        self, parent: str = "-", *, member: str = "", page_size: int = 0
    ) -> AsyncPager[RoleMember]:
        """Return who holds the role ``parent``, or any role."""

        async def fetch(token: str) -> Page[RoleMember]:
            page = await self.identity.list_role_members(
                ListRoleMembersRequest(parent=parent, member=member, page_size=page_size, page_token=token)
            )
            return page.members, page.next_page_token

        return AsyncPager(fetch)

    def list_policies(self, *, page_size: int = 0) -> AsyncPager[Policy]:
        """Return all policies, those that come with the gateway too."""

        async def fetch(token: str) -> Page[Policy]:
            page = await self.policy.list_policies(ListPoliciesRequest(page_size=page_size, page_token=token))
            return page.policies, page.next_page_token

        return AsyncPager(fetch)

    def list_policy_versions(self, parent: str, *, page_size: int = 0) -> AsyncPager[PolicyVersion]:
        """Return all versions of the policy ``parent``, the newest first."""

        async def fetch(token: str) -> Page[PolicyVersion]:
            page = await self.policy.list_policy_versions(
                ListPolicyVersionsRequest(parent=parent, page_size=page_size, page_token=token)
            )
            return page.versions, page.next_page_token

        return AsyncPager(fetch)

    def list_grants(
        self, *, team: str = "", principal: str = "", agents: str = "", page_size: int = 0
    ) -> AsyncPager[Grant]:
        """Return all grants that match."""

        async def fetch(token: str) -> Page[Grant]:
            page = await self.policy.list_grants(
                ListGrantsRequest(
                    team=team, principal=principal, agents=agents, page_size=page_size, page_token=token
                )
            )
            return page.grants, page.next_page_token

        return AsyncPager(fetch)

    def list_events(self, *, filter: str = "", page_size: int = 0) -> AsyncPager[Event]:
        """Return all events that match, the newest first."""

        async def fetch(token: str) -> Page[Event]:
            page = await self.audit.list_events(
                ListEventsRequest(filter=filter, page_size=page_size, page_token=token)
            )
            return page.events, page.next_page_token

        return AsyncPager(fetch)

    async def tail_events(
        self, *, filter: str = "", after_sequence: int | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield events as they reach the gateway's database, until the gateway ends the stream.

        To go on after a break without a gap, pass the ``sequence`` of the last event as
        ``after_sequence``.
        """
        stream = self.audit.tail_events(TailEventsRequest(filter=filter, after_sequence=after_sequence))
        # Who leaves the loop ends the request, at once and not when the garbage collector comes.
        async with aclosing(cast(AsyncGenerator[TailEventsResponse, None], stream)):
            async for response in stream:
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
    ) -> AsyncPolicyReplay:
        """Replay recorded decisions with the draft, or with the policies as they are now."""
        request = ReplayPolicyRequest(
            draft=draft, since_time=since_time, until_time=until_time, filter=filter, entities=entities
        )
        stream = self.policy.replay_policy(request)
        return AsyncPolicyReplay(cast(AsyncGenerator[ReplayPolicyResponse, None], stream))
