package identity

import (
	"time"

	"github.com/google/uuid"
)

// User is somebody whom an issuer of tokens knows. Users come by themselves with their
// first token, or are made before, to be given roles.
type User struct {
	// UID is made of the issuer and the subject: see [Issuer.UserUID].
	UID uuid.UUID
	// ID is the last part of the name, "{issuer}~{subject}": see [Issuer.UserID].
	ID        string
	IssuerUID uuid.UUID
	Issuer    string // the issuer's id
	Subject   string
	// DisplayName and Email are those of the newest token, or as they were given.
	DisplayName, Email string
	Disabled           bool
	LastUsed           time.Time // zero means never; not loaded into snapshots
	// Roles are those that the user was given, in order; not loaded into snapshots.
	Roles []RoleIn

	Etag       string
	CreateTime time.Time
	UpdateTime time.Time
}

// Name returns the resource name, "users/{user}".
func (u User) Name() string { return UserName(u.ID) }

// UserName makes a resource name of a user's id.
func UserName(id string) string { return "users/" + id }
