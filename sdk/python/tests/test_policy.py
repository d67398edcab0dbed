"""Who may do what, with a live gateway: the tests run in order and build on each other."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from conftest import EchoAgent, Gateway, eventually
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from protobuf.wkt import FieldMask, Struct, Timestamp

from signalbox import (
    AsyncSignalbox,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Signalbox,
    SignalboxError,
    UnauthenticatedError,
)
from signalbox.audit.v1 import Event, Outcome
from signalbox.identity.v1 import (
    AddRoleMemberRequest,
    ClaimMapping,
    CreateIssuerRequest,
    CreateKeyRequest,
    CreateTeamRequest,
    CreateUserRequest,
    DisableUserRequest,
    Issuer,
    Key,
    User,
)
from signalbox.policy.v1 import (
    ApplyPolicyRequest,
    CheckPolicyRequest,
    CreateGrantRequest,
    DeletePolicyRequest,
    DraftPolicy,
    Explanation,
    GetDecisionRequest,
    GetPolicyRequest,
    GetReplayRequest,
    Grant,
    Mode,
    Policy,
    Replay,
    ReplayChange,
    ShadowAnswer,
    StatementResult,
    UpdatePolicyRequest,
)
from signalbox.policy.v1 import Decision as PolicyDecision
from signalbox.registry.v1 import (
    Agent,
    CreateAgentRequest,
    Endpoint,
    GetAgentRequest,
    UpdateAgentRequest,
    Visibility,
)

T = TypeVar("T")

FREEZE = """
@id("calls")
forbid (
  principal in Signalbox::Team::"care",
  action == Signalbox::Action::"SendMessage",
  resource == Signalbox::Agent::"planner"
);
@id("changes")
forbid (principal, action == Signalbox::Action::"UpdateAgent", resource == Signalbox::Agent::"helper");
"""
DRAFT = DraftPolicy(policy_id="freeze", text=FREEZE)

CI = "key:teams/care/keys/ci"
PUBLISHER = "teams/care/roles/publisher"

ISSUER_URL = "https://idp.example.com"
AUDIENCE = "api://signalbox"


@pytest.fixture(scope="module")
def admin(gateway: Gateway, echo: EchoAgent) -> Iterator[Signalbox]:
    with Signalbox(gateway.url, gateway.admin_key) as client:
        for team in ("lab", "care"):
            client.identity.create_team(CreateTeamRequest(team_id=team))
        for agent_id, team in (("planner", "teams/lab"), ("helper", "teams/care")):
            client.registry.create_agent(
                CreateAgentRequest(
                    agent_id=agent_id,
                    agent=Agent(
                        team=team,
                        visibility=Visibility.TEAM,
                        endpoints=[Endpoint(url=echo.url)],
                        card=Struct.from_python(echo.card),
                    ),
                )
            )
        yield client


@pytest.fixture(scope="module")
def secret(admin: Signalbox) -> str:
    created = admin.identity.create_key(
        CreateKeyRequest(
            parent="teams/care",
            key_id="ci",
            key=Key(certificate_names=["DNS:ci.example.org"]),
            roles=[PUBLISHER],
        )
    )
    assert created.key is not None
    assert created.key.roles == [PUBLISHER]
    assert created.key.certificate_names == ["DNS:ci.example.org"]
    return created.secret


@pytest.fixture(scope="module")
def care(gateway: Gateway, secret: str) -> Iterator[Signalbox]:
    with Signalbox(gateway.url, secret) as client:
        eventually("the new key is known", lambda: unless(UnauthenticatedError, lambda: list(client.list_agents())))
        yield client


@pytest.fixture(scope="module")
def signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def unless(refusal: type[SignalboxError], ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except refusal:
        return None


def refusal_of(call: Callable[[], object]) -> SignalboxError | None:
    try:
        call()
    except SignalboxError as err:
        return err
    return None


def say(client: Signalbox, text: str) -> tuple[str, int, dict[str, Any]]:
    """Call the planner, and return the id of the message, the status and the answer."""
    message_id = f"m-{uuid.uuid4()}"
    message = {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": text}]}
    request = urllib.request.Request(
        client.agent_url("planner"),
        data=json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
        ).encode(),
        headers={**client.auth_headers(), "Content-Type": "application/json", "A2A-Version": "1.0"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return message_id, response.status, json.load(response)
    except urllib.error.HTTPError as err:
        with err:
            return message_id, err.code, json.load(err)


def event_of(admin: Signalbox, message_id: str) -> Event:
    """Return the event of a call, once it has been written."""

    def ask() -> Event | None:
        events = admin.list_events(filter='agent = "agents/planner"', page_size=20)
        return next((e for e in events if e.message_id == message_id), None)

    return eventually("the event of the call", ask)


def decision_of(admin: Signalbox, name: str) -> PolicyDecision:
    """Return a decision, once the event that has it was written."""
    request = GetDecisionRequest(name=name)
    return eventually(
        "the decision is recorded", lambda: unless(NotFoundError, lambda: admin.policy.get_decision(request))
    )


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token_of(key: Ed25519PrivateKey, subject: str, expires_in_s: int = 300) -> str:
    """Return a token that a provider would have signed."""
    now = int(time.time())
    claims = {"iss": ISSUER_URL, "aud": AUDIENCE, "sub": subject, "iat": now - 600, "exp": now + expires_in_s}
    head = {"alg": "EdDSA", "typ": "JWT", "kid": "k1"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (head, {**claims, "groups": ["care"]}))
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def test_a_key_with_a_role_can_do_what_the_role_permits(admin: Signalbox, care: Signalbox) -> None:
    member = "teams/care/keys/ci"
    assert [(m.role, m.member) for m in admin.list_role_members(PUBLISHER)] == [(PUBLISHER, member)]
    approver = "teams/care/roles/approver"
    admin.identity.add_role_member(AddRoleMemberRequest(role=approver, member=member))
    assert [m.role for m in admin.list_role_members(member=member, page_size=1)] == [approver, PUBLISHER]

    assert [a.name for a in care.list_agents()] == ["agents/helper"]
    with pytest.raises(PermissionDeniedError) as denied:
        care.identity.create_team(CreateTeamRequest(team_id="mine"))
    assert denied.value.metadata["decision"].startswith("decisions/")


def test_a_key_of_an_agent_calls_as_the_agent(gateway: Gateway, admin: Signalbox) -> None:
    created = admin.identity.create_key(
        CreateKeyRequest(parent="teams/care", key_id="helper", key=Key(agent="agents/helper"))
    )
    assert created.key is not None
    assert created.key.agent == "agents/helper"
    with Signalbox(gateway.url, created.secret) as helper:

        def denied() -> PermissionDeniedError | None:
            err = refusal_of(lambda: helper.identity.create_team(CreateTeamRequest(team_id="mine")))
            return err if isinstance(err, PermissionDeniedError) else None

        refusal = eventually("the key of the agent is known", denied)
    assert decision_of(admin, refusal.metadata["decision"]).principal == "agent:helper"


def test_what_may_not_be_seen_is_not_there_until_a_grant_permits_it(admin: Signalbox, care: Signalbox) -> None:
    with pytest.raises(NotFoundError) as hidden:
        care.registry.get_agent(GetAgentRequest(name="agents/planner"))
    assert hidden.value.reason == "AGENT_NOT_FOUND"
    _, status, body = say(care, "is anybody there?")
    assert status == 404
    assert body["error"]["data"][0]["reason"] == "AGENT_NOT_FOUND"

    question = CheckPolicyRequest(principal=CI, action="invoke", resource="agent:planner")
    no = admin.policy.check_policy(question)
    assert not no.permit
    assert no.deciding == []

    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    grant = admin.policy.create_grant(
        CreateGrantRequest(
            grant=Grant(
                principal="team:care",
                agents="agent:planner",
                actions=["invoke"],
                expire_time=Timestamp.from_datetime(until),
            )
        )
    )
    assert grant.name.startswith("grants/g-")
    assert grant.team == "teams/lab"
    assert grant.sentence != ""
    assert "permit" in grant.cedar_text
    assert [g.name for g in admin.list_grants(principal="team:care")] == [grant.name]
    assert list(admin.list_grants(principal="team:lab")) == []

    def permitted() -> Explanation | None:
        answer = admin.policy.check_policy(question)
        return answer if answer.permit else None

    yes = eventually("the grant is served", permitted)
    assert grant.name.removeprefix("grants/") in yes.summary
    assert [s.result for s in yes.statements if s.policy == grant.name] == [StatementResult.APPLIES]
    # Now it may be called, and so seen; its registration is its team's all the same.
    with pytest.raises(PermissionDeniedError):
        care.registry.get_agent(GetAgentRequest(name="agents/planner"))
    message_id, status, _ = say(care, "hello")
    assert status == 200
    assert event_of(admin, message_id).outcome == Outcome.SUCCEEDED


def test_a_mistake_in_a_policy_has_line_and_column(admin: Signalbox) -> None:
    text = 'forbid (principal, action, resource)\nwhen { principal.nmae == "x" };\n'
    with pytest.raises(InvalidArgumentError) as refused:
        admin.policy.apply_policy(ApplyPolicyRequest(policy_id="freeze", text=text))
    assert refused.value.reason == "POLICY_INVALID"
    mistake = refused.value.policy_mistakes[0]
    assert mistake.line == 2
    assert mistake.column >= 8
    assert mistake.source_line == 'when { principal.nmae == "x" };'
    assert "nmae" in mistake.text
    with pytest.raises(NotFoundError) as absent:
        admin.policy.get_policy(GetPolicyRequest(name="policies/freeze"))
    assert absent.value.reason == "POLICY_NOT_FOUND"


@pytest.fixture(scope="module")
def report(admin: Signalbox, care: Signalbox) -> Replay:
    replay = admin.replay_policy(DRAFT)
    # One as short as this may be done before there is anything to say.
    steps = [progress.events_read for progress in replay]
    assert steps == sorted(steps)
    return replay.report()


def test_a_replay_reports_what_a_draft_would_change(gateway: Gateway, admin: Signalbox, report: Replay) -> None:
    assert report.policy == "policies/freeze"
    [calls] = [g for g in report.groups if g.change == ReplayChange.NEWLY_DENIED]
    assert (calls.caller, calls.resource, calls.count) == ("team:care", "agent:planner", 1)
    assert calls.changed_already == 0
    assert calls.deciding == ["freeze/calls"]
    # What was asked before the grant comes out otherwise because of it, not of the draft.
    for group in report.groups:
        if group.change == ReplayChange.NEWLY_ALLOWED:
            assert group.changed_already == group.count
    assert admin.policy.get_replay(GetReplayRequest(name=report.name)) == report

    with pytest.raises(InvalidArgumentError) as refused:
        admin.replay_policy(DraftPolicy(text="permit (")).report()
    assert refused.value.policy_mistakes

    async def scenario() -> None:
        async with AsyncSignalbox(gateway.url, gateway.admin_key) as aclient:
            areplay = aclient.replay_policy(DRAFT)
            steps = [progress.events_read async for progress in areplay]
            assert steps == sorted(steps)
            assert (await areplay.report()).newly_denied == report.newly_denied
            with pytest.raises(InvalidArgumentError):
                await aclient.replay_policy(DraftPolicy(text="permit (")).report()

    asyncio.run(scenario())


def test_a_policy_in_shadow_records_what_it_would_do_and_changes_nothing(admin: Signalbox, care: Signalbox) -> None:
    applied = admin.policy.apply_policy(ApplyPolicyRequest(policy_id="freeze", text=FREEZE, mode=Mode.SHADOW))
    assert applied.mode == Mode.SHADOW
    assert applied.shadow_version == 1

    def tried() -> ShadowAnswer | None:
        message_id, _, body = say(care, "in the shadow")
        assert "result" in body
        event = event_of(admin, message_id)
        decision = decision_of(admin, event.name.replace("events/", "decisions/"))
        assert decision.permitted
        return decision.shadow

    shadow = eventually("the policy is tried", tried)
    assert not shadow.permit
    assert shadow.deciding == ["freeze/calls"]


def test_a_policy_in_enforce_refuses_and_its_decision_explains(
    admin: Signalbox, care: Signalbox, report: Replay
) -> None:
    enforced = admin.policy.update_policy(
        UpdatePolicyRequest(
            policy=Policy(name="policies/freeze", mode=Mode.ENFORCE),
            update_mask=FieldMask(paths=["mode"]),
            replay=report.name,
        )
    )
    assert enforced.mode == Mode.ENFORCE
    assert enforced.replay == report.name

    change = UpdateAgentRequest(
        agent=Agent(name="agents/helper", display_name="Helper"), update_mask=FieldMask(paths=["display_name"])
    )
    denied = eventually("the policy is in force", lambda: refusal_of(lambda: care.registry.update_agent(change)))
    assert isinstance(denied, PermissionDeniedError)
    assert denied.reason == "PERMISSION_DENIED"
    assert denied.metadata["action"] == "UpdateAgent"
    decision = decision_of(admin, denied.metadata["decision"])
    assert not decision.permitted
    assert decision.principal == CI
    assert decision.not_replayable == ""
    assert decision.deciding == ["freeze/changes"]
    assert decision.explanation is not None
    assert decision.explanation.deciding == ["freeze/changes"]

    _, _, body = say(care, "refused")
    info = body["error"]["data"][0]
    assert info["reason"] == "PERMISSION_DENIED"
    assert info["metadata"]["decision"].startswith("decisions/")


def test_policies_and_their_versions_are_walked_page_by_page(
    gateway: Gateway, admin: Signalbox, care: Signalbox, report: Replay
) -> None:
    admin.policy.apply_policy(
        ApplyPolicyRequest(policy_id="freeze", text=f"// Until Monday.{FREEZE}", comment="say why")
    )
    versions = list(admin.list_policy_versions("policies/freeze", page_size=1))
    assert [(v.version, v.mode, v.comment) for v in versions] == [
        (2, Mode.ENFORCE, "say why"),
        (1, Mode.UNSPECIFIED, ""),
    ]
    assert versions[1].replay == report.name
    assert "+// Until Monday." in versions[0].diff.splitlines()
    policies = list(admin.list_policies(page_size=3))
    assert len(policies) > 3
    assert [p.name for p in policies if not p.shipped] == ["policies/freeze"]

    async def scenario() -> None:
        async with AsyncSignalbox(gateway.url, gateway.admin_key) as aclient:
            assert [p async for p in aclient.list_policies(page_size=3)] == policies
            assert [v async for v in aclient.list_policy_versions("policies/freeze", page_size=1)] == versions
            assert [g async for g in aclient.list_grants(principal="team:care")] == list(
                admin.list_grants(principal="team:care")
            )
            members = [m.member async for m in aclient.list_role_members(PUBLISHER)]
            assert members == ["teams/care/keys/ci"]

    asyncio.run(scenario())
    admin.policy.delete_policy(DeletePolicyRequest(name="policies/freeze"))
    eventually("the policy is gone", lambda: say(care, "again")[2].get("result"))


def test_a_token_stands_for_its_user_where_a_key_would(
    gateway: Gateway, admin: Signalbox, signing_key: Ed25519PrivateKey
) -> None:
    public = b64(signing_key.public_key().public_bytes_raw())
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": public, "kid": "k1", "alg": "EdDSA", "use": "sig"}
    issuer = admin.identity.create_issuer(
        CreateIssuerRequest(
            issuer_id="idp",
            issuer=Issuer(
                url=ISSUER_URL,
                audiences=[AUDIENCE],
                jwks=json.dumps({"keys": [jwk]}),
                claim_mappings=[ClaimMapping(claim="groups", value="care", team="teams/care")],
            ),
        )
    )
    assert [i.name for i in admin.list_issuers()] == [issuer.name]
    admin.identity.create_user(
        CreateUserRequest(user=User(issuer=issuer.name, subject="ada", display_name="Ada"))
    )

    given: list[str] = []

    def fresh() -> str:
        given.append(token_of(signing_key, "ada"))
        return given[-1]

    with Signalbox(gateway.url, fresh) as ada:
        agents = eventually(
            "the issuer is known", lambda: unless(UnauthenticatedError, lambda: list(ada.list_agents()))
        )
        assert [a.name for a in agents] == ["agents/helper"]
        before = len(given)
        message_id, _, body = say(ada, "I am Ada")
        assert "result" in body
        assert len(given) == before + 1
        event = event_of(admin, message_id)
        assert event.caller == "users/idp~ada"
        assert event.team == "teams/care"

    with (
        Signalbox(gateway.url, token_of(signing_key, "ada", -300)) as late,
        pytest.raises(UnauthenticatedError) as expired,
    ):
        list(late.list_agents())
    assert expired.value.reason == "TOKEN_EXPIRED"


def test_the_asynchronous_client_takes_functions_that_make_tokens(
    gateway: Gateway, admin: Signalbox, signing_key: Ed25519PrivateKey
) -> None:
    async def fresh() -> str:
        await asyncio.sleep(0)
        return token_of(signing_key, "ada")

    async def scenario() -> None:
        async with (
            AsyncSignalbox(gateway.url, fresh) as ada,
            AsyncSignalbox(gateway.url, gateway.admin_key) as aadmin,
        ):
            assert [a.name async for a in ada.list_agents()] == ["agents/helper"]
            assert (await ada.auth_headers())["Authorization"].startswith("Bearer ey")
            users = [u async for u in aadmin.list_users(issuer="issuers/idp")]
            assert [(u.name, u.display_name, u.subject) for u in users] == [("users/idp~ada", "Ada", "ada")]
            assert [i.name async for i in aadmin.list_issuers()] == ["issuers/idp"]

    asyncio.run(scenario())

    admin.identity.disable_user(DisableUserRequest(name="users/idp~ada"))
    with Signalbox(gateway.url, lambda: token_of(signing_key, "ada")) as ada:
        refused = eventually("the user is refused", lambda: refusal_of(lambda: list(ada.list_agents())))
    assert isinstance(refused, UnauthenticatedError)
    assert refused.reason == "USER_DISABLED"
    assert [u.name for u in admin.list_users(disabled_only=True)] == ["users/idp~ada"]
