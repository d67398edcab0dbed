-- IssuerDelete removes an issuer with its users.
-- name: IssuerDelete :exec
DELETE FROM issuers WHERE uid = @uid;

-- IssuerGet returns an issuer by its id.
-- name: IssuerGet :one
SELECT * FROM issuers WHERE issuer_id = @issuer_id;

-- IssuerGetByUID returns an issuer by its uid.
-- name: IssuerGetByUID :one
SELECT * FROM issuers WHERE uid = @uid;

-- IssuerHasRoles tells whether users of an issuer hold roles.
-- name: IssuerHasRoles :one
SELECT EXISTS (
    SELECT 1 FROM role_members
    JOIN users ON users.uid = role_members.principal_uid
    WHERE users.issuer_uid = @issuer_uid
)::boolean;

-- IssuerInsert stores a new issuer.
-- name: IssuerInsert :exec
INSERT INTO issuers (
    uid, issuer_id, display_name, disabled, issuer_url, jwks, jwks_url, audiences, algorithms, skew_ms, name_claim,
    email_claim, claim_mappings, user_key, etag, create_time, update_time
) VALUES (
    @uid, @issuer_id, @display_name, @disabled, @issuer_url, @jwks, @jwks_url, @audiences, @algorithms, @skew_ms, @name_claim,
    @email_claim, @claim_mappings, @user_key, @etag, @create_time, @update_time
);

-- IssuerList returns a page of issuers ordered by id.
-- name: IssuerList :many
SELECT * FROM issuers
WHERE issuer_id > @after_id
ORDER BY issuer_id
LIMIT @max_rows;

-- IssuerUpdate changes what may change of an issuer.
-- name: IssuerUpdate :exec
UPDATE issuers
SET display_name = @display_name,
    disabled = @disabled,
    issuer_url = @issuer_url,
    jwks = @jwks,
    jwks_url = @jwks_url,
    audiences = @audiences,
    algorithms = @algorithms,
    skew_ms = @skew_ms,
    name_claim = @name_claim,
    email_claim = @email_claim,
    claim_mappings = @claim_mappings,
    etag = @etag,
    update_time = @update_time
WHERE uid = @uid;

-- IssuerUsed tells whether an issuer has an id, and whether one that was deleted had it.
-- name: IssuerUsed :one
SELECT
    EXISTS (SELECT 1 FROM issuers WHERE issuer_id = @issuer_id)::boolean AS present,
    EXISTS (
        SELECT 1 FROM config_changes
        WHERE resource_kind = 'issuer' AND verb = 'delete' AND resource_name = @issuer_name
    )::boolean AS deleted;

-- IssuerURLUsed tells whether another issuer has a url.
-- name: IssuerURLUsed :one
SELECT EXISTS (SELECT 1 FROM issuers WHERE issuer_url = @issuer_url AND uid <> @uid)::boolean;
