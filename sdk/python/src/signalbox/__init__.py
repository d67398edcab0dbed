"""Client of the Signalbox agent gateway.

The messages of each service are in :mod:`signalbox.registry.v1`,
:mod:`signalbox.identity.v1`, :mod:`signalbox.audit.v1`, :mod:`signalbox.task.v1` and
:mod:`signalbox.policy.v1`, and what writes say of the replicas that serve them in
:mod:`signalbox.rollout.v1`.
"""

from ._async_client import AsyncSignalbox
from ._client import Signalbox
from ._pager import AsyncPager, Pager
from ._replay import AsyncPolicyReplay, PolicyReplay
from .errors import (
    AbortedError,
    AlreadyExistsError,
    ErrorCode,
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SignalboxError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "AsyncPager",
    "AsyncPolicyReplay",
    "AsyncSignalbox",
    "ErrorCode",
    "FailedPreconditionError",
    "FieldViolation",
    "InvalidArgumentError",
    "NotFoundError",
    "Pager",
    "PermissionDeniedError",
    "PolicyReplay",
    "ResourceExhaustedError",
    "Signalbox",
    "SignalboxError",
    "UnauthenticatedError",
    "UnavailableError",
]
