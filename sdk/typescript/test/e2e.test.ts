import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  AbortedError,
  AlreadyExistsError,
  InvalidArgumentError,
  NotFoundError,
  Outcome,
  PermissionDeniedError,
  SignalboxClient,
  State,
  UnauthenticatedError,
  UnavailableError,
  Visibility,
} from "@signalbox/sdk";
import type { Event } from "@signalbox/sdk";
import type { Agent as EchoAgent, Gateway } from "./gateway.js";
import { adminKey, eventually, startEchoAgent, startGateway } from "./gateway.js";

// One gateway for all; the tests run in order and build on each other, as a user's first hour would.
describe("a gateway and its client", () => {
  let gateway: Gateway;
  let echo: EchoAgent;
  let admin: SignalboxClient;
  let client: SignalboxClient;

  before(async () => {
    echo = await startEchoAgent();
    gateway = await startGateway();
    admin = new SignalboxClient({ baseUrl: gateway.url, apiKey: adminKey });
  });
  after(async () => {
    await echo?.stop();
    await gateway?.stop();
  });

  /** Calls the agent and returns the id of the message, once the gateway knows agent and key. */
  async function call(text: string): Promise<string> {
    const messageId = `m-${crypto.randomUUID()}`;
    const body = await eventually("the agent is callable", async () => {
      const response = await client.fetchWithAuth(client.agentUrl("agents/echo"), {
        method: "POST",
        headers: { "content-type": "application/json", "A2A-Version": "1.0" },
        body: JSON.stringify({
          jsonrpc: "2.0",
          id: 1,
          method: "SendMessage",
          params: { message: { messageId, role: "ROLE_USER", parts: [{ text }] } },
        }),
      });
      return response.ok ? await response.json() : void (await response.text());
    });
    assert.deepEqual(body, {
      jsonrpc: "2.0",
      id: 1,
      result: { message: { messageId: "re-1", role: "ROLE_AGENT", parts: [{ text }] } },
    });
    return messageId;
  }

  test("a new key's secret is returned once and works", async () => {
    const team = await admin.identity.createTeam({ teamId: "research", team: { displayName: "Research" } });
    assert.equal(team.name, "teams/research");
    assert.equal(team.displayName, "Research");
    assert.notEqual(team.uid, "");

    const { key, secret } = await admin.identity.createKey({ parent: team.name, key: { displayName: "laptop" } });
    assert.match(secret, /^sb_/);
    assert.ok(key);
    assert.match(key.name, /^teams\/research\/keys\/[a-z0-9-]+$/);

    const keys = await admin.listKeys({ parent: team.name }).toArray();
    assert.deepEqual(
      keys.map((k) => k.name),
      [key.name],
    );
    assert.ok(!secret.slice(keys[0]!.secretHint.length).includes(keys[0]!.secretHint) && keys[0]!.secretHint !== secret);

    client = new SignalboxClient({ baseUrl: `${gateway.url}/`, apiKey: secret });
    const teams = await eventually("the new key is known", () =>
      client
        .listTeams()
        .toArray()
        .catch((err: unknown) => {
          if (err instanceof UnauthenticatedError) return undefined;
          throw err;
        }),
    );
    assert.deepEqual(
      teams.map((t) => t.name),
      ["teams/research"],
    );
  });

  test("an agent is created from an inline card", async () => {
    const agent = await client.registry.createAgent({
      agentId: "echo",
      agent: {
        team: "teams/research",
        displayName: "Echo",
        tags: ["first"],
        visibility: Visibility.TEAM,
        endpoints: [{ url: echo.url }],
        card: echo.card,
      },
    });
    assert.equal(agent.name, "agents/echo");
    assert.equal(agent.state, State.APPROVED);
    assert.deepEqual(
      agent.interfaces.map((i) => [i.binding, i.version]),
      [["JSONRPC", "1.0"]],
    );
    assert.deepEqual(agent.warnings, []);
    const again = client.registry.createAgent({ agentId: "echo", agent: { endpoints: [{ url: echo.url }] } });
    await assert.rejects(again, (err) => err instanceof AlreadyExistsError && err.reason === "AGENT_EXISTS");
  });

  test("lists are filtered and walked page by page", async () => {
    for (const id of ["alpha", "beta", "gamma"]) {
      await client.registry.createAgent({
        agentId: id,
        agent: { team: "teams/research", tags: ["greek"], endpoints: [{ url: echo.url }], card: echo.card },
      });
    }
    const greek = client.listAgents({ filter: 'tags:"greek"', pageSize: 2, orderBy: "name desc" });
    const sizes: number[] = [];
    for await (const page of greek.pages()) sizes.push(page.length);
    assert.deepEqual(sizes, [2, 1]);
    assert.deepEqual(
      (await greek.toArray()).map((a) => a.name),
      ["agents/gamma", "agents/beta", "agents/alpha"],
    );
    assert.deepEqual(
      (await greek.toArray(1)).map((a) => a.name),
      ["agents/gamma"],
    );
    const names = (await client.listAgents({ pageSize: 3 }).toArray()).map((a) => a.name);
    assert.deepEqual(names, ["agents/alpha", "agents/beta", "agents/echo", "agents/gamma"]);
    await assert.rejects(
      client.listAgents({ filter: "colour = red" }).toArray(),
      (err) => err instanceof InvalidArgumentError && err.reason === "INVALID_FILTER",
    );
  });

  test("an update changes what its mask names and refuses an old etag", async () => {
    const before = await client.registry.getAgent({ name: "agents/echo" });
    const updated = await client.registry.updateAgent({
      agent: { name: before.name, etag: before.etag, displayName: "Echo 2", tags: ["not-in-the-mask"] },
      updateMask: { paths: ["display_name"] },
    });
    assert.equal(updated.displayName, "Echo 2");
    assert.deepEqual(updated.tags, ["first"]);
    assert.notEqual(updated.etag, before.etag);

    const late = client.registry.updateAgent({
      agent: { name: before.name, etag: before.etag, displayName: "Echo 3" },
      updateMask: { paths: ["display_name"] },
    });
    await assert.rejects(late, (err) => {
      assert.ok(err instanceof AbortedError);
      assert.equal(err.code, "aborted");
      assert.equal(err.reason, "ETAG_MISMATCH");
      return true;
    });
  });

  test("refusals say why", async () => {
    await assert.rejects(
      client.registry.getAgent({ name: "agents/nobody" }),
      (err) => err instanceof NotFoundError && err.reason === "AGENT_NOT_FOUND",
    );
    await assert.rejects(
      client.registry.createAgent({ agentId: "Not A Name", agent: { endpoints: [{ url: "ftp://x" }] } }),
      (err) => {
        assert.ok(err instanceof InvalidArgumentError);
        assert.equal(err.reason, "INVALID_ARGUMENT");
        const broken = new Map(err.fieldViolations.map((v) => [v.field, v.rule]));
        assert.equal(broken.get("agent_id"), "string.pattern");
        assert.equal(broken.get("agent.endpoints[0].url"), "string.pattern");
        return true;
      },
    );
    const stranger = new SignalboxClient({ baseUrl: gateway.url, apiKey: `sb_${"x".repeat(43)}` });
    await assert.rejects(
      stranger.listAgents().toArray(),
      (err) => err instanceof UnauthenticatedError && err.reason === "CREDENTIALS_INVALID",
    );
    await assert.rejects(
      client.identity.createTeam({ teamId: "mine" }),
      (err) => err instanceof PermissionDeniedError && err.reason === "PERMISSION_DENIED",
    );
    const nowhere = new SignalboxClient({ baseUrl: "http://127.0.0.1:1", apiKey: "sb_x" });
    await assert.rejects(
      nowhere.listAgents().toArray(),
      (err) => err instanceof UnavailableError && err.reason === undefined,
    );
  });

  test("a call through the gateway leaves an event, and a tail sees the next one", async () => {
    const first = await call("hello");
    const recorded = await eventually("the event of the call", async () => {
      for await (const event of client.listEvents({ filter: 'agent = "agents/echo"', pageSize: 10 })) {
        if (event.messageId === first) return event;
      }
      return undefined;
    });
    assert.equal(recorded.outcome, Outcome.SUCCEEDED);
    assert.equal(recorded.method, "SendMessage");
    assert.equal(recorded.team, "teams/research");
    assert.deepEqual(await client.audit.getEvent({ name: recorded.name }), recorded);

    const deadline = AbortSignal.timeout(20_000);
    const tail = client.tailEvents(
      { filter: 'agent = "agents/echo"', afterSequence: recorded.sequence },
      { signal: deadline },
    );
    const next = (async (): Promise<Event | undefined> => {
      for await (const event of tail) {
        return event;
      }
      return undefined;
    })();
    const second = await call("again");
    const seen = await next;
    assert.equal(seen?.messageId, second);
    assert.ok(seen.sequence > recorded.sequence);
  });

  test("a tail that is aborted while it waits ends without an error", async () => {
    const stop = new AbortController();
    const tail = client.tailEvents({ filter: 'agent = "agents/alpha"' }, { signal: stop.signal });
    const first = tail.next();
    setTimeout(() => stop.abort(), 200);
    assert.deepEqual(await first, { done: true, value: undefined });
  });
});
