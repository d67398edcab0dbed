"""The errors that calls raise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from ._gen.buf.validate.validate_pb import FieldPath, Violations
from ._gen.signalbox.policy.v1.policy_pb import PolicyMistake, PolicyMistakes

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "ErrorCode",
    "FailedPreconditionError",
    "FieldViolation",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "SignalboxError",
    "UnauthenticatedError",
    "UnavailableError",
]

ErrorCode = Literal[
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
]
"""Kind of an error, as the Connect protocol spells it."""

_DOMAIN = "signalbox.dev"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One rule of the schema that a request breaks."""

    field: str
    """Path of the field, for example ``agent.endpoints[0].url``; empty for the whole message."""
    rule: str
    """Id of the rule, for example ``string.pattern``."""
    message: str
    """What is wrong, for people."""


class SignalboxError(Exception):
    """Raised by every call that fails; each usual kind is a subclass.

    Attributes:
        code: Kind of the error.
        message: What went wrong, for people.
        reason: Why the gateway refused, a name of ``signalbox.error.v1.Reason``; None
            when the error did not come from a gateway.
        metadata: Values that belong to the reason.
        field_violations: The rules that the request breaks; empty unless the reason
            is INVALID_ARGUMENT.
        policy_mistakes: What is wrong with a policy, and where; empty unless the reason
            is POLICY_INVALID.
        retry_after_seconds: When to try again, where the gateway said so.
    """

    code: ErrorCode
    message: str
    reason: str | None
    metadata: Mapping[str, str]
    field_violations: tuple[FieldViolation, ...]
    policy_mistakes: tuple[PolicyMistake, ...]
    retry_after_seconds: float | None

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        policy_mistakes: tuple[PolicyMistake, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = MappingProxyType(dict(metadata or {}))
        self.field_violations = field_violations
        self.policy_mistakes = policy_mistakes
        self.retry_after_seconds = _seconds(self.metadata.get("retry_after_s"))

    def __str__(self) -> str:
        return f"{self.message} ({self.reason or self.code})"


class InvalidArgumentError(SignalboxError):
    """The request breaks a rule, as ``field_violations`` or ``policy_mistakes`` say."""


class UnauthenticatedError(SignalboxError):
    """The key or token is missing, not valid, expired, or of somebody who is disabled."""


class PermissionDeniedError(SignalboxError):
    """The caller is known but may not do this.

    ``metadata["decision"]`` names the decision, which ``policy.get_decision`` explains.
    """


class NotFoundError(SignalboxError):
    """The thing does not exist, or the caller may not see it."""


class AlreadyExistsError(SignalboxError):
    """The name is taken."""


class AbortedError(SignalboxError):
    """The thing changed meanwhile: read it again, then repeat the change."""


class FailedPreconditionError(SignalboxError):
    """The state of things does not allow this, for example a team that still owns agents."""


class ResourceExhaustedError(SignalboxError):
    """A bound is reached; ``retry_after_seconds`` says when it resets, where that is known."""


class UnavailableError(SignalboxError):
    """The gateway cannot be reached, or cannot answer now. Trying again may help."""


_BY_CODE: Mapping[Code, type[SignalboxError]] = MappingProxyType(
    {
        Code.INVALID_ARGUMENT: InvalidArgumentError,
        Code.UNAUTHENTICATED: UnauthenticatedError,
        Code.PERMISSION_DENIED: PermissionDeniedError,
        Code.NOT_FOUND: NotFoundError,
        Code.ALREADY_EXISTS: AlreadyExistsError,
        Code.ABORTED: AbortedError,
        Code.FAILED_PRECONDITION: FailedPreconditionError,
        Code.RESOURCE_EXHAUSTED: ResourceExhaustedError,
        Code.UNAVAILABLE: UnavailableError,
    }
)


def from_connect(err: ConnectError) -> SignalboxError:
    """Return the typed form of a Connect error."""
    reason: str | None = None
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    mistakes: list[PolicyMistake] = []
    for detail in err.details:
        # A detail that does not parse must not hide the error that carries it.
        try:
            if detail.type_name == "google.rpc.ErrorInfo":
                info_reason, domain, info_metadata = _read_error_info(detail.message_bytes)
                if domain == _DOMAIN:
                    reason, metadata = info_reason, info_metadata
            elif detail.type_name == "buf.validate.Violations":
                violations += _read_violations(detail.message_bytes)
            elif detail.type_name == "signalbox.policy.v1.PolicyMistakes":
                mistakes += PolicyMistakes.from_binary(detail.message_bytes).mistakes
        except ValueError:
            continue
    code: ErrorCode = err.code.value
    return _BY_CODE.get(err.code, SignalboxError)(
        err.message or code.replace("_", " "),
        code=code,
        reason=reason,
        metadata=metadata,
        field_violations=tuple(violations),
        policy_mistakes=tuple(mistakes),
    )


def _read_violations(data: bytes) -> Iterator[FieldViolation]:
    for v in Violations.from_binary(data).violations:
        yield FieldViolation(_path(v.field) if v.field else "", v.rule_id, v.message)


def _path(path: FieldPath) -> str:
    parts = []
    for e in path.elements:
        index = f"[{json.dumps(e.subscript.value)}]" if e.subscript else ""
        parts.append(e.field_name + index)
    return ".".join(parts)


def _read_error_info(data: bytes) -> tuple[str, str, dict[str, str]]:
    """Decode a ``google.rpc.ErrorInfo``.

    By hand: its generated form is only to be had for another protobuf runtime.
    """
    reason = domain = ""
    metadata: dict[str, str] = {}
    for number, value in _fields(data):
        if number == 1:
            reason = value.decode()
        elif number == 2:
            domain = value.decode()
        elif number == 3:
            entry = dict(_fields(value))
            metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
    return reason, domain, metadata


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message and skip all others."""
    pos = 0
    while pos < len(data):
        tag, pos = _varint(data, pos)
        match tag & 7:
            case 0:
                _, pos = _varint(data, pos)
            case 1:
                pos += 8
            case 2:
                size, pos = _varint(data, pos)
                if pos + size > len(data):
                    raise ValueError("truncated message")
                yield tag >> 3, data[pos : pos + size]
                pos += size
            case 5:
                pos += 4
            case wire_type:
                raise ValueError(f"unknown wire type {wire_type}")


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while pos < len(data) and shift < 64:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
    raise ValueError("bad varint")


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
