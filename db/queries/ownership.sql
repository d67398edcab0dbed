-- OwnershipContextsWrite binds contexts. A context of another owner stays as it is.
-- name: OwnershipContextsWrite :many
INSERT INTO context_bindings (agent_uid, context_id, owner_uid, endpoint_url)
SELECT DISTINCT ON (agent_uid, context_id) agent_uid, context_id, owner_uid, endpoint_url
FROM (
    SELECT unnest(@agent_uids::uuid[]) AS agent_uid, unnest(@context_ids::text[]) AS context_id,
        unnest(@owner_uids::uuid[]) AS owner_uid, unnest(@endpoint_urls::text[]) AS endpoint_url
) AS given
-- In one order in every replica, or two batches could lock each other out.
ORDER BY agent_uid, context_id
ON CONFLICT ON CONSTRAINT context_bindings_pkey DO UPDATE
SET last_used_time = CASE WHEN context_bindings.owner_uid = excluded.owner_uid THEN now() ELSE context_bindings.last_used_time END,
    endpoint_url = CASE
        WHEN context_bindings.owner_uid = excluded.owner_uid AND excluded.endpoint_url <> '' THEN excluded.endpoint_url
        ELSE context_bindings.endpoint_url
    END
RETURNING agent_uid, context_id, owner_uid, endpoint_url;

-- OwnershipPurgeContexts forgets contexts that nobody has used for long.
-- name: OwnershipPurgeContexts :exec
DELETE FROM context_bindings WHERE last_used_time < @used_before;

-- OwnershipPurgeTasks forgets tasks that ended long ago.
-- name: OwnershipPurgeTasks :exec
DELETE FROM task_bindings WHERE terminal_time < @terminal_before;

-- OwnershipResolve looks up tasks and contexts and claims contexts, all at once: a
-- call may wait for the database once only.
-- name: OwnershipResolve :many
WITH claimed AS (
    INSERT INTO context_bindings (agent_uid, context_id, owner_uid, endpoint_url)
    SELECT @agent_uid, claim, @owner_uid, '' FROM unnest(@claims::text[]) AS claim
    -- A call that will be refused because of a task claims nothing.
    WHERE NOT EXISTS (
        SELECT FROM unnest(@task_ids::text[]) AS named
        WHERE NOT EXISTS (
            SELECT FROM task_bindings AS b WHERE b.agent_uid = @agent_uid AND b.task_id = named AND b.owner_uid = @owner_uid
        )
    )
    -- The row is returned whoever it belongs to, also when another claim has just won.
    ON CONFLICT ON CONSTRAINT context_bindings_pkey DO UPDATE
    SET last_used_time = CASE WHEN context_bindings.owner_uid = excluded.owner_uid THEN now() ELSE context_bindings.last_used_time END
    RETURNING context_id, owner_uid, endpoint_url
)
SELECT true AS is_task, task_id AS bound_id, owner_uid, endpoint_url, context_id, (terminal_time IS NOT NULL)::boolean AS terminal
FROM task_bindings WHERE agent_uid = @agent_uid AND task_id = ANY(@task_ids::text[])
UNION ALL
SELECT false, context_id, owner_uid, endpoint_url, '', false
FROM context_bindings WHERE agent_uid = @agent_uid AND context_id = ANY(@context_ids::text[])
UNION ALL
SELECT false, context_id, owner_uid, endpoint_url, '', false FROM claimed;

-- OwnershipTasksCount counts the tasks of an owner, less those that the replica is
-- about to write and counts itself.
-- name: OwnershipTasksCount :one
SELECT count(*) FROM task_bindings
WHERE agent_uid = @agent_uid AND owner_uid = @owner_uid
    AND (@context_id::text = '' OR context_id = @context_id::text)
    AND task_id <> ALL(@without::text[]);

-- OwnershipTasksWrite binds tasks. A task of another owner stays as it is.
-- name: OwnershipTasksWrite :many
INSERT INTO task_bindings (agent_uid, task_id, owner_uid, context_id, endpoint_url, terminal_time)
SELECT DISTINCT ON (agent_uid, task_id) agent_uid, task_id, owner_uid, context_id, endpoint_url,
    CASE WHEN terminal THEN now() END
FROM (
    SELECT unnest(@agent_uids::uuid[]) AS agent_uid, unnest(@task_ids::text[]) AS task_id,
        unnest(@owner_uids::uuid[]) AS owner_uid, unnest(@context_ids::text[]) AS context_id,
        unnest(@endpoint_urls::text[]) AS endpoint_url, unnest(@terminals::boolean[]) AS terminal
) AS given
ORDER BY agent_uid, task_id
ON CONFLICT ON CONSTRAINT task_bindings_pkey DO UPDATE
SET context_id = CASE
        WHEN task_bindings.owner_uid = excluded.owner_uid AND excluded.context_id <> '' THEN excluded.context_id
        ELSE task_bindings.context_id
    END,
    endpoint_url = CASE
        WHEN task_bindings.owner_uid = excluded.owner_uid AND excluded.endpoint_url <> '' THEN excluded.endpoint_url
        ELSE task_bindings.endpoint_url
    END,
    terminal_time = CASE
        WHEN task_bindings.owner_uid = excluded.owner_uid THEN coalesce(task_bindings.terminal_time, excluded.terminal_time)
        ELSE task_bindings.terminal_time
    END
RETURNING agent_uid, task_id, owner_uid, context_id, endpoint_url, (terminal_time IS NOT NULL)::boolean AS terminal;
