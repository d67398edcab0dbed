-- IssuerSnapshot returns every issuer.
-- name: IssuerSnapshot :many
SELECT * FROM issuers;

-- IssuerSnapshotOf returns the issuers of some uids.
-- name: IssuerSnapshotOf :many
SELECT * FROM issuers WHERE uid = ANY(@uids::uuid[]);

-- KeyCertificateList returns the certificate names of keys, in order.
-- name: KeyCertificateList :many
SELECT key_uid, certificate_name
FROM key_certificates
WHERE key_uid = ANY(@key_uids::uuid[])
ORDER BY key_uid, certificate_name;

-- KeyCertificateSnapshot returns every certificate name, in order.
-- name: KeyCertificateSnapshot :many
SELECT key_uid, certificate_name FROM key_certificates ORDER BY key_uid, certificate_name;

-- RoleMemberSnapshot returns who holds which roles.
-- name: RoleMemberSnapshot :many
SELECT role_members.principal_uid, role_members.role_name, coalesce(teams.team_id, '')::text AS team_id
FROM role_members
LEFT JOIN teams ON teams.uid = role_members.team_uid
ORDER BY role_members.principal_uid, team_id, role_members.role_name;

-- RoleMemberSnapshotOf returns the roles of some principals.
-- name: RoleMemberSnapshotOf :many
SELECT role_members.principal_uid, role_members.role_name, coalesce(teams.team_id, '')::text AS team_id
FROM role_members
LEFT JOIN teams ON teams.uid = role_members.team_uid
WHERE role_members.principal_uid = ANY(@principal_uids::uuid[])
ORDER BY role_members.principal_uid, team_id, role_members.role_name;

-- TeamSnapshot returns every team.
-- name: TeamSnapshot :many
SELECT * FROM teams;

-- TeamSnapshotOf returns the teams of some uids.
-- name: TeamSnapshotOf :many
SELECT * FROM teams WHERE uid = ANY(@uids::uuid[]);

-- UserSnapshot returns the users of whom replicas must know more than their tokens say.
-- name: UserSnapshot :many
SELECT sqlc.embed(users), issuers.issuer_id
FROM users
JOIN issuers ON issuers.uid = users.issuer_uid
WHERE users.disabled
    OR EXISTS (SELECT 1 FROM role_members WHERE role_members.principal_uid = users.uid);

-- UserSnapshotOf returns the users of some uids.
-- name: UserSnapshotOf :many
SELECT sqlc.embed(users), issuers.issuer_id
FROM users
JOIN issuers ON issuers.uid = users.issuer_uid
WHERE users.uid = ANY(@uids::uuid[]);
