import assert from "node:assert/strict";
import type { KeyObject } from "node:crypto";
import { generateKeyPairSync, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  InvalidArgumentError,
  Mode,
  NotFoundError,
  Outcome,
  PermissionDeniedError,
  SignalboxClient,
  SignalboxError,
  UnauthenticatedError,
  Visibility,
} from "@signalbox/sdk";
import type { Event, Replay } from "@signalbox/sdk";
import { ReplayChange, StatementResult } from "@signalbox/sdk/policy/v1";
import type { Agent as EchoAgent, Gateway } from "./gateway.js";
import { adminKey, eventually, startEchoAgent, startGateway } from "./gateway.js";

/** Support may neither call the echo agent nor change its own one. */
const freeze = `
@id("calls")
forbid (
  principal in Signalbox::Team::"support",
  action == Signalbox::Action::"SendMessage",
  resource == Signalbox::Agent::"echo"
);
@id("changes")
forbid (principal, action == Signalbox::Action::"UpdateAgent", resource == Signalbox::Agent::"helper");
`;

const issuerUrl = "https://idp.example.com";
const audience = "api://signalbox";

/** A token that a provider would have signed. */
function tokenOf(key: KeyObject, subject: string, expiresInSeconds: number): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = part({ alg: "EdDSA", typ: "JWT", kid: "k1" });
  const times = { iat: now - 600, exp: now + expiresInSeconds };
  const claims = { iss: issuerUrl, aud: audience, sub: subject, groups: ["sup"], ...times };
  const signed = `${head}.${part(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), key).toString("base64url")}`;
}

interface Answer {
  messageId: string;
  status: number;
  body: { result?: object; error?: { code: number; data: { reason: string; metadata: Record<string, string> }[] } };
}

async function say(client: SignalboxClient, text: string): Promise<Answer> {
  const messageId = `m-${crypto.randomUUID()}`;
  const response = await client.fetchWithAuth(client.agentUrl("echo"), {
    method: "POST",
    headers: { "content-type": "application/json", "A2A-Version": "1.0" },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "SendMessage",
      params: { message: { messageId, role: "ROLE_USER", parts: [{ text }] } },
    }),
  });
  return { messageId, status: response.status, body: (await response.json()) as Answer["body"] };
}

