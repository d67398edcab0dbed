"""Messages of ``signalbox.registry.v1``."""

from .._gen.signalbox.registry.v1.agent_pb import (
    Agent,
    CardShape,
    CardSource,
    CardVerification,
    CardVerificationState,
    Endpoint,
    Interface,
    PushMode,
    Route,
    State,
    Visibility,
)
from .._gen.signalbox.registry.v1.registry_service_pb import (
    CreateAgentRequest,
    DeleteAgentRequest,
    GetAgentRequest,
    ImportAgentRequest,
    ListAgentsRequest,
    ListAgentsResponse,
    UpdateAgentRequest,
)

__all__ = [
    "Agent",
    "CardShape",
    "CardSource",
    "CardVerification",
    "CardVerificationState",
    "CreateAgentRequest",
    "DeleteAgentRequest",
    "Endpoint",
    "GetAgentRequest",
    "ImportAgentRequest",
    "Interface",
    "ListAgentsRequest",
    "ListAgentsResponse",
    "PushMode",
    "Route",
    "State",
    "UpdateAgentRequest",
    "Visibility",
]
