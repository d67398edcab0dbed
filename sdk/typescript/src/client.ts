import type { DescMessage, DescMethodStreaming, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions, Client, ContextValues, StreamResponse, Transport } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { toSignalboxError } from "./errors.js";
import type {
  ListEventsRequestSchema,
  TailEventsRequestSchema,
} from "./gen/signalbox/audit/v1/audit_service_pb.js";
import { AuditService } from "./gen/signalbox/audit/v1/audit_service_pb.js";
import type { Event } from "./gen/signalbox/audit/v1/event_pb.js";
import type {
  ListIssuersRequestSchema,
  ListKeysRequestSchema,
  ListRoleMembersRequestSchema,
  ListTeamsRequestSchema,
  ListUsersRequestSchema,
} from "./gen/signalbox/identity/v1/identity_service_pb.js";
import { IdentityService } from "./gen/signalbox/identity/v1/identity_service_pb.js";
import type { Issuer } from "./gen/signalbox/identity/v1/issuer_pb.js";
import type { Key } from "./gen/signalbox/identity/v1/key_pb.js";
import type { RoleMember } from "./gen/signalbox/identity/v1/role_pb.js";
import type { Team } from "./gen/signalbox/identity/v1/team_pb.js";
import type { User } from "./gen/signalbox/identity/v1/user_pb.js";
import type { Grant } from "./gen/signalbox/policy/v1/grant_pb.js";
import type { Policy, PolicyVersion } from "./gen/signalbox/policy/v1/policy_pb.js";
import type {
  ListGrantsRequestSchema,
  ListPoliciesRequestSchema,
  ListPolicyVersionsRequestSchema,
  ReplayPolicyRequestSchema,
} from "./gen/signalbox/policy/v1/policy_service_pb.js";
import { PolicyService } from "./gen/signalbox/policy/v1/policy_service_pb.js";
import type { Agent } from "./gen/signalbox/registry/v1/agent_pb.js";
import type { ListAgentsRequestSchema } from "./gen/signalbox/registry/v1/registry_service_pb.js";
import { RegistryService } from "./gen/signalbox/registry/v1/registry_service_pb.js";
import { TaskService } from "./gen/signalbox/task/v1/task_service_pb.js";
import { Pager } from "./pager.js";
import { PolicyReplay } from "./replay.js";

/** Settings of a {@link SignalboxClient}. */
export interface ClientOptions {
  /** Address of the gateway, for example `http://127.0.0.1:8080`. */
  baseUrl: string;
  /**
   * API key, `sb_…`, the admin key, or a token (JWT) of an issuer that the gateway
   * believes. Tokens expire: a function is asked for one at each call, and should answer
   * from memory while its token is good. What it throws, the call throws.
   */
  apiKey: string | (() => string | Promise<string>);
  /** Used instead of the global `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Bound of a call, 30 000 by default; 0 means none. Streams have none. */
  timeoutMs?: number;
  /**
   * Used for the management calls instead of Connect over `fetch`, for example one
   * of `@connectrpc/connect-node`. The key is added to its requests.
   */
  transport?: Transport;
}

/** Settings of {@link SignalboxClient.tailEvents}. */
export interface TailOptions {
  /** Ends the tail. */
  signal?: AbortSignal;
}

/** Settings of {@link SignalboxClient.replayPolicy}. */
export interface ReplayOptions {
  /** Ends the replay. */
  signal?: AbortSignal;
}

const defaultTimeoutMs = 30_000;

/**
 * SignalboxClient is the way to one gateway with one key or token. `registry`, `identity`,
 * `audit`, `tasks` and `policy` have a method per call of the management plane; the
 * other methods walk lists, follow events and replays, and point an A2A client at an
 * agent.
 *
 * Every failed call throws a {@link SignalboxError}.
 */
export class SignalboxClient {
  /** Address of the gateway, without a slash at its end. */
  readonly baseUrl: string;
  /** The catalogue of agents. */
  readonly registry: Client<typeof RegistryService>;
  /** Who may call and what they hold: teams, keys, users, issuers of tokens, and roles. */
  readonly identity: Client<typeof IdentityService>;
  /** The record of calls. */
  readonly audit: Client<typeof AuditService>;
  /** Whose tasks and contexts are. */
  readonly tasks: Client<typeof TaskService>;
  /** Who may do what: policies and grants. */
  readonly policy: Client<typeof PolicyService>;
  /**
   * `fetch` with the key added to requests to this gateway, and to no other
   * address: a card may name one. For A2A client libraries that take a `fetch`.
   */
  readonly fetchWithAuth: typeof globalThis.fetch;

