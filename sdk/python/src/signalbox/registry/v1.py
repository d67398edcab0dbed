"""Messages of ``signalbox.registry.v1``."""

from .._gen.signalbox.registry.v1.agent_pb import (
    Agent,
    CardSource,
    Endpoint,
    Interface,
    PushMode,
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
    "CardSource",
    "CreateAgentRequest",
    "DeleteAgentRequest",
    "Endpoint",
    "GetAgentRequest",
    "ImportAgentRequest",
    "Interface",
    "ListAgentsRequest",
    "ListAgentsResponse",
    "PushMode",
    "State",
    "UpdateAgentRequest",
    "Visibility",
]
