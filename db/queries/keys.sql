-- AdminKeyKeep removes every admin key but one and returns how many it removed.
-- name: AdminKeyKeep :execrows
DELETE FROM admin_keys WHERE secret_sha256 <> @kept;

-- KeyCertificateInsert gives a key names in certificates.
-- name: KeyCertificateInsert :exec
INSERT INTO key_certificates (certificate_name, key_uid)
SELECT named, @key_uid FROM unnest(@names::text[]) AS named;

-- KeyCertificateKeep takes every certificate name from a key but those given.
-- name: KeyCertificateKeep :exec
DELETE FROM key_certificates
WHERE key_uid = @key_uid AND NOT certificate_name = ANY(@kept::text[]);

-- KeyCertificateTaken returns which of some certificate names other keys have.
-- name: KeyCertificateTaken :many
SELECT certificate_name FROM key_certificates
WHERE certificate_name = ANY(@names::text[]) AND key_uid <> @key_uid
ORDER BY certificate_name;

-- KeyDeleteOfAgent removes the keys of an agent, with their secrets and uses.
-- name: KeyDeleteOfAgent :exec
DELETE FROM keys WHERE agent_uid = @agent_uid;

-- KeyDeleteOfTeam removes the keys of a team, with their secrets and uses.
-- name: KeyDeleteOfTeam :exec
DELETE FROM keys WHERE team_uid = @team_uid;

-- KeyGet returns a key by the ids of its team and itself.
-- name: KeyGet :one
SELECT sqlc.embed(keys), teams.team_id, coalesce(agents.agent_id, '')::text AS agent_id, key_uses.last_used_time
FROM keys
JOIN teams ON teams.uid = keys.team_uid
LEFT JOIN agents ON agents.uid = keys.agent_uid
LEFT JOIN key_uses ON key_uses.key_uid = keys.uid
WHERE teams.team_id = @team_id AND keys.key_id = @key_id;

-- KeyGetByUID returns a key by its uid.
-- name: KeyGetByUID :one
SELECT sqlc.embed(keys), teams.team_id, coalesce(agents.agent_id, '')::text AS agent_id, key_uses.last_used_time
FROM keys
JOIN teams ON teams.uid = keys.team_uid
LEFT JOIN agents ON agents.uid = keys.agent_uid
LEFT JOIN key_uses ON key_uses.key_uid = keys.uid
WHERE keys.uid = @uid;

-- KeyIDTaken tells whether a team has a key of an id.
-- name: KeyIDTaken :one
SELECT EXISTS (SELECT 1 FROM keys WHERE team_uid = @team_uid AND key_id = @key_id)::boolean;

-- KeyInsert stores a new key.
-- name: KeyInsert :exec
INSERT INTO keys (
    uid, team_uid, agent_uid, key_id, display_name, secret_hint, disabled, expire_time, etag, create_time, update_time
) VALUES (
    @uid, @team_uid, @agent_uid, @key_id, @display_name, @secret_hint, @disabled, @expire_time, @etag, @create_time, @update_time
);

-- KeyList returns a page of keys ordered by the ids of team and key.
-- name: KeyList :many
SELECT sqlc.embed(keys), teams.team_id, coalesce(agents.agent_id, '')::text AS agent_id, key_uses.last_used_time
FROM keys
JOIN teams ON teams.uid = keys.team_uid
LEFT JOIN agents ON agents.uid = keys.agent_uid
LEFT JOIN key_uses ON key_uses.key_uid = keys.uid
WHERE (teams.team_id, keys.key_id) > (@after_team::text, @after_key::text)
    AND (sqlc.narg(only_team)::text IS NULL OR teams.team_id = sqlc.narg(only_team))
ORDER BY teams.team_id, keys.key_id
LIMIT @max_rows;

-- KeyListOfAgent returns every key of an agent, ordered by id.
-- name: KeyListOfAgent :many
SELECT sqlc.embed(keys), teams.team_id, agents.agent_id
FROM keys
JOIN teams ON teams.uid = keys.team_uid
JOIN agents ON agents.uid = keys.agent_uid
WHERE keys.agent_uid = @agent_uid
ORDER BY keys.key_id;

-- KeyListOfTeam returns every key of a team, ordered by id.
-- name: KeyListOfTeam :many
SELECT sqlc.embed(keys), teams.team_id, coalesce(agents.agent_id, '')::text AS agent_id
FROM keys
JOIN teams ON teams.uid = keys.team_uid
LEFT JOIN agents ON agents.uid = keys.agent_uid
WHERE keys.team_uid = @team_uid
ORDER BY keys.key_id;

-- KeySecretInsert stores the hash of a secret.
-- name: KeySecretInsert :exec
INSERT INTO key_secrets (secret_sha256, key_uid, expire_time, create_time)
VALUES (@secret_sha256, @key_uid, @expire_time, @create_time);

-- KeySecretKeep removes every secret of a key but those given.
-- name: KeySecretKeep :exec
DELETE FROM key_secrets
WHERE key_uid = @key_uid AND NOT secret_sha256 = ANY(@kept::bytea[]);

-- KeySecretList returns the secrets of keys, the current one of each first.
-- name: KeySecretList :many
SELECT key_uid, secret_sha256, expire_time
FROM key_secrets
WHERE key_uid = ANY(@key_uids::uuid[])
ORDER BY key_uid, expire_time DESC NULLS FIRST;

-- KeySecretSnapshot returns every secret, the current one of each key first.
-- name: KeySecretSnapshot :many
SELECT key_uid, secret_sha256, expire_time
FROM key_secrets
ORDER BY key_uid, expire_time DESC NULLS FIRST;

-- KeySecretSetExpiry says when a secret stops working.
-- name: KeySecretSetExpiry :exec
UPDATE key_secrets SET expire_time = @expire_time WHERE secret_sha256 = @secret_sha256;

-- KeySnapshot returns every key.
-- name: KeySnapshot :many
SELECT sqlc.embed(keys), teams.team_id, coalesce(agents.agent_id, '')::text AS agent_id
FROM keys
JOIN teams ON teams.uid = keys.team_uid
LEFT JOIN agents ON agents.uid = keys.agent_uid;

-- KeySnapshotOf returns the keys of some uids.
-- name: KeySnapshotOf :many
SELECT sqlc.embed(keys), teams.team_id, coalesce(agents.agent_id, '')::text AS agent_id
FROM keys
JOIN teams ON teams.uid = keys.team_uid
LEFT JOIN agents ON agents.uid = keys.agent_uid
WHERE keys.uid = ANY(@uids::uuid[]);

-- KeyUpdate changes what may change of a key.
-- name: KeyUpdate :exec
UPDATE keys
SET display_name = @display_name,
    secret_hint = @secret_hint,
    disabled = @disabled,
    expire_time = @expire_time,
    etag = @etag,
    update_time = @update_time
WHERE uid = @uid;

-- KeyUseRecord notes when keys were last used; a time never moves back, whichever
-- replica is late. Keys that are gone are passed over.
-- name: KeyUseRecord :exec
INSERT INTO key_uses AS present (key_uid, last_used_time)
SELECT used.uid, used.at
FROM (SELECT unnest(@uids::uuid[]) AS uid, unnest(@times::timestamptz[]) AS at) AS used
JOIN keys ON keys.uid = used.uid
ORDER BY used.uid -- one order for all replicas, so that none waits for another in a circle
ON CONFLICT (key_uid) DO UPDATE
SET last_used_time = greatest(present.last_used_time, excluded.last_used_time);
