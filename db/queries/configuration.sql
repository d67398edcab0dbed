-- AdminKeyInsert stores the hash of an admin key. No row means that it is stored already.
-- name: AdminKeyInsert :one
INSERT INTO admin_keys (secret_sha256, create_time)
VALUES (@secret_sha256, @create_time)
ON CONFLICT (secret_sha256) DO NOTHING
RETURNING secret_sha256;

-- AdminKeyList returns the hashes of the admin keys.
-- name: AdminKeyList :many
SELECT secret_sha256 FROM admin_keys ORDER BY create_time, secret_sha256;

-- ConfigChangeCount counts the changes after a revision, up to a bound.
-- name: ConfigChangeCount :one
SELECT count(*) FROM (
    SELECT 1 FROM config_changes WHERE revision > @after_revision LIMIT @bound
) AS bounded;

-- ConfigChangeDeleted returns what was deleted after a revision. Uids are never
-- used again, so it is gone for good.
-- name: ConfigChangeDeleted :many
SELECT DISTINCT resource_kind, resource_uid
FROM config_changes
WHERE revision > @after_revision AND verb = 'delete';

-- ConfigChangeInsert appends to the history of the configuration.
-- name: ConfigChangeInsert :exec
INSERT INTO config_changes (
    revision, resource_kind, resource_uid, resource_name, verb, author, reason, before_state, after_state, change_time
) VALUES (
    @revision, @resource_kind, @resource_uid, @resource_name, @verb, @author, @reason, @before_state, @after_state, @change_time
);

-- ConfigChangeMark returns what tells a revision from another of the same number, which a
-- database has that was set back.
-- name: ConfigChangeMark :one
SELECT (resource_uid::text || ' ' || verb || ' ' || extract(epoch FROM change_time)::text)::text AS mark
FROM config_changes
WHERE revision = @revision;

-- ConfigChangeTouched returns what was changed after a revision.
-- name: ConfigChangeTouched :many
SELECT DISTINCT resource_kind, resource_uid
FROM config_changes
WHERE revision > @after_revision;

-- ConfigurationNotify wakes the replicas when the transaction commits.
-- name: ConfigurationNotify :exec
SELECT pg_notify('signalbox_revision', @revision::text);

-- ConfigurationRevisionAdvance takes the next revision. Its row lock is held until
-- the transaction ends, so that configuration has one writer at a time and readers
-- see revisions in order and without gaps.
-- name: ConfigurationRevisionAdvance :one
UPDATE configuration_revision
SET revision = revision + 1, update_time = now()
RETURNING revision;

-- ConfigurationRevisionGet returns the newest committed revision.
-- name: ConfigurationRevisionGet :one
SELECT revision FROM configuration_revision;

-- SharedSecretGet returns a shared secret.
-- name: SharedSecretGet :one
SELECT secret_value FROM shared_secrets WHERE purpose = @purpose;

-- SharedSecretInsert stores a shared secret unless another replica was first.
-- name: SharedSecretInsert :exec
INSERT INTO shared_secrets (purpose, secret_value)
VALUES (@purpose, @secret_value)
ON CONFLICT (purpose) DO NOTHING;
