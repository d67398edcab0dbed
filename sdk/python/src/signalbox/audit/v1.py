"""Messages of ``signalbox.audit.v1``."""

from .._gen.signalbox.audit.v1.audit_service_pb import (
    GetEventRequest,
    ListEventsRequest,
    ListEventsResponse,
    TailEventsRequest,
    TailEventsResponse,
)
from .._gen.signalbox.audit.v1.event_pb import (
    CallError,
    Decision,
    DecisionFailure,
    Event,
    Outcome,
    Plane,
    RefusalReason,
    Refusals,
    ShadowDecision,
)

__all__ = [
    "CallError",
    "Decision",
    "DecisionFailure",
    "Event",
    "GetEventRequest",
    "ListEventsRequest",
    "ListEventsResponse",
    "Outcome",
    "Plane",
    "RefusalReason",
    "Refusals",
    "ShadowDecision",
    "TailEventsRequest",
    "TailEventsResponse",
]
