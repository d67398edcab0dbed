/**
 * Client of the Signalbox agent gateway.
 *
 * The messages of each service are exported by `@signalbox/sdk/registry/v1`,
 * `/identity/v1`, `/audit/v1`, `/task/v1` and `/policy/v1`; the ones that most programs name are here too.
 */
export { SignalboxClient } from "./client.js";
export type { ClientOptions, ReplayOptions, TailOptions } from "./client.js";
export {
  AbortedError,
  AlreadyExistsError,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
  ResourceExhaustedError,
  SignalboxError,
  UnauthenticatedError,
  UnavailableError,
} from "./errors.js";
export type { ErrorCode, FieldViolation, Reason } from "./errors.js";
export { Pager } from "./pager.js";
export { PolicyReplay } from "./replay.js";

export { CardShape, CardSource, CardVerificationState, PushMode, State, Visibility } from "./gen/signalbox/registry/v1/agent_pb.js";
export type { Agent, CardVerification, Endpoint, Interface, Route } from "./gen/signalbox/registry/v1/agent_pb.js";
export type { ClaimMapping, Issuer } from "./gen/signalbox/identity/v1/issuer_pb.js";
export type { Key } from "./gen/signalbox/identity/v1/key_pb.js";
export type { RoleHolder, RoleMember } from "./gen/signalbox/identity/v1/role_pb.js";
export { Mode } from "./gen/signalbox/policy/v1/policy_pb.js";
export type { Policy, PolicyMistake, PolicyVersion } from "./gen/signalbox/policy/v1/policy_pb.js";
export type { Grant } from "./gen/signalbox/policy/v1/grant_pb.js";
export type { Explanation } from "./gen/signalbox/policy/v1/decision_pb.js";
export type { Replay, ReplayProgress } from "./gen/signalbox/policy/v1/replay_pb.js";
export type { Team } from "./gen/signalbox/identity/v1/team_pb.js";
export type { User } from "./gen/signalbox/identity/v1/user_pb.js";
export { Outcome } from "./gen/signalbox/audit/v1/event_pb.js";
export type { CallError, Decision, Event } from "./gen/signalbox/audit/v1/event_pb.js";
