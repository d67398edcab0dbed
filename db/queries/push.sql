-- PushAgents lists the agents that have configs, by leaps over the primary key: there
-- are many configs of few agents.
-- name: PushAgents :many
WITH RECURSIVE found AS (
    (SELECT p.agent_uid FROM push_configs p ORDER BY p.agent_uid LIMIT 1)
    UNION ALL
    SELECT (SELECT p.agent_uid FROM push_configs p WHERE p.agent_uid > f.agent_uid ORDER BY p.agent_uid LIMIT 1)
    FROM found f WHERE f.agent_uid IS NOT NULL
)
SELECT agent_uid::uuid AS agent_uid FROM found WHERE agent_uid IS NOT NULL;

-- PushClaim takes configs whose deletion is due, so that no other replica takes them
-- before the lease is over: those never tried first.
-- name: PushClaim :many
WITH due AS MATERIALIZED (
    SELECT p.agent_uid, p.task_id, p.config_id
    FROM push_configs p
    WHERE p.next_attempt_time <= now()
        AND (p.owner_uid = ANY(@owner_uids::uuid[]) OR p.agent_uid = ANY(@agent_uids::uuid[]))
    ORDER BY p.attempts, p.next_attempt_time
    LIMIT @max_rows
    FOR UPDATE SKIP LOCKED
)
UPDATE push_configs c
SET attempts = c.attempts + 1, next_attempt_time = now() + make_interval(secs => @lease_seconds::float8)
FROM due
WHERE c.agent_uid = due.agent_uid AND c.task_id = due.task_id AND c.config_id = due.config_id
RETURNING c.agent_uid, c.task_id, c.config_id, c.owner_uid, c.protocol_version, c.endpoint_url, c.create_time, c.attempts;

-- PushDelete forgets a config that the agent no longer has, unless it was set anew
-- since it was claimed.
-- name: PushDelete :exec
DELETE FROM push_configs
WHERE agent_uid = @agent_uid AND task_id = @task_id AND config_id = @config_id AND attempts = @attempts;

-- PushDeleteAgents forgets the configs of agents that are gone.
-- name: PushDeleteAgents :exec
DELETE FROM push_configs WHERE agent_uid = ANY(@agent_uids::uuid[]);

-- PushForget forgets configs that callers removed themselves, unless they were set
-- anew since.
-- name: PushForget :exec
DELETE FROM push_configs p
USING (
    SELECT unnest(@agent_uids::uuid[]) AS agent_uid, unnest(@task_ids::text[]) AS task_id,
        unnest(@config_ids::text[]) AS config_id, unnest(@times::timestamptz[]) AS removed_time
) AS given
WHERE p.agent_uid = given.agent_uid AND p.task_id = given.task_id AND p.config_id = given.config_id
    AND p.create_time <= given.removed_time;

-- PushOwners lists the callers that have configs, by leaps over their index.
-- name: PushOwners :many
WITH RECURSIVE found AS (
    (SELECT p.owner_uid FROM push_configs p ORDER BY p.owner_uid LIMIT 1)
    UNION ALL
    SELECT (SELECT p.owner_uid FROM push_configs p WHERE p.owner_uid > f.owner_uid ORDER BY p.owner_uid LIMIT 1)
    FROM found f WHERE f.owner_uid IS NOT NULL
)
SELECT owner_uid::uuid AS owner_uid FROM found WHERE owner_uid IS NOT NULL;

-- PushPurge forgets configs that were set long ago.
-- name: PushPurge :exec
DELETE FROM push_configs WHERE create_time < @created_before;

-- PushRelease lets the configs of those that have their rights back begin from new,
-- should they lose them once more.
-- name: PushRelease :exec
UPDATE push_configs SET attempts = 0, next_attempt_time = now()
WHERE attempts > 0 AND NOT (owner_uid = ANY(@owner_uids::uuid[]) OR agent_uid = ANY(@agent_uids::uuid[]));

-- PushRetry says when the deletion of a claimed config is tried again.
-- name: PushRetry :exec
UPDATE push_configs SET next_attempt_time = now() + make_interval(secs => @wait_seconds::float8)
WHERE agent_uid = @agent_uid AND task_id = @task_id AND config_id = @config_id AND attempts = @attempts;

-- PushWrite notes configs.
-- name: PushWrite :exec
INSERT INTO push_configs (agent_uid, task_id, config_id, owner_uid, protocol_version, endpoint_url, create_time)
SELECT agent_uid, task_id, config_id, owner_uid, protocol_version, endpoint_url, create_time
FROM (
    SELECT unnest(@agent_uids::uuid[]) AS agent_uid, unnest(@task_ids::text[]) AS task_id,
        unnest(@config_ids::text[]) AS config_id, unnest(@owner_uids::uuid[]) AS owner_uid,
        unnest(@protocol_versions::text[]) AS protocol_version, unnest(@endpoint_urls::text[]) AS endpoint_url,
        unnest(@times::timestamptz[]) AS create_time
) AS given
-- In one order in every replica, or two batches could lock each other out.
ORDER BY agent_uid, task_id, config_id
ON CONFLICT ON CONSTRAINT push_configs_pkey DO UPDATE
SET owner_uid = excluded.owner_uid, protocol_version = excluded.protocol_version, endpoint_url = excluded.endpoint_url,
    create_time = excluded.create_time, attempts = 0, next_attempt_time = now();
