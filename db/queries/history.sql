-- ConfigChangeRevisionAt returns the newest revision that was made before a time; no row
-- when there is none. It looks at the newest first: what is asked for is not long ago.
-- name: ConfigChangeRevisionAt :one
SELECT revision FROM config_changes
WHERE change_time < @before_time
ORDER BY revision DESC
LIMIT 1;

-- HistoryAt returns what decided at a revision: the last state of everything that
-- policies look at, and of the policies. Of agents it has only what they look at.
-- name: HistoryAt :many
SELECT latest.revision, latest.resource_kind, latest.resource_uid, latest.resource_name,
    coalesce(CASE latest.resource_kind WHEN 'agent' THEN jsonb_build_object(
        'team', latest.after_state -> 'team', 'visibility', latest.after_state -> 'visibility',
        'state', latest.after_state -> 'state', 'tags', latest.after_state -> 'tags'
    ) ELSE latest.after_state END, 'null')::jsonb AS state
FROM (
    SELECT DISTINCT ON (config_changes.resource_kind, config_changes.resource_uid) config_changes.*
    FROM config_changes
    WHERE config_changes.revision <= @revision
        AND config_changes.resource_kind IN ('team', 'key', 'agent', 'user', 'roles', 'policy', 'grant')
    ORDER BY config_changes.resource_kind, config_changes.resource_uid, config_changes.revision DESC
) AS latest
WHERE latest.verb <> 'delete' AND latest.after_state IS NOT NULL
ORDER BY latest.revision;

-- HistoryBetween returns the changes after a revision up to another one, in their order. A
-- state is null for what was deleted.
-- name: HistoryBetween :many
SELECT revision, resource_kind, resource_uid, resource_name,
    coalesce(CASE
        WHEN verb = 'delete' OR after_state IS NULL THEN 'null'
        WHEN resource_kind = 'agent' THEN jsonb_build_object(
            'team', after_state -> 'team', 'visibility', after_state -> 'visibility',
            'state', after_state -> 'state', 'tags', after_state -> 'tags'
        ) ELSE after_state END, 'null')::jsonb AS state
FROM config_changes
WHERE revision > @after_revision AND revision <= @through_revision
    AND resource_kind IN ('team', 'key', 'agent', 'user', 'roles', 'policy', 'grant')
ORDER BY revision;
