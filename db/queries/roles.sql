-- RoleMemberAgent returns who an agent is as the holder of roles.
-- name: RoleMemberAgent :one
SELECT uid, team_uid FROM agents WHERE agent_id = @agent_id;

-- RoleMemberAgentByUID returns the id of the agent of a uid.
-- name: RoleMemberAgentByUID :one
SELECT agent_id FROM agents WHERE uid = @uid;

-- RoleMemberDelete takes a role away.
-- name: RoleMemberDelete :exec
DELETE FROM role_members
WHERE principal_uid = @principal_uid AND role_name = @role_name AND team_uid IS NOT DISTINCT FROM sqlc.narg(team_uid)::uuid;

-- RoleMemberDeleteAll takes all roles from principals.
-- name: RoleMemberDeleteAll :exec
DELETE FROM role_members WHERE principal_uid = ANY(@principal_uids::uuid[]);

-- RoleMemberInsert gives a role.
-- name: RoleMemberInsert :exec
INSERT INTO role_members (principal_uid, principal_kind, role_name, team_uid, author, create_time)
VALUES (@principal_uid, @principal_kind, @role_name, @team_uid, @author, @create_time);

-- RoleMemberList returns a page of who holds roles, ordered by team, role and member.
-- name: RoleMemberList :many
WITH named AS (
    SELECT role_members.role_name, coalesce(teams.team_id, '') AS team_id, role_members.author, role_members.create_time,
        CASE role_members.principal_kind
            WHEN 'key' THEN 'teams/' || key_teams.team_id || '/keys/' || keys.key_id
            WHEN 'user' THEN 'users/' || users.user_id
            ELSE 'agents/' || agents.agent_id
        END COLLATE "C" AS member
    FROM role_members
    LEFT JOIN teams ON teams.uid = role_members.team_uid
    LEFT JOIN keys ON keys.uid = role_members.principal_uid
    LEFT JOIN teams AS key_teams ON key_teams.uid = keys.team_uid
    LEFT JOIN users ON users.uid = role_members.principal_uid
    LEFT JOIN agents ON agents.uid = role_members.principal_uid
    WHERE (sqlc.narg(principal_uid)::uuid IS NULL OR role_members.principal_uid = sqlc.narg(principal_uid))
        AND (sqlc.narg(only_role)::text IS NULL OR role_members.role_name = sqlc.narg(only_role))
        AND (sqlc.narg(only_team)::text IS NULL OR teams.team_id = sqlc.narg(only_team))
        AND (role_members.team_uid IS NULL AND @everywhere::boolean OR role_members.team_uid IS NOT NULL AND @in_teams::boolean)
)
SELECT role_name, team_id::text AS team_id, member::text AS member, author, create_time
FROM named
WHERE (team_id, role_name, member) > (@after_team::text, @after_role::text, @after_member::text)
ORDER BY team_id, role_name, member
LIMIT @max_rows;
