-- UserDelete removes a user.
-- name: UserDelete :exec
DELETE FROM users WHERE uid = @uid;

-- UserDisabledOfIssuer returns the users of an issuer who are disabled.
-- name: UserDisabledOfIssuer :many
SELECT * FROM users
WHERE issuer_uid = @issuer_uid AND disabled
ORDER BY user_id;

-- UserGet returns a user by its id.
-- name: UserGet :one
SELECT sqlc.embed(users), issuers.issuer_id
FROM users
JOIN issuers ON issuers.uid = users.issuer_uid
WHERE users.user_id = @user_id;

-- UserGetByUID returns a user by its uid.
-- name: UserGetByUID :one
SELECT sqlc.embed(users), issuers.issuer_id
FROM users
JOIN issuers ON issuers.uid = users.issuer_uid
WHERE users.uid = @uid;

-- UserInsert stores a new user, unless it came by itself meanwhile.
-- name: UserInsert :execrows
INSERT INTO users (uid, user_id, issuer_uid, subject, display_name, email, disabled, etag, create_time, update_time)
VALUES (@uid, @user_id, @issuer_uid, @subject, @display_name, @email, @disabled, @etag, @create_time, @update_time)
ON CONFLICT DO NOTHING;

-- UserList returns a page of users ordered by id.
-- name: UserList :many
SELECT sqlc.embed(users), issuers.issuer_id
FROM users
JOIN issuers ON issuers.uid = users.issuer_uid
WHERE users.user_id > @after_id
    AND (sqlc.narg(only_issuer)::text IS NULL OR issuers.issuer_id = sqlc.narg(only_issuer))
    AND (users.disabled OR NOT @disabled_only::boolean)
ORDER BY users.user_id
LIMIT @max_rows;

-- UserUpdate changes what may change of a user.
-- name: UserUpdate :exec
UPDATE users
SET display_name = @display_name, email = @email, disabled = @disabled, etag = @etag, update_time = @update_time
WHERE uid = @uid;

-- UserUseRecord notes who called, and when: users who are not there yet come to be, and
-- names are those of the newest token. Users of issuers that are gone are passed over.
-- name: UserUseRecord :exec
INSERT INTO users AS present (
    uid, user_id, issuer_uid, subject, display_name, email, last_used_time, etag, create_time, update_time
)
SELECT used.uid, used.user_id, issuers.uid, used.subject, used.display_name, used.email, used.at, used.etag, used.at, used.at
FROM (
    SELECT unnest(@uids::uuid[]) AS uid, unnest(@user_ids::text[]) AS user_id, unnest(@issuer_ids::text[]) AS issuer_id,
        unnest(@subjects::text[]) AS subject, unnest(@display_names::text[]) AS display_name, unnest(@emails::text[]) AS email,
        unnest(@times::timestamptz[]) AS at, unnest(@etags::text[]) AS etag
) AS used
JOIN issuers ON issuers.issuer_id = used.issuer_id
ORDER BY used.uid -- one order for all replicas, so that none waits for another in a circle
ON CONFLICT (uid) DO UPDATE
SET last_used_time = greatest(present.last_used_time, excluded.last_used_time),
    display_name = coalesce(nullif(excluded.display_name, ''), present.display_name),
    email = coalesce(nullif(excluded.email, ''), present.email);
