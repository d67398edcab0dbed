import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import type { FieldPath, Violation } from "./gen/buf/validate/validate_pb.js";
import { ViolationsSchema } from "./gen/buf/validate/validate_pb.js";
import type { Reason as ReasonEnum } from "./gen/signalbox/error/v1/reason_pb.js";
import type { PolicyMistake } from "./gen/signalbox/policy/v1/policy_pb.js";
import { PolicyMistakesSchema } from "./gen/signalbox/policy/v1/policy_pb.js";

/** Kind of an error, as the Connect protocol spells it. */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** Why the gateway refused: a name of `signalbox.error.v1.Reason` without its prefix. */
export type Reason = Exclude<keyof typeof ReasonEnum, "UNSPECIFIED">;

/** One rule of the schema that a request breaks. */
export interface FieldViolation {
  /** Path of the field, for example `agent.endpoints[0].url`; empty for the whole message. */
  field: string;
  /** Id of the rule, for example `string.pattern`. */
  rule: string;
  /** What is wrong, for people. */
  message: string;
}

interface ErrorInit {
  message: string;
  code: ErrorCode;
  reason: Reason | undefined;
  metadata: Readonly<Record<string, string>>;
  fieldViolations: readonly FieldViolation[];
  policyMistakes: readonly PolicyMistake[];
  retryAfterSeconds: number | undefined;
  cause: unknown;
}

/**
 * SignalboxError is what every failed call throws. `code` is its kind, `reason`
 * says why, and each usual kind has a subclass to test with `instanceof`.
 */
export class SignalboxError extends Error {
  override readonly name: string = "SignalboxError";
  /** Kind of the error. */
  readonly code: ErrorCode;
  /**
   * Why the gateway refused. Absent when the error did not come from a gateway; a
   * gateway newer than this SDK may send one that the type does not list.
   */
  readonly reason: Reason | undefined;
  /** Values that belong to the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The rules that the request breaks; empty unless the reason is INVALID_ARGUMENT. */
  readonly fieldViolations: readonly FieldViolation[];
  /** What is wrong with a policy, and where; empty unless the reason is POLICY_INVALID. */
  readonly policyMistakes: readonly PolicyMistake[];
  /** When to try again, where the gateway said so. */
  readonly retryAfterSeconds: number | undefined;

  /** @internal */
  constructor(init: ErrorInit) {
    super(init.message, { cause: init.cause });
    this.code = init.code;
    this.reason = init.reason;
    this.metadata = init.metadata;
    this.fieldViolations = init.fieldViolations;
    this.policyMistakes = init.policyMistakes;
    this.retryAfterSeconds = init.retryAfterSeconds;
  }
}

/** The request breaks a rule, as `fieldViolations` or `policyMistakes` say. */
export class InvalidArgumentError extends SignalboxError {
  override readonly name = "InvalidArgumentError";
}

/** The key or token is missing, not valid, expired, or of somebody who is disabled. */
export class UnauthenticatedError extends SignalboxError {
  override readonly name = "UnauthenticatedError";
}

/** The caller is known but may not do this; `metadata.decision` names the decision, for `policy.getDecision`. */
export class PermissionDeniedError extends SignalboxError {
  override readonly name = "PermissionDeniedError";
}

/** The thing does not exist, or the caller may not see it. */
export class NotFoundError extends SignalboxError {
  override readonly name = "NotFoundError";
}

/** The name is taken. */
export class AlreadyExistsError extends SignalboxError {
  override readonly name = "AlreadyExistsError";
}

/** The thing changed meanwhile: read it again, then repeat the change. */
export class AbortedError extends SignalboxError {
  override readonly name = "AbortedError";
}

/** The state of things does not allow this, for example a team that still owns agents. */
export class FailedPreconditionError extends SignalboxError {
  override readonly name = "FailedPreconditionError";
}

/** A bound is reached; `retryAfterSeconds` says when it resets, where that is known. */
export class ResourceExhaustedError extends SignalboxError {
  override readonly name = "ResourceExhaustedError";
}

/** The gateway cannot be reached, or cannot answer now. Trying again may help. */
export class UnavailableError extends SignalboxError {
  override readonly name = "UnavailableError";
}

