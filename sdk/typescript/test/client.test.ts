import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Pager, ResourceExhaustedError, SignalboxClient, SignalboxError, UnavailableError } from "@signalbox/sdk";

/** A client whose requests are answered by `answer`; no request leaves the process. */
function clientWith(answer: (request: Request) => Response | Promise<Response>): SignalboxClient {
  return new SignalboxClient({
    baseUrl: "https://gateway.example/prefix/",
    apiKey: "sb_secret",
    fetch: async (input, init) => answer(new Request(input, init)),
  });
}

function refusal(status: number, body: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
}

/** One length-delimited protobuf field. */
function field(number: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return Uint8Array.of((number << 3) | 2, bytes.length, ...bytes);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((p) => [...p]));
}

function detail(type: string, value: Uint8Array): object {
  return { type, value: Buffer.from(value).toString("base64").replace(/=+$/, "") };
}

function errorInfo(reason: string, domain: string, metadata: Record<string, string> = {}): object {
  const entries = Object.entries(metadata).map(([k, v]) => field(3, join(field(1, k), field(2, v))));
  return detail("google.rpc.ErrorInfo", join(field(1, reason), field(2, domain), ...entries));
}

async function thrownBy(promise: Promise<unknown>): Promise<SignalboxError> {
  try {
    await promise;
  } catch (err) {
    assert.ok(err instanceof SignalboxError, `not a SignalboxError: ${String(err)}`);
    return err;
  }
  assert.fail("nothing was thrown");
}

describe("errors", () => {
  test("carry reason, metadata and the time to wait", async () => {
    const client = clientWith(() =>
      refusal(429, {
        code: "resource_exhausted",
        message: "no room",
        details: [errorInfo("RECORD_UNAVAILABLE", "signalbox.dev", { retry_after_s: "2.5", limit: "90 %" })],
      }),
    );
    const err = await thrownBy(client.registry.getAgent({ name: "agents/a" }));
    assert.ok(err instanceof ResourceExhaustedError);
    assert.equal(err.message, "no room");
    assert.equal(err.reason, "RECORD_UNAVAILABLE");
    assert.deepEqual(err.metadata, { retry_after_s: "2.5", limit: "90 %" });
    assert.equal(err.retryAfterSeconds, 2.5);
  });

  test("take the time to wait from the header where the details have none", async () => {
    const client = clientWith(() => refusal(503, { code: "unavailable", message: "later" }, { "retry-after": "7" }));
    const err = await thrownBy(client.listAgents().toArray());
    assert.ok(err instanceof UnavailableError);
    assert.equal(err.retryAfterSeconds, 7);
  });

  test("ignore reasons of other domains and details that do not parse", async () => {
    const client = clientWith(() =>
      refusal(400, {
        code: "invalid_argument",
        message: "bad",
        details: [
          errorInfo("ELSEWHERE", "example.com"),
          detail("google.rpc.ErrorInfo", Uint8Array.of(0x0a, 0xff)),
          detail("buf.validate.Violations", Uint8Array.of(0x0a, 0xff)),
          detail("signalbox.policy.v1.PolicyMistakes", Uint8Array.of(0x0a, 0xff)),
        ],
      }),
    );
    const err = await thrownBy(client.registry.getAgent({ name: "agents/a" }));
    assert.equal(err.code, "invalid_argument");
    assert.equal(err.reason, undefined);
    assert.deepEqual(err.fieldViolations, []);
    assert.deepEqual(err.policyMistakes, []);
  });

  test("come from something that is no gateway too", async () => {
    const client = clientWith(() => new Response("<html>bad gateway</html>", { status: 502 }));
    assert.equal((await thrownBy(client.listAgents().toArray())).code, "unavailable");
  });

  test("say that a call took too long", async () => {
    const client = new SignalboxClient({
      baseUrl: "https://gateway.example",
      apiKey: "sb_secret",
      timeoutMs: 20,
      fetch: (_input, init) =>
        new Promise((_resolve, reject) => {
          init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
        }),
    });
    assert.equal((await thrownBy(client.listAgents().toArray())).code, "deadline_exceeded");
  });
});

