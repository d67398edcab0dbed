import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const startTimeoutMs = 60_000;
const stopTimeoutMs = 40_000;

export const adminKey = "sdk-test-admin-key-0123456789-0123456789";

/** A gateway process of its own, with a data directory of its own. */
export interface Gateway {
  url: string;
  stop(): Promise<void>;
}

export async function startGateway(): Promise<Gateway> {
  const bin = process.env["SIGNALBOX_BIN"] ?? fileURLToPath(new URL("../../../bin/signalbox", import.meta.url));
  const data = await mkdtemp(join(tmpdir(), "signalbox-sdk-"));
  const child = spawn(bin, ["serve", "--listen", "127.0.0.1:0", "--data-dir", data], {
    env: { ...process.env, SIGNALBOX_ADMIN_KEY: adminKey },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-20_000);
  });

  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await exited;
    clearTimeout(timer);
    await rm(data, { recursive: true, force: true });
  };

  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /^signalbox ready\s+(\S+)$/.exec(line)?.[1];
      if (url !== undefined) return url;
    }
    throw new Error(`${bin} ended before it was ready:\n${log}`);
  })();
  const timer = setTimeout(() => child.kill("SIGKILL"), startTimeoutMs);
  try {
    const url = await ready;
    child.stdout.resume();
    return { url, stop };
  } catch (err) {
    await stop();
    throw err;
  } finally {
    clearTimeout(timer);
  }
}

/** A JSON-RPC 1.0 agent that answers each message with its own text. */
export interface Agent {
  url: string;
  card: { [key: string]: CardValue };
  stop(): Promise<void>;
}

type CardValue = string | boolean | CardValue[] | { [key: string]: CardValue };

export async function startEchoAgent(): Promise<Agent> {
  const server = createServer(async (req, res) => {
    let body = "";
    for await (const chunk of req.setEncoding("utf8")) body += chunk;
    const { id, params } = JSON.parse(body) as { id: unknown; params: { message: { parts: unknown[] } } };
    const message = { messageId: `re-${id}`, role: "ROLE_AGENT", parts: params.message.parts };
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ jsonrpc: "2.0", id, result: { message } }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    card: {
      name: "Echo",
      description: "Says what it hears.",
      version: "1.0.0",
      supportedInterfaces: [{ url: `${url}/rpc`, protocolBinding: "JSONRPC", protocolVersion: "1.0" }],
      capabilities: { streaming: false, pushNotifications: false },
      defaultInputModes: ["text/plain"],
      defaultOutputModes: ["text/plain"],
      skills: [{ id: "echo", name: "Echo", description: "Repeats the text.", tags: ["test"] }],
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Asks until the answer is not undefined: another process needs a moment for some things. */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined>, timeoutMs = 15_000): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