// One gateway for all; the tests run in order and build on each other.
describe("who may do what", () => {
  let gateway: Gateway;
  let echo: EchoAgent;
  let admin: SignalboxClient;
  let support: SignalboxClient;
  let report: Replay;
  const ci = "key:teams/support/keys/ci";

  before(async () => {
    echo = await startEchoAgent();
    gateway = await startGateway();
    admin = new SignalboxClient({ baseUrl: gateway.url, apiKey: adminKey });
    await admin.identity.createTeam({ teamId: "research" });
    await admin.identity.createTeam({ teamId: "support" });
    for (const [agentId, team] of [["echo", "teams/research"], ["helper", "teams/support"]] as const) {
      await admin.registry.createAgent({
        agentId,
        agent: { team, visibility: Visibility.TEAM, endpoints: [{ url: echo.url }], card: echo.card },
      });
    }
  });
  after(async () => {
    await echo?.stop();
    await gateway?.stop();
  });

  /** The event of a call, once it has been written. */
  async function eventOf(messageId: string): Promise<Event> {
    return eventually("the event of the call", async () => {
      const events = await admin.listEvents({ filter: 'agent = "agents/echo"', pageSize: 10 }).toArray(20);
      return events.find((e) => e.messageId === messageId);
    });
  }

  /** What the gateway refuses a call with, once what forbids it is served. */
  async function refusalOf(what: string, call: () => Promise<unknown>): Promise<SignalboxError> {
    return eventually(what, () =>
      call().then(
        () => undefined,
        (err: unknown) => {
          assert.ok(err instanceof SignalboxError, String(err));
          return err;
        },
      ),
    );
  }

  test("a key with a role can do what the role permits", async () => {
    const role = "teams/support/roles/publisher";
    const created = await admin.identity.createKey({
      parent: "teams/support",
      keyId: "ci",
      key: { certificateNames: ["DNS:ci.example.org"] },
      roles: [role],
    });
    assert.deepEqual(created.key?.roles, [role]);
    assert.deepEqual(created.key?.certificateNames, ["DNS:ci.example.org"]);
    const members = await admin.listRoleMembers({ parent: role }).toArray();
    assert.deepEqual(
      members.map((m) => [m.role, m.member]),
      [[role, "teams/support/keys/ci"]],
    );
    await admin.identity.addRoleMember({ role: "teams/support/roles/approver", member: "teams/support/keys/ci" });
    const all = await admin.listRoleMembers({ member: "teams/support/keys/ci", pageSize: 1 }).toArray();
    assert.deepEqual(
      all.map((m) => m.role),
      ["teams/support/roles/approver", role],
    );

    support = new SignalboxClient({ baseUrl: gateway.url, apiKey: created.secret });
    const agents = await eventually("the new key is known", () =>
      support
        .listAgents()
        .toArray()
        .catch((err: unknown) => {
          if (err instanceof UnauthenticatedError) return undefined;
          throw err;
        }),
    );
    assert.deepEqual(
      agents.map((a) => a.name),
      ["agents/helper"],
    );
    await assert.rejects(
      support.identity.createTeam({ teamId: "mine" }),
      (err) => err instanceof PermissionDeniedError && /^decisions\//.test(err.metadata["decision"] ?? ""),
    );
  });

  test("a key of an agent calls as the agent", async () => {
    const { key, secret } = await admin.identity.createKey({
      parent: "teams/support",
      keyId: "helper",
      key: { agent: "agents/helper" },
    });
    assert.equal(key?.agent, "agents/helper");
    const helper = new SignalboxClient({ baseUrl: gateway.url, apiKey: secret });
    const denied = await eventually("the key of the agent is known", async () => {
      const err = await refusalOf("a refusal", () => helper.identity.createTeam({ teamId: "mine" }));
      return err instanceof UnauthenticatedError ? undefined : err;
    });
    assert.ok(denied instanceof PermissionDeniedError);
    const decision = await eventually("the decision is recorded", () =>
      admin.policy.getDecision({ name: denied.metadata["decision"]! }).catch((err: unknown) => {
        if (err instanceof NotFoundError) return undefined;
        throw err;
      }),
    );
    assert.equal(decision.principal, "agent:helper");
  });

  test("what may not be seen is not there, until a grant permits it", async () => {
    await assert.rejects(
      support.registry.getAgent({ name: "agents/echo" }),
      (err) => err instanceof NotFoundError && err.reason === "AGENT_NOT_FOUND",
    );
    const hidden = await say(support, "is anybody there?");
    assert.equal(hidden.status, 404);
    assert.equal(hidden.body.error?.data[0]?.reason, "AGENT_NOT_FOUND");
    const question = { principal: ci, action: "invoke", resource: "agent:echo" };
    const no = await admin.policy.checkPolicy(question);
    assert.equal(no.permit, false);
    assert.deepEqual(no.deciding, []);

    const until = Date.now() + 3_600_000;
    const grant = await admin.policy.createGrant({
      grant: { principal: "team:support", agents: "agent:echo", actions: ["invoke"], expireTime: timestampFromMs(until) },
    });
    assert.match(grant.name, /^grants\/g-/);
    assert.equal(grant.team, "teams/research");
    assert.notEqual(grant.sentence, "");
    assert.match(grant.cedarText, /^permit/m);
    assert.deepEqual(
      (await admin.listGrants({ principal: "team:support" }).toArray()).map((g) => g.name),
      [grant.name],
    );
    assert.deepEqual(await admin.listGrants({ principal: "team:research" }).toArray(), []);

    const yes = await eventually("the grant is served", async () => {
      const answer = await admin.policy.checkPolicy(question);
      return answer.permit ? answer : undefined;
    });
    assert.ok(yes.summary.includes(grant.name.replace("grants/", "")), yes.summary);
    assert.deepEqual(
      yes.statements.filter((s) => s.policy === grant.name).map((s) => s.result),
      [StatementResult.APPLIES],
    );
    // Now it may be called, and so seen; its registration is its team's all the same.
    await assert.rejects(support.registry.getAgent({ name: "agents/echo" }), PermissionDeniedError);
    const { messageId, status } = await say(support, "hello");
    assert.equal(status, 200);
    assert.equal((await eventOf(messageId)).outcome, Outcome.SUCCEEDED);
  });

  test("a mistake in a policy has line and column", async () => {
    const text = 'forbid (principal, action, resource)\nwhen { principal.nmae == "x" };\n';
    await assert.rejects(admin.policy.applyPolicy({ policyId: "freeze", text }), (err) => {
      assert.ok(err instanceof InvalidArgumentError);
      assert.equal(err.reason, "POLICY_INVALID");
      const [first] = err.policyMistakes;
      assert.equal(first?.line, 2);
      assert.equal(first.sourceLine, 'when { principal.nmae == "x" };');
      assert.ok(first.column >= 8 && first.text.includes("nmae"), JSON.stringify(err.policyMistakes, null, 1));
      assert.deepEqual(err.fieldViolations, []);
      return true;
    });
    await assert.rejects(
      admin.policy.getPolicy({ name: "policies/freeze" }),
      (err) => err instanceof NotFoundError && err.reason === "POLICY_NOT_FOUND",
    );
  });

  test("a replay says how far it has come and reports what a draft would change", async () => {
    const replay = admin.replayPolicy({ draft: { policyId: "freeze", text: freeze } });
    const steps: bigint[] = [];
    for await (const { eventsRead } of replay) steps.push(eventsRead);
    // A replay as short as this one may be done before there is anything to say.
    assert.deepEqual(steps, [...steps].sort((a, b) => Number(a - b)));
    report = await replay.report();
    assert.equal(report.policy, "policies/freeze");
    const calls = report.groups.find((g) => g.resource === "agent:echo");
    assert.equal(calls?.change, ReplayChange.NEWLY_DENIED);
    assert.equal(calls.caller, "team:support");
    assert.equal(calls.count, 1n);
    assert.equal(calls.changedAlready, 0n);
    assert.deepEqual(calls.deciding, ["freeze/calls"]);
    // What was asked before the grant comes out otherwise because of it, not of the draft.
    for (const g of report.groups.filter((g) => g.change === ReplayChange.NEWLY_ALLOWED)) {
      assert.equal(g.changedAlready, g.count);
    }
    assert.deepEqual(await admin.policy.getReplay({ name: report.name }), report);

    const again = await admin.replayPolicy({ draft: { policyId: "freeze", text: freeze } }).report();
    assert.equal(again.newlyDenied, report.newlyDenied);

    await assert.rejects(
      admin.replayPolicy({ draft: { text: "permit (" } }).report(),
      (err) => err instanceof InvalidArgumentError && err.policyMistakes.length > 0,
    );
  });

  test("a replay can be aborted", async () => {
    await assert.rejects(
      admin.replayPolicy({}, { signal: AbortSignal.abort() }).report(),
      (err) => err instanceof SignalboxError && err.code === "canceled",
    );
  });

  test("a policy in SHADOW records what it would do and changes nothing", async () => {
    const applied = await admin.policy.applyPolicy({ policyId: "freeze", text: freeze, mode: Mode.SHADOW });
    assert.equal(applied.mode, Mode.SHADOW);
    assert.equal(applied.shadowVersion, 1n);
    const shadow = await eventually("the policy is tried", async () => {
      const { messageId, body } = await say(support, "in the shadow");
      assert.ok(body.result, JSON.stringify(body));
      const event = await eventOf(messageId);
      const decision = await admin.policy.getDecision({ name: event.name.replace("events/", "decisions/") });
      assert.equal(decision.permitted, true);
      return decision.shadow;
    });
    assert.equal(shadow.permit, false);
    assert.deepEqual(shadow.deciding, ["freeze/calls"]);
  });

  test("a policy in ENFORCE refuses, and the refusal names the decision that explains it", async () => {
    const enforced = await admin.policy.updatePolicy({
      policy: { name: "policies/freeze", mode: Mode.ENFORCE },
      updateMask: { paths: ["mode"] },
      replay: report.name,
    });
    assert.equal(enforced.mode, Mode.ENFORCE);
    assert.equal(enforced.replay, report.name);

    const change = { agent: { name: "agents/helper", displayName: "Helper" }, updateMask: { paths: ["display_name"] } };
    const denied = await refusalOf("the policy is in force", () => support.registry.updateAgent(change));
    assert.ok(denied instanceof PermissionDeniedError, String(denied));
    assert.equal(denied.reason, "PERMISSION_DENIED");
    assert.equal(denied.metadata["action"], "UpdateAgent");
    const name = denied.metadata["decision"]!;
    const decision = await eventually("the decision is recorded", () =>
      admin.policy.getDecision({ name }).catch((err: unknown) => {
        if (err instanceof NotFoundError && err.reason === "DECISION_NOT_FOUND") return undefined;
        throw err;
      }),
    );
    assert.equal(decision.permitted, false);
    assert.equal(decision.principal, ci);
    assert.equal(decision.notReplayable, "");
    assert.deepEqual(decision.deciding, ["freeze/changes"]);
    assert.deepEqual(decision.explanation?.deciding, ["freeze/changes"]);

    const { body } = await say(support, "refused");
    const [info] = body.error?.data ?? [];
    assert.equal(info?.reason, "PERMISSION_DENIED");
    assert.match(info.metadata["decision"] ?? "", /^decisions\//);
  });

  test("policies and their versions are walked page by page", async () => {
    await admin.policy.applyPolicy({ policyId: "freeze", text: `// Until Monday.${freeze}`, comment: "say why" });
    const versions = await admin.listPolicyVersions({ parent: "policies/freeze", pageSize: 1 }).toArray();
    assert.deepEqual(
      versions.map((v) => [v.version, v.mode, v.comment]),
      [
        [2n, Mode.ENFORCE, "say why"],
        [1n, Mode.UNSPECIFIED, ""],
      ],
    );
    assert.equal(versions[1]?.replay, report.name);
    assert.match(versions[0]?.diff ?? "", /^\+\/\/ Until Monday\.$/m);
    const policies = await admin.listPolicies({ pageSize: 3 }).toArray();
    const own = policies.filter((p) => !p.shipped).map((p) => p.name);
    assert.deepEqual(own, ["policies/freeze"]);
    assert.ok(policies.length > 3);
    await admin.policy.deletePolicy({ name: "policies/freeze" });
    await eventually("the policy is gone", async () => ((await say(support, "again")).body.result ? true : undefined));
  });

  test("a token stands for its user where a key would", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const issuer = await admin.identity.createIssuer({
      issuerId: "idp",
      issuer: {
        url: issuerUrl,
        audiences: [audience],
        jwks: JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "EdDSA", use: "sig" }] }),
        claimMappings: [{ claim: "groups", value: "sup", team: "teams/support" }],
      },
    });
    assert.deepEqual(
      (await admin.listIssuers().toArray()).map((i) => i.name),
      [issuer.name],
    );
    await admin.identity.createUser({ user: { issuer: issuer.name, subject: "ada", displayName: "Ada" } });

    const given: string[] = [];
    const ada = new SignalboxClient({
      baseUrl: gateway.url,
      apiKey: async () => {
        given.push(tokenOf(privateKey, "ada", 300));
        return given.at(-1)!;
      },
    });
    const agents = await eventually("the issuer is known", () =>
      ada
        .listAgents()
        .toArray()
        .catch((err: unknown) => {
          if (err instanceof UnauthenticatedError) return undefined;
          throw err;
        }),
    );
    assert.deepEqual(
      agents.map((a) => a.name),
      ["agents/helper"],
    );
    const before = given.length;
    const { messageId, body } = await say(ada, "I am Ada");
    assert.ok(body.result, JSON.stringify(body));
    assert.equal(given.length, before + 1);
    const event = await eventOf(messageId);
    assert.equal(event.caller, "users/idp~ada");
    assert.equal(event.team, "teams/support");

    const expired = new SignalboxClient({ baseUrl: gateway.url, apiKey: tokenOf(privateKey, "ada", -300) });
    await assert.rejects(
      expired.listAgents().toArray(),
      (err) => err instanceof UnauthenticatedError && err.reason === "TOKEN_EXPIRED",
    );

    const users = await admin.listUsers({ issuer: issuer.name }).toArray();
    assert.deepEqual(
      users.map((u) => [u.name, u.displayName, u.subject]),
      [["users/idp~ada", "Ada", "ada"]],
    );
    await admin.identity.disableUser({ name: "users/idp~ada" });
    const refused = await refusalOf("the user is refused", () => ada.listAgents().toArray());
    assert.ok(refused instanceof UnauthenticatedError);
    assert.equal(refused.reason, "USER_DISABLED");
    assert.equal((await admin.listUsers({ disabledOnly: true }).toArray()).length, 1);
  });
});
