"""Messages of ``signalbox.identity.v1``."""

from .._gen.signalbox.identity.v1.identity_service_pb import (
    CreateKeyRequest,
    CreateKeyResponse,
    CreateTeamRequest,
    DeleteTeamRequest,
    DisableKeyRequest,
    GetKeyRequest,
    GetTeamRequest,
    ListKeysRequest,
    ListKeysResponse,
    ListTeamsRequest,
    ListTeamsResponse,
    RotateKeyRequest,
    RotateKeyResponse,
    UpdateKeyRequest,
    UpdateTeamRequest,
)
from .._gen.signalbox.identity.v1.key_pb import Key
from .._gen.signalbox.identity.v1.team_pb import Team

__all__ = [
    "CreateKeyRequest",
    "CreateKeyResponse",
    "CreateTeamRequest",
    "DeleteTeamRequest",
    "DisableKeyRequest",
    "GetKeyRequest",
    "GetTeamRequest",
    "Key",
    "ListKeysRequest",
    "ListKeysResponse",
    "ListTeamsRequest",
    "ListTeamsResponse",
    "RotateKeyRequest",
    "RotateKeyResponse",
    "Team",
    "UpdateKeyRequest",
    "UpdateTeamRequest",
]
