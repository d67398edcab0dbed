-- ReplayGet returns a replay.
-- name: ReplayGet :one
SELECT * FROM policy_replays WHERE uid = @uid;

-- ReplayInsert keeps what a replay came to.
-- name: ReplayInsert :exec
INSERT INTO policy_replays (uid, draft_sha256, policy_id, author, teams, report, create_time)
VALUES (@uid, @draft_sha256, @policy_id, @author, @teams, @report, @create_time);
