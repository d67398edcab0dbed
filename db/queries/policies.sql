-- PolicyDelete removes a policy with its versions.
-- name: PolicyDelete :exec
DELETE FROM policies WHERE uid = @uid;

-- PolicyGet returns a policy with its versions in use.
-- name: PolicyGet :one
SELECT * FROM policies WHERE policy_id = @policy_id;

-- PolicyInsert stores a new policy.
-- name: PolicyInsert :exec
INSERT INTO policies (
    uid, policy_id, description, shipped, last_version, current_version, current_mode, shadow_version, etag, create_time, update_time
) VALUES (
    @uid, @policy_id, @description, @shipped, @last_version, @current_version, @current_mode, @shadow_version, @etag, @create_time,
    @update_time
);

-- PolicyList returns every policy there is a row of, ordered by id. Policies are written
-- by people, and are few.
-- name: PolicyList :many
SELECT * FROM policies ORDER BY policy_id;

-- PolicyUpdate changes what may change of a policy.
-- name: PolicyUpdate :exec
UPDATE policies
SET description = @description,
    last_version = @last_version,
    current_version = @current_version,
    current_mode = @current_mode,
    shadow_version = @shadow_version,
    etag = @etag,
    update_time = @update_time
WHERE uid = @uid;

-- PolicyVersionAttachReplay says which replay was looked at before a version came into
-- force that was tried before.
-- name: PolicyVersionAttachReplay :exec
UPDATE policy_versions
SET replay_uid = @replay_uid
WHERE policy_uid = @policy_uid AND policy_version = @policy_version;

-- PolicyVersionInUse returns the versions of policies that are in force, disabled or
-- tried.
-- name: PolicyVersionInUse :many
SELECT policy_versions.*
FROM policy_versions
JOIN policies ON policies.uid = policy_versions.policy_uid
WHERE policies.uid = ANY(@uids::uuid[])
    AND policy_versions.policy_version IN (policies.current_version, policies.shadow_version);

-- PolicyVersionInsert keeps a version.
-- name: PolicyVersionInsert :exec
INSERT INTO policy_versions (
    policy_uid, policy_version, cedar_text, applied_mode, author, comment, rollback_of, replay_uid, create_time
) VALUES (
    @policy_uid, @policy_version, @cedar_text, @applied_mode, @author, @comment, @rollback_of, @replay_uid, @create_time
);

-- PolicyVersionList returns versions of a policy below a number, the newest first.
-- name: PolicyVersionList :many
SELECT * FROM policy_versions
WHERE policy_uid = @policy_uid AND policy_version < @before_version
ORDER BY policy_version DESC
LIMIT @max_rows;
