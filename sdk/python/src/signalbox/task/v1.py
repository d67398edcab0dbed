"""Messages of ``signalbox.task.v1``."""

from .._gen.signalbox.task.v1.task_service_pb import (
    AdoptionEntry,
    AdoptionOutcome,
    AdoptionResult,
    AdoptTasksRequest,
    AdoptTasksResponse,
    ConflictMode,
    GetOwnerRequest,
    Owner,
)

__all__ = [
    "AdoptTasksRequest",
    "AdoptTasksResponse",
    "AdoptionEntry",
    "AdoptionOutcome",
    "AdoptionResult",
    "ConflictMode",
    "GetOwnerRequest",
    "Owner",
]
