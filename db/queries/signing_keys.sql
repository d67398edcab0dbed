-- SigningKeyInsert adds the newest key of a purpose. No row means that there is one.
-- name: SigningKeyInsert :execrows
INSERT INTO signing_keys (kid, purpose, public_jwk, sealed_private_key, kek_id, create_time, sign_time)
VALUES (@kid, @purpose, @public_jwk, @sealed_private_key, @kek_id, @create_time, @sign_time)
ON CONFLICT (purpose) WHERE retire_time IS NULL DO NOTHING;

-- SigningKeyList lists the keys of a purpose that are not retired, the newest first.
-- name: SigningKeyList :many
SELECT * FROM signing_keys
WHERE purpose = @purpose AND (retire_time IS NULL OR retire_time > @at::timestamptz)
ORDER BY retire_time DESC NULLS FIRST, kid;

-- SigningKeyPurge forgets retired keys, their private parts with them.
-- name: SigningKeyPurge :exec
DELETE FROM signing_keys WHERE purpose = @purpose AND retire_time <= @at::timestamptz;

-- SigningKeyReseal replaces the sealed private part unless another replica did.
-- name: SigningKeyReseal :exec
UPDATE signing_keys SET sealed_private_key = @sealed_private_key, kek_id = @kek_id
WHERE kid = @kid AND kek_id = @old_kek_id;

-- SigningKeyRetire says when the newest key of a purpose ends. No row means that it is
-- not the newest any more.
-- name: SigningKeyRetire :execrows
UPDATE signing_keys SET retire_time = @retire_time::timestamptz
WHERE kid = @kid AND purpose = @purpose AND retire_time IS NULL;
