-- GrantSnapshot returns every grant that may decide.
-- name: GrantSnapshot :many
SELECT * FROM grants;

-- GrantSnapshotOf returns the grants of some uids.
-- name: GrantSnapshotOf :many
SELECT * FROM grants WHERE uid = ANY(@uids::uuid[]);

-- PolicySnapshot returns every policy with the texts of its versions in use; a text is
-- empty where there is no such version.
-- name: PolicySnapshot :many
SELECT
    sqlc.embed(policies),
    coalesce(present.cedar_text, '')::text AS current_text,
    coalesce(shadow.cedar_text, '')::text AS shadow_text
FROM policies
LEFT JOIN policy_versions AS present
    ON present.policy_uid = policies.uid AND present.policy_version = policies.current_version
LEFT JOIN policy_versions AS shadow
    ON shadow.policy_uid = policies.uid AND shadow.policy_version = policies.shadow_version;

-- PolicySnapshotOf returns the policies of some uids as PolicySnapshot does.
-- name: PolicySnapshotOf :many
SELECT
    sqlc.embed(policies),
    coalesce(present.cedar_text, '')::text AS current_text,
    coalesce(shadow.cedar_text, '')::text AS shadow_text
FROM policies
LEFT JOIN policy_versions AS present
    ON present.policy_uid = policies.uid AND present.policy_version = policies.current_version
LEFT JOIN policy_versions AS shadow
    ON shadow.policy_uid = policies.uid AND shadow.policy_version = policies.shadow_version
WHERE policies.uid = ANY(@uids::uuid[]);