describe("the key", () => {
  test("goes with every call below the base URL", async () => {
    const seen: string[] = [];
    const client = clientWith((request) => {
      seen.push(`${request.url} ${request.headers.get("authorization")}`);
      return new Response(new Uint8Array(), { headers: { "content-type": "application/proto" } });
    });
    await client.registry.getAgent({ name: "agents/a" });
    await client.fetchWithAuth(client.agentUrl("agents/a b"), { method: "POST", body: "{}" });
    assert.deepEqual(seen, [
      "https://gateway.example/prefix/signalbox.registry.v1.RegistryService/GetAgent Bearer sb_secret",
      "https://gateway.example/prefix/a2a/a%20b Bearer sb_secret",
    ]);
  });

  test("is asked of a function at each call", async () => {
    const seen: (string | null)[] = [];
    let asked = 0;
    const client = new SignalboxClient({
      baseUrl: "https://gateway.example/prefix/",
      apiKey: async () => `token-${++asked}`,
      fetch: async (input, init) => {
        const request = new Request(input, init);
        seen.push(request.headers.get("authorization"));
        return new Response(new Uint8Array(), { headers: { "content-type": "application/proto" } });
      },
    });
    await client.registry.getAgent({ name: "agents/a" });
    await client.registry.getAgent({ name: "agents/a" }, { headers: { authorization: "Bearer own" } });
    await client.tailEvents().next().catch(() => undefined);
    await client.fetchWithAuth(client.agentUrl("a"));
    await client.fetchWithAuth("https://agent.example/");
    assert.deepEqual(seen, ["Bearer token-1", "Bearer own", "Bearer token-2", "Bearer token-3", null]);
    assert.equal(asked, 3);
  });

  for (const [name, apiKey, message] of [
    ["throws", () => Promise.reject(new TypeError("no token today")), /^no token today$/],
    ["returns nothing", () => "", /apiKey must be a key or a token/],
    ["returns what no header may hold", () => "a\nb", /header/i],
  ] as const) {
    test(`is not blamed on the gateway when its function ${name}`, async () => {
      const client = new SignalboxClient({
        baseUrl: "https://gateway.example",
        apiKey,
        fetch: () => assert.fail("a request was made"),
      });
      const failure = { name: "TypeError", message };
      await assert.rejects(client.registry.getAgent({ name: "agents/a" }), failure);
      await assert.rejects(client.tailEvents().next(), failure);
      await assert.rejects(client.fetchWithAuth(client.agentUrl("a")), failure);
    });
  }

  for (const url of [
    "https://agent.example/prefix/",
    "http://gateway.example/prefix/a2a/x",
    "https://gateway.example:8443/prefix/a2a/x",
    "https://gateway.example.evil.example/prefix/",
    "https://gateway.example/prefixed",
    "https://gateway.example/prefix/../other",
  ]) {
    test(`does not go to ${url}`, async () => {
      const client = clientWith((request) => new Response(request.headers.get("authorization") ?? "none"));
      assert.equal(await (await client.fetchWithAuth(url)).text(), "none");
    });
  }
});

describe("settings that cannot work", () => {
  for (const [name, options] of Object.entries({
    "no URL": { baseUrl: "gateway", apiKey: "sb_x" },
    "another scheme": { baseUrl: "ftp://gateway.example", apiKey: "sb_x" },
    "a query": { baseUrl: "http://gateway.example/?a=b", apiKey: "sb_x" },
    "no key": { baseUrl: "http://gateway.example", apiKey: "" },
    "a key with a line end": { baseUrl: "http://gateway.example", apiKey: "sb_\nx" },
  })) {
    test(`are refused at once: ${name}`, () => {
      assert.throws(() => new SignalboxClient(options), TypeError);
    });
  }
});

describe("a tail", () => {
  test("passes over responses without an event", async () => {
    const envelope = (flags: number, body: Uint8Array) => join(Uint8Array.of(flags, 0, 0, 0, body.length), body);
    const event = field(1, field(1, "events/e"));
    const none = new Uint8Array();
    const body = join(envelope(0, none), envelope(0, event), envelope(0, none), envelope(2, new TextEncoder().encode("{}")));
    const client = clientWith(() => new Response(body.slice(), { headers: { "content-type": "application/connect+proto" } }));
    const names: string[] = [];
    for await (const { name } of client.tailEvents()) names.push(name);
    assert.deepEqual(names, ["events/e"]);
  });
});

describe("a replay", () => {
  const envelope = (flags: number, body: Uint8Array) => join(Uint8Array.of(flags, 0, 0, 0, body.length), body);
  const client = (...messages: Uint8Array[]) =>
    clientWith(() => {
      const body = join(...messages.map((m) => envelope(0, m)), envelope(2, new TextEncoder().encode("{}")));
      return new Response(body.slice(), { headers: { "content-type": "application/connect+proto" } });
    });
  const progress = (replayed: number) => field(1, Uint8Array.of(0x08, replayed));
  const result = field(2, field(1, "replays/r"));

  test("passes over steps that it does not know", async () => {
    const replay = client(progress(1), new Uint8Array(), field(9, "x"), progress(2), result).replayPolicy();
    const seen: bigint[] = [];
    for await (const { replayed } of replay) seen.push(replayed);
    assert.deepEqual(seen, [1n, 2n]);
    assert.equal((await replay.report()).name, "replays/r");
    assert.equal((await replay.report()).name, "replays/r");
  });

  test("that is left ends its request, and has no report", async () => {
    let request: Request | undefined;
    const replay = clientWith((asked) => {
      request = asked;
      const body = new ReadableStream({ start: (c) => c.enqueue(envelope(0, progress(1))) });
      return new Response(body, { headers: { "content-type": "application/connect+proto" } });
    }).replayPolicy();
    for await (const { replayed } of replay) {
      assert.equal(replayed, 1n);
      assert.equal(request?.signal.aborted, false);
      break;
    }
    assert.equal(request?.signal.aborted, true);
    assert.equal((await thrownBy(replay.report())).code, "data_loss");
  });

  test("without a report is an error", async () => {
    assert.equal((await thrownBy(client(progress(1)).replayPolicy().report())).code, "data_loss");
  });
});

describe("a pager", () => {
  test("asks for a page only when it is needed, and passes over empty ones", async () => {
    const asked: string[] = [];
    const pages: Record<string, { items: number[]; nextPageToken: string }> = {
      "": { items: [1, 2], nextPageToken: "a" },
      a: { items: [], nextPageToken: "b" },
      b: { items: [3], nextPageToken: "" },
    };
    const pager = new Pager(async (token) => {
      asked.push(token);
      return pages[token]!;
    });
    assert.deepEqual(await pager.toArray(2), [1, 2]);
    assert.deepEqual(asked, [""]);
    assert.deepEqual(await pager.toArray(), [1, 2, 3]);
    assert.deepEqual(asked, ["", "", "a", "b"]);
  });
});
