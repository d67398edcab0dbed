-- TeamDelete removes a team. Foreign keys refuse it while the team owns anything.
-- name: TeamDelete :exec
DELETE FROM teams WHERE uid = @uid;

-- TeamGet returns a team by its id.
-- name: TeamGet :one
SELECT * FROM teams WHERE team_id = @team_id;

-- TeamGetByUID returns a team by its uid.
-- name: TeamGetByUID :one
SELECT * FROM teams WHERE uid = @uid;

-- TeamIDUsed tells whether a team has an id, and whether a team that was deleted had it.
-- name: TeamIDUsed :one
SELECT
    EXISTS (SELECT 1 FROM teams WHERE team_id = @team_id)::boolean AS present,
    EXISTS (
        SELECT 1 FROM config_changes
        WHERE resource_kind = 'team' AND verb = 'delete' AND resource_name = @team_name
    )::boolean AS deleted;

-- TeamInsert stores a new team.
-- name: TeamInsert :exec
INSERT INTO teams (uid, team_id, display_name, etag, create_time, update_time)
VALUES (@uid, @team_id, @display_name, @etag, @create_time, @update_time);

-- TeamList returns a page of teams ordered by id.
-- name: TeamList :many
SELECT * FROM teams
WHERE team_id > @after_id
    AND (sqlc.narg(only_team)::text IS NULL OR team_id = sqlc.narg(only_team))
ORDER BY team_id
LIMIT @max_rows;

-- TeamOwns tells what keeps a team from being deleted.
-- name: TeamOwns :one
SELECT
    EXISTS (SELECT 1 FROM agents WHERE agents.team_uid = @team_uid)::boolean AS agents,
    EXISTS (SELECT 1 FROM keys WHERE keys.team_uid = @team_uid AND NOT keys.disabled)::boolean AS enabled_keys,
    EXISTS (SELECT 1 FROM grants WHERE grants.team_uid = @team_uid)::boolean AS grants,
    EXISTS (
        SELECT 1 FROM role_members
        WHERE role_members.team_uid = @team_uid
            AND NOT EXISTS (SELECT 1 FROM keys WHERE keys.uid = role_members.principal_uid AND keys.team_uid = @team_uid)
    )::boolean AS roles;

-- TeamUpdate changes what may change of a team.
-- name: TeamUpdate :exec
UPDATE teams
SET display_name = @display_name, disabled = @disabled, etag = @etag, update_time = @update_time
WHERE uid = @uid;