  constructor(options: ClientOptions) {
    this.baseUrl = checkedBaseUrl(options.baseUrl);
    // Looked up at each call, so that a later replacement of the global one counts.
    const fetch: typeof globalThis.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    const authorization = authorizationOf(options.apiKey);
    const transport = withKey(
      // Binary, so that fields which an older gateway or SDK does not know are no error.
      options.transport ?? createConnectTransport({ baseUrl: this.baseUrl, useBinaryFormat: true, fetch }),
      authorization,
      options.timeoutMs ?? defaultTimeoutMs,
    );
    this.registry = createClient(RegistryService, transport);
    this.identity = createClient(IdentityService, transport);
    this.audit = createClient(AuditService, transport);
    this.tasks = createClient(TaskService, transport);
    this.policy = createClient(PolicyService, transport);
    this.fetchWithAuth = async (input, init) => {
      const request = new Request(input, init);
      if (isBelow(request.url, this.baseUrl)) request.headers.set("Authorization", await authorization());
      return fetch(request);
    };
  }

  /** Base URL of an agent for A2A clients; takes `echo` and `agents/echo` alike. */
  agentUrl(agent: string): string {
    return `${this.baseUrl}/a2a/${encodeURIComponent(agent.replace(/^agents\//, ""))}`;
  }