/** toSignalboxError makes the typed error of whatever a transport threw. */
export function toSignalboxError(thrown: unknown): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown;
  const err = ConnectError.from(thrown);
  // fetch reports a connection that failed or broke as a TypeError, and only that.
  const lost = err.cause instanceof TypeError ? err.cause : undefined;
  const info = errorInfo(err);
  const init: ErrorInit = {
    message: lost ? `gateway unreachable: ${causeText(lost)}` : err.rawMessage,
    code: lost ? "unavailable" : codeNames[err.code],
    // Names that this SDK does not know yet are passed on as they are.
    reason: info?.reason as Reason | undefined,
    metadata: info?.metadata ?? {},
    fieldViolations: violations(err),
    policyMistakes: mistakes(err),
    retryAfterSeconds: retryAfter(info?.metadata, err.metadata),
    cause: thrown,
  };
  switch (init.code) {
    case "invalid_argument":
      return new InvalidArgumentError(init);
    case "unauthenticated":
      return new UnauthenticatedError(init);
    case "permission_denied":
      return new PermissionDeniedError(init);
    case "not_found":
      return new NotFoundError(init);
    case "already_exists":
      return new AlreadyExistsError(init);
    case "aborted":
      return new AbortedError(init);
    case "failed_precondition":
      return new FailedPreconditionError(init);
    case "resource_exhausted":
      return new ResourceExhaustedError(init);
    case "unavailable":
      return new UnavailableError(init);
    default:
      return new SignalboxError(init);
  }
}

const codeNames: Readonly<Record<Code, ErrorCode>> = {
  [Code.Canceled]: "canceled",
  [Code.Unknown]: "unknown",
  [Code.InvalidArgument]: "invalid_argument",
  [Code.DeadlineExceeded]: "deadline_exceeded",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "already_exists",
  [Code.PermissionDenied]: "permission_denied",
  [Code.ResourceExhausted]: "resource_exhausted",
  [Code.FailedPrecondition]: "failed_precondition",
  [Code.Aborted]: "aborted",
  [Code.OutOfRange]: "out_of_range",
  [Code.Unimplemented]: "unimplemented",
  [Code.Internal]: "internal",
  [Code.Unavailable]: "unavailable",
  [Code.DataLoss]: "data_loss",
  [Code.Unauthenticated]: "unauthenticated",
};

interface ErrorInfo {
  reason: string;
  domain: string;
  metadata: Record<string, string>;
}

function errorInfo(err: ConnectError): ErrorInfo | undefined {
  for (const value of details(err, "google.rpc.ErrorInfo")) {
    try {
      const info = readErrorInfo(value);
      if (info.domain === "signalbox.dev") return info;
    } catch {
      // A detail that does not parse must not hide the error that carries it.
    }
  }
  return undefined;
}

/** Decoded by hand: three fields are not worth a dependency on all of google.rpc. */
function readErrorInfo(bytes: Uint8Array): ErrorInfo {
  const info: ErrorInfo = { reason: "", domain: "", metadata: {} };
  const r = new BinaryReader(bytes);
  while (r.pos < r.len) {
    const [field, wireType] = r.tag();
    switch (field) {
      case 1:
        info.reason = r.string();
        break;
      case 2:
        info.domain = r.string();
        break;
      case 3: {
        const [key, value] = readMapEntry(r.bytes());
        info.metadata[key] = value;
        break;
      }
      default:
        r.skip(wireType, field);
    }
  }
  return info;
}

function readMapEntry(bytes: Uint8Array): [key: string, value: string] {
  let key = "";
  let value = "";
  const r = new BinaryReader(bytes);
  while (r.pos < r.len) {
    const [field, wireType] = r.tag();
    if (field === 1) key = r.string();
    else if (field === 2) value = r.string();
    else r.skip(wireType, field);
  }
  return [key, value];
}

function violations(err: ConnectError): FieldViolation[] {
  return details(err, "buf.validate.Violations").flatMap((value) => {
    try {
      return fromBinary(ViolationsSchema, value).violations.map(toFieldViolation);
    } catch {
      return [];
    }
  });
}

function mistakes(err: ConnectError): PolicyMistake[] {
  return details(err, PolicyMistakesSchema.typeName).flatMap((value) => {
    try {
      return fromBinary(PolicyMistakesSchema, value).mistakes;
    } catch {
      return [];
    }
  });
}

function toFieldViolation(v: Violation): FieldViolation {
  return { field: v.field ? pathText(v.field) : "", rule: v.ruleId, message: v.message };
}

function pathText(path: FieldPath): string {
  return path.elements
    .map(({ fieldName, subscript }) => {
      if (subscript.case === undefined) return fieldName;
      const value = typeof subscript.value === "string" ? JSON.stringify(subscript.value) : String(subscript.value);
      return `${fieldName}[${value}]`;
    })
    .join(".");
}

function details(err: ConnectError, type: string): Uint8Array[] {
  return err.details.flatMap((d) => ("type" in d && d.type === type ? [d.value] : []));
}

function retryAfter(metadata: Record<string, string> | undefined, headers: Headers): number | undefined {
  const text = metadata?.["retry_after_s"] ?? headers.get("retry-after");
  // The other form of Retry-After, a date, is never sent by a gateway.
  return text && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

function causeText(cause: TypeError): string {
  // Node puts the text that helps ("connect ECONNREFUSED …") one level deeper.
  return cause.cause instanceof Error && cause.cause.message !== "" ? cause.cause.message : cause.message;
}
