-- AgentDelete removes an agent and its names. Its revisions stay.
-- name: AgentDelete :exec
DELETE FROM agents WHERE uid = @uid;

-- AgentGet returns an agent by its id.
-- name: AgentGet :one
SELECT sqlc.embed(agents), teams.team_id, sqlc.embed(agent_revisions),
    ARRAY(
        SELECT agent_names.agent_name FROM agent_names
        WHERE agent_names.agent_uid = agents.uid AND agent_names.alias
        ORDER BY agent_names.agent_name
    )::text[] AS aliases
FROM agents
JOIN teams ON teams.uid = agents.team_uid
JOIN agent_revisions ON agent_revisions.agent_uid = agents.uid AND agent_revisions.revision = agents.current_revision
WHERE agents.agent_id = @agent_id;

-- AgentGetByUID returns an agent by its uid.
-- name: AgentGetByUID :one
SELECT sqlc.embed(agents), teams.team_id, sqlc.embed(agent_revisions),
    ARRAY(
        SELECT agent_names.agent_name FROM agent_names
        WHERE agent_names.agent_uid = agents.uid AND agent_names.alias
        ORDER BY agent_names.agent_name
    )::text[] AS aliases
FROM agents
JOIN teams ON teams.uid = agents.team_uid
JOIN agent_revisions ON agent_revisions.agent_uid = agents.uid AND agent_revisions.revision = agents.current_revision
WHERE agents.uid = @uid;

-- AgentIDTeam returns the team of the last agent of a name that was deleted.
-- name: AgentIDTeam :one
SELECT coalesce(before_state ->> 'team', '')::text FROM config_changes
WHERE resource_kind = 'agent' AND verb = 'delete' AND resource_name = @agent_name
ORDER BY revision DESC
LIMIT 1;

-- AgentInsert stores a new agent.
-- name: AgentInsert :exec
INSERT INTO agents (
    uid, agent_id, team_uid, display_name, description, tags, visibility, lifecycle_state, push_mode,
    push_allowed_hosts, forward_headers, trust_card_authority, preferred_dialects, card_shape, card_keys,
    credential, sealed_credential, credential_kek_id, transport_security, sealed_client_key, client_key_kek_id,
    warnings, current_revision, etag, create_time, update_time
) VALUES (
    @uid, @agent_id, @team_uid, @display_name, @description, @tags, @visibility, @lifecycle_state, @push_mode,
    @push_allowed_hosts, @forward_headers, @trust_card_authority, @preferred_dialects, @card_shape, @card_keys,
    @credential, @sealed_credential, @credential_kek_id, @transport_security, @sealed_client_key, @client_key_kek_id,
    @warnings, @current_revision, @etag, @create_time, @update_time
);

-- AgentNameInsert gives an agent its names.
-- name: AgentNameInsert :exec
INSERT INTO agent_names (agent_name, agent_uid, alias)
SELECT named, @agent_uid, @alias FROM unnest(@names::text[]) AS named;

-- AgentNameKeep takes every alias from an agent but those given.
-- name: AgentNameKeep :exec
DELETE FROM agent_names
WHERE agent_uid = @agent_uid AND alias AND NOT agent_name = ANY(@kept::text[]);

-- AgentNameTaken returns which of some names other agents have.
-- name: AgentNameTaken :many
SELECT agent_name FROM agent_names
WHERE agent_name = ANY(@names::text[]) AND agent_uid <> @agent_uid
ORDER BY agent_name;

-- AgentReseal replaces secrets that are still the ones that were read.
-- name: AgentReseal :exec
UPDATE agents
SET sealed_credential = @sealed_credential,
    credential_kek_id = @credential_kek_id,
    sealed_client_key = @sealed_client_key,
    client_key_kek_id = @client_key_kek_id
WHERE uid = @uid AND sealed_credential = @old_sealed_credential AND sealed_client_key = @old_sealed_client_key;

-- AgentRevisionInsert stores what an agent is from a revision on.
-- name: AgentRevisionInsert :exec
INSERT INTO agent_revisions (
    agent_uid, revision, card, card_source, card_verification, card_key_id, endpoints, interfaces, create_time
) VALUES (
    @agent_uid, @revision, @card, @card_source, @card_verification, @card_key_id, @endpoints, @interfaces, @create_time
);

-- AgentSealedOtherwise returns the agents with secrets that another key-encryption key sealed.
-- name: AgentSealedOtherwise :many
SELECT uid, agent_id, coalesce(credential ->> 'kind', '')::text AS kind, sealed_credential, credential_kek_id, sealed_client_key, client_key_kek_id
FROM agents
WHERE credential_kek_id NOT IN ('', @kek_id) OR client_key_kek_id NOT IN ('', @kek_id)
ORDER BY uid;

-- AgentSnapshot returns every agent.
-- name: AgentSnapshot :many
SELECT sqlc.embed(agents), teams.team_id, sqlc.embed(agent_revisions),
    ARRAY(
        SELECT agent_names.agent_name FROM agent_names
        WHERE agent_names.agent_uid = agents.uid AND agent_names.alias
        ORDER BY agent_names.agent_name
    )::text[] AS aliases
FROM agents
JOIN teams ON teams.uid = agents.team_uid
JOIN agent_revisions ON agent_revisions.agent_uid = agents.uid AND agent_revisions.revision = agents.current_revision;

-- AgentSnapshotOf returns the agents of some uids.
-- name: AgentSnapshotOf :many
SELECT sqlc.embed(agents), teams.team_id, sqlc.embed(agent_revisions),
    ARRAY(
        SELECT agent_names.agent_name FROM agent_names
        WHERE agent_names.agent_uid = agents.uid AND agent_names.alias
        ORDER BY agent_names.agent_name
    )::text[] AS aliases
FROM agents
JOIN teams ON teams.uid = agents.team_uid
JOIN agent_revisions ON agent_revisions.agent_uid = agents.uid AND agent_revisions.revision = agents.current_revision
WHERE agents.uid = ANY(@uids::uuid[]);

-- AgentUpdate changes what may change of an agent.
-- name: AgentUpdate :exec
UPDATE agents
SET display_name = @display_name,
    description = @description,
    tags = @tags,
    visibility = @visibility,
    lifecycle_state = @lifecycle_state,
    suspended_from = @suspended_from,
    suspend_reason = @suspend_reason,
    suspend_time = @suspend_time,
    push_mode = @push_mode,
    push_allowed_hosts = @push_allowed_hosts,
    forward_headers = @forward_headers,
    trust_card_authority = @trust_card_authority,
    preferred_dialects = @preferred_dialects,
    card_shape = @card_shape,
    card_keys = @card_keys,
    credential = @credential,
    sealed_credential = @sealed_credential,
    credential_kek_id = @credential_kek_id,
    transport_security = @transport_security,
    sealed_client_key = @sealed_client_key,
    client_key_kek_id = @client_key_kek_id,
    warnings = @warnings,
    current_revision = @current_revision,
    etag = @etag,
    update_time = @update_time
WHERE uid = @uid;

-- AgentWithoutCard returns uids of the agents whose card was not found yet.
-- name: AgentWithoutCard :many
SELECT agents.uid
FROM agent_revisions
JOIN agents ON agents.uid = agent_revisions.agent_uid AND agents.current_revision = agent_revisions.revision
WHERE agent_revisions.card_source = 'NONE'
ORDER BY agents.uid;