  /** All agents that match. */
  listAgents(request: MessageInitShape<typeof ListAgentsRequestSchema> = {}, options?: CallOptions): Pager<Agent> {
    return new Pager(async (pageToken) => {
      const page = await this.registry.listAgents({ ...request, pageToken }, options);
      return { items: page.agents, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All teams that this key may see. */
  listTeams(request: MessageInitShape<typeof ListTeamsRequestSchema> = {}, options?: CallOptions): Pager<Team> {
    return new Pager(async (pageToken) => {
      const page = await this.identity.listTeams({ ...request, pageToken }, options);
      return { items: page.teams, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All keys of the team `request.parent`. */
  listKeys(request: MessageInitShape<typeof ListKeysRequestSchema>, options?: CallOptions): Pager<Key> {
    return new Pager(async (pageToken) => {
      const page = await this.identity.listKeys({ ...request, pageToken }, options);
      return { items: page.keys, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All users that were made or have called, and match. */
  listUsers(request: MessageInitShape<typeof ListUsersRequestSchema> = {}, options?: CallOptions): Pager<User> {
    return new Pager(async (pageToken) => {
      const page = await this.identity.listUsers({ ...request, pageToken }, options);
      return { items: page.users, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All issuers of tokens. */
  listIssuers(request: MessageInitShape<typeof ListIssuersRequestSchema> = {}, options?: CallOptions): Pager<Issuer> {
    return new Pager(async (pageToken) => {
      const page = await this.identity.listIssuers({ ...request, pageToken }, options);
      return { items: page.issuers, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** Who holds the role `request.parent`; every role without it. */
  listRoleMembers(
    request: MessageInitShape<typeof ListRoleMembersRequestSchema> = {},
    options?: CallOptions,
  ): Pager<RoleMember> {
    return new Pager(async (pageToken) => {
      const page = await this.identity.listRoleMembers({ parent: "-", ...request, pageToken }, options);
      return { items: page.members, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All policies, those that come with the gateway too. */
  listPolicies(request: MessageInitShape<typeof ListPoliciesRequestSchema> = {}, options?: CallOptions): Pager<Policy> {
    return new Pager(async (pageToken) => {
      const page = await this.policy.listPolicies({ ...request, pageToken }, options);
      return { items: page.policies, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All versions of the policy `request.parent`, the newest first. */
  listPolicyVersions(
    request: MessageInitShape<typeof ListPolicyVersionsRequestSchema>,
    options?: CallOptions,
  ): Pager<PolicyVersion> {
    return new Pager(async (pageToken) => {
      const page = await this.policy.listPolicyVersions({ ...request, pageToken }, options);
      return { items: page.versions, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All grants that match. */
  listGrants(request: MessageInitShape<typeof ListGrantsRequestSchema> = {}, options?: CallOptions): Pager<Grant> {
    return new Pager(async (pageToken) => {
      const page = await this.policy.listGrants({ ...request, pageToken }, options);
      return { items: page.grants, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /** All events that match, the newest first. */
  listEvents(request: MessageInitShape<typeof ListEventsRequestSchema> = {}, options?: CallOptions): Pager<Event> {
    return new Pager(async (pageToken) => {
      const page = await this.audit.listEvents({ ...request, pageToken }, options);
      return { items: page.events, nextPageToken: page.nextPageToken };
    }, request.pageToken);
  }

  /**
   * Events as they reach the gateway's database, until the loop is left, the signal
   * aborts, or the gateway ends the stream. To go on after a break without a gap, pass
   * the `sequence` of the last event as `afterSequence`.
   */
  async *tailEvents(
    request: MessageInitShape<typeof TailEventsRequestSchema> = {},
    options: TailOptions = {},
  ): AsyncGenerator<Event, void, undefined> {
    try {
      for await (const { event } of leaving((signal) => this.audit.tailEvents(request, { signal }), options.signal)) {
        if (event) yield event;
      }
    } catch (err) {
      if (!options.signal?.aborted) throw err;
    }
  }

  /** Replays recorded decisions with the draft, or with the policies as they are now. */
  replayPolicy(
    request: MessageInitShape<typeof ReplayPolicyRequestSchema> = {},
    options: ReplayOptions = {},
  ): PolicyReplay {
    return new PolicyReplay(leaving((signal) => this.policy.replayPolicy(request, { signal }), options.signal));
  }
}

/** leaving reads a stream whose request ends with the loop over it, or with outer. */
async function* leaving<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  outer: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  // Connect's iterable goes on reading after a `break`: only a signal ends its request.
  const left = new AbortController();
  try {
    yield* open(outer ? AbortSignal.any([outer, left.signal]) : left.signal);
  } finally {
    left.abort();
  }
}

/** authorizationOf makes the header of a call. What can be refused at once is. */
function authorizationOf(apiKey: ClientOptions["apiKey"]): () => string | Promise<string> {
  if (typeof apiKey !== "function") {
    const fixed = bearer(apiKey);
    return () => fixed;
  }
  return async () => bearer(await apiKey());
}

function bearer(key: string): string {
  if (typeof key !== "string" || key === "") throw new TypeError("SignalboxClient: apiKey must be a key or a token");
  const authorization = `Bearer ${key}`;
  new Headers({ authorization }); // throws when the key holds what no header may
  return authorization;
}

function checkedBaseUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`SignalboxClient: baseUrl is not a URL: ${JSON.stringify(text)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`SignalboxClient: baseUrl must be http or https, not ${url.protocol.slice(0, -1)}`);
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw new TypeError("SignalboxClient: baseUrl must have no user, query or fragment");
  }
  return url.href.replace(/\/+$/, "");
}

/** Both were parsed, so that dots, default ports and letter case are already gone. */
function isBelow(url: string, baseUrl: string): boolean {
  return url === baseUrl || url.startsWith(`${baseUrl}/`) || url.startsWith(`${baseUrl}?`);
}

/** withKey adds key or token, default bound and typed errors to any transport. */
function withKey(inner: Transport, authorization: () => string | Promise<string>, timeoutMs: number): Transport {
  const headers = async (given: HeadersInit | undefined): Promise<Headers> => {
    const h = new Headers(given);
    if (!h.has("Authorization")) h.set("Authorization", await authorization());
    return h;
  };
  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeout: number | undefined,
      header: HeadersInit | undefined,
      input: MessageInitShape<I>,
      contextValues?: ContextValues,
    ) {
      // Outside: no gateway had a part in it when there is no key.
      const withAuth = await headers(header);
      try {
        // A timeout of 0 or less means none to the transport.
        return await inner.unary(method, signal, timeout ?? timeoutMs, withAuth, input, contextValues);
      } catch (err) {
        throw toSignalboxError(err);
      }
    },
    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeout: number | undefined,
      header: HeadersInit | undefined,
      input: AsyncIterable<MessageInitShape<I>>,
      contextValues?: ContextValues,
    ): Promise<StreamResponse<I, O>> {
      const withAuth = await headers(header);
      try {
        const response = await inner.stream(method, signal, timeout, withAuth, input, contextValues);
        return { ...response, message: typed(response.message) };
      } catch (err) {
        throw toSignalboxError(err);
      }
    },
  };
}

async function* typed<T>(messages: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* messages;
  } catch (err) {
    throw toSignalboxError(err);
  }
}
