-- GrantDelete removes a grant.
-- name: GrantDelete :exec
DELETE FROM grants WHERE uid = @uid;

-- GrantGet returns a grant by its id.
-- name: GrantGet :one
SELECT sqlc.embed(grants), coalesce(teams.team_id, '')::text AS team_id
FROM grants
LEFT JOIN teams ON teams.uid = grants.team_uid
WHERE grants.grant_id = @grant_id;

-- GrantGetByUID returns a grant by its uid.
-- name: GrantGetByUID :one
SELECT sqlc.embed(grants), coalesce(teams.team_id, '')::text AS team_id
FROM grants
LEFT JOIN teams ON teams.uid = grants.team_uid
WHERE grants.uid = @uid;

-- GrantIDTaken tells whether a grant has an id, or a grant that was deleted had it: the
-- record names grants by their ids.
-- name: GrantIDTaken :one
SELECT (
    EXISTS (SELECT 1 FROM grants WHERE grants.grant_id = @grant_id)
    OR EXISTS (
        SELECT 1 FROM config_changes
        WHERE resource_kind = 'grant' AND verb = 'delete' AND resource_name = @grant_name
    )
)::boolean;

-- GrantInsert stores a new grant.
-- name: GrantInsert :exec
INSERT INTO grants (
    uid, grant_id, principal, agents, actions, expire_time, via, disabled, team_uid, description, author, etag, create_time, update_time
) VALUES (
    @uid, @grant_id, @principal, @agents, @actions, @expire_time, @via, @disabled, @team_uid, @description, @author, @etag,
    @create_time, @update_time
);

-- GrantList returns a page of grants ordered by id.
-- name: GrantList :many
SELECT sqlc.embed(grants), coalesce(teams.team_id, '')::text AS team_id
FROM grants
LEFT JOIN teams ON teams.uid = grants.team_uid
WHERE grants.grant_id > @after_id
    AND (sqlc.narg(only_team)::text IS NULL OR teams.team_id = sqlc.narg(only_team))
    AND (sqlc.narg(only_principal)::text IS NULL OR grants.principal = sqlc.narg(only_principal))
    AND (sqlc.narg(only_agents)::text IS NULL OR grants.agents = sqlc.narg(only_agents))
ORDER BY grants.grant_id
LIMIT @max_rows;

-- GrantListNaming returns the grants that name something: as principal or agents, or by a
-- role in a team of it.
-- name: GrantListNaming :many
SELECT sqlc.embed(grants), coalesce(teams.team_id, '')::text AS team_id
FROM grants
LEFT JOIN teams ON teams.uid = grants.team_uid
WHERE grants.principal = ANY(@names::text[])
    OR grants.agents = ANY(@names::text[])
    OR (@role_prefix::text <> '' AND starts_with(grants.principal, @role_prefix))
ORDER BY grants.grant_id;

-- GrantListOfIssuer returns the grants to users of an issuer.
-- name: GrantListOfIssuer :many
SELECT sqlc.embed(grants), coalesce(teams.team_id, '')::text AS team_id
FROM grants
LEFT JOIN teams ON teams.uid = grants.team_uid
WHERE starts_with(grants.principal, @principal_prefix::text)
ORDER BY grants.grant_id;

-- GrantNumberNext returns the number of the next grant that is given none.
-- name: GrantNumberNext :one
SELECT nextval('grant_numbers')::bigint;

-- GrantStateAt returns what a grant was at a revision, as the history has it. No row means
-- that it is not known.
-- name: GrantStateAt :one
SELECT after_state FROM config_changes
WHERE resource_kind = 'grant' AND resource_name = @resource_name AND revision <= @revision
ORDER BY revision DESC
LIMIT 1;

-- GrantSubjects tells which of some names there are.
-- name: GrantSubjects :one
SELECT
    EXISTS (SELECT 1 FROM teams WHERE teams.team_id = @team_id)::boolean AS team,
    EXISTS (
        SELECT 1 FROM keys
        JOIN teams ON teams.uid = keys.team_uid
        WHERE 'teams/' || teams.team_id || '/keys/' || keys.key_id = @key_name
    )::boolean AS key,
    EXISTS (SELECT 1 FROM users WHERE users.user_id = @user_id)::boolean AS user_known,
    EXISTS (SELECT 1 FROM issuers WHERE issuers.issuer_id = @issuer_id)::boolean AS issuer,
    EXISTS (SELECT 1 FROM agents WHERE agents.agent_id = @agent_id)::boolean AS agent;

-- GrantTeamOfAgents returns the team of an agent, or the team of an id.
-- name: GrantTeamOfAgents :one
SELECT teams.uid, teams.team_id
FROM teams
LEFT JOIN agents ON agents.team_uid = teams.uid AND agents.agent_id = @agent_id
WHERE agents.uid IS NOT NULL OR teams.team_id = @team_id;

-- GrantUpdate changes what may change of a grant.
-- name: GrantUpdate :exec
UPDATE grants
SET expire_time = @expire_time, disabled = @disabled, description = @description, etag = @etag, update_time = @update_time
WHERE uid = @uid;
