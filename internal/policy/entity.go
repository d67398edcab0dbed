package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
)

// UID names an entity: its type in the schema and its id.
type UID = types.EntityUID

// Entity is what policies know of an entity: its parents and its attributes.
// It is immutable.
type Entity = types.Entity

// The types of entities.
const (
	TypeTeam         types.EntityType = namespace + "Team"
	TypeUser         types.EntityType = namespace + "User"
	TypeKey          types.EntityType = namespace + "Key"
	TypeAnonymous    types.EntityType = namespace + "Anonymous"
	TypeRole         types.EntityType = namespace + "Role"
	TypeTag          types.EntityType = namespace + "Tag"
	TypeAgent        types.EntityType = namespace + "Agent"
	TypeToolServer   types.EntityType = namespace + "ToolServer"
	TypeTool         types.EntityType = namespace + "Tool"
	TypeTask         types.EntityType = namespace + "Task"
	TypeInstallation types.EntityType = namespace + "Installation"
	TypePolicy       types.EntityType = namespace + "Policy"
	TypeGrant        types.EntityType = namespace + "Grant"
	TypeEvent        types.EntityType = namespace + "Event"
	TypeIssuer       types.EntityType = namespace + "Issuer"
	typeAction       types.EntityType = namespace + "Action"
)

// Entities is the catalogue as policies see it, at one revision. Implementations are
// safe for concurrent use and always give the same answers: what changes is another
// value. Actions, roles, tags, the installation and the anonymous caller come from
// this package and are never asked for.
type Entities interface {
	// Entity returns an entity, false when there is none. It is called for the few
	// entities that a decision touches, once each, and not at all for an answer from
	// a [Cache]; what it returns may be made at the call.
	Entity(uid UID) (Entity, bool)
	// Generation returns a number that grows whenever what Entity returns for uid
	// changes, and is 0 for what does not exist.
	Generation(uid UID) uint64
	// Revision returns a number that differs between any two catalogues of which one
	// came from the other.
	Revision() uint64
}

// UIDs of what there is once.
var (
	AnonymousUID    = UID{Type: TypeAnonymous, ID: "anonymous"}
	InstallationUID = UID{Type: TypeInstallation, ID: "installation"}
	// AdminKeyUID is the holder of the admin key.
	AdminKeyUID = UID{Type: TypeKey, ID: "admin"}
)

// Role is what a principal may hold, everywhere or in one team.
type Role string

// The roles that have shipped policies.
const (
	RoleNameAdmin     Role = "admin" // everywhere only
	RoleNameTeamAdmin Role = "team-admin"
	RoleNamePublisher Role = "publisher"
	RoleNameApprover  Role = "approver"
	RoleNameAuditor   Role = "auditor"
	RoleNameMember    Role = "member"
	// RoleNameTeamKey is what keys hold that were given no role: they may do what every
	// key of a team could do before there were roles.
	RoleNameTeamKey Role = "team-key" // everywhere only
)

// UID returns the group of those who hold a role in a team; team "" means everywhere.
func (r Role) UID(team string) UID {
	if team == "" {
		return UID{Type: TypeRole, ID: types.String(r)}
	}
	return UID{Type: TypeRole, ID: types.String(team + "/" + string(r))}
}

// below are the roles that the holder of a role holds as well.
func (r Role) below() []Role {
	switch r {
	case RoleNameTeamAdmin:
		return []Role{RoleNamePublisher, RoleNameApprover, RoleNameMember}
	case RoleNamePublisher, RoleNameApprover:
		return []Role{RoleNameMember}
	default:
		return nil
	}
}

// builtin returns the entities that are the same in every installation.
func builtin(uid UID) (e Entity, ok bool) {
	switch uid.Type {
	case typeAction:
		if a, known := loadModel().actions[Action(uid.ID)]; known {
			return a.entity, true
		}
		return Entity{}, true
	case TypeRole:
		return roleEntity(uid), true
	case TypeTag, TypeAnonymous, TypeInstallation:
		return Entity{UID: uid}, true
	default:
		return Entity{}, false
	}
}

func roleEntity(uid UID) Entity {
	team, name, inTeam := strings.Cut(string(uid.ID), "/")
	if !inTeam {
		team, name = "", team
	}
	if team == "*" {
		return Entity{UID: uid}
	}
	role := Role(name)
	parents := []UID{role.UID("*")}
	for _, below := range role.below() {
		parents = append(parents, below.UID(team))
	}
	e := Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...)}
	if inTeam {
		e.Attributes = types.NewRecord(types.RecordMap{"team": TeamUID(team)})
	}
	return e
}

// TeamUID returns the UID of a team.
func TeamUID(id string) UID { return UID{Type: TypeTeam, ID: types.String(id)} }

// AgentUID returns the UID of an agent, as caller or callee.
func AgentUID(id string) UID { return UID{Type: TypeAgent, ID: types.String(id)} }

// KeyUID returns the UID of a key by its resource name, "teams/{team}/keys/{key}".
func KeyUID(name string) UID { return UID{Type: TypeKey, ID: types.String(name)} }

// UserUID returns the UID of a user by its resource name, "users/{user}".
func UserUID(name string) UID { return UID{Type: TypeUser, ID: types.String(name)} }

// TagUID returns the UID of the group of what carries a tag.
func TagUID(tag string) UID { return UID{Type: TypeTag, ID: types.String(tag)} }

// TeamEntity returns a team.
func TeamEntity(id string) Entity {
	return Entity{UID: TeamUID(id), Attributes: types.NewRecord(types.RecordMap{
		"id":         types.String(id),
		"admins":     RoleNameTeamAdmin.UID(id),
		"publishers": RoleNamePublisher.UID(id),
		"approvers":  RoleNameApprover.UID(id),
		"auditors":   RoleNameAuditor.UID(id),
		"members":    RoleNameMember.UID(id),
	})}
}

// KeyEntity returns a key. Without roles it holds [RoleNameTeamKey]. The admin key has
// the name "admin" and no team.
func KeyEntity(name, team string, disabled bool, roles ...UID) Entity {
	attrs := types.RecordMap{"id": types.String(name), "state": enabledState(disabled)}
	parents := slices.Clone(roles)
	if team != "" {
		attrs["team"] = TeamUID(team)
		parents = append(parents, TeamUID(team))
	}
	if len(roles) == 0 {
		role := RoleNameTeamKey
		if name == string(AdminKeyUID.ID) {
			role = RoleNameAdmin
		}
		parents = append(parents, role.UID(""))
	}
	return Entity{UID: KeyUID(name), Parents: types.NewEntityUIDSet(parents...), Attributes: types.NewRecord(attrs)}
}

// UserEntity returns a user who belongs to teams and holds roles. Who belongs to a
// team and was given no role in it is a member of it.
func UserEntity(name, issuer string, disabled bool, teams []string, roles ...UID) Entity {
	attrs := types.RecordMap{"id": types.String(name), "state": enabledState(disabled)}
	if issuer != "" {
		attrs["issuer"] = types.String(issuer)
	}
	parents := slices.Clone(roles)
	for _, team := range teams {
		parents = append(parents, TeamUID(team))
		if !slices.ContainsFunc(roles, func(r UID) bool { return strings.HasPrefix(string(r.ID), team+"/") }) {
			parents = append(parents, RoleNameMember.UID(team))
		}
	}
	return Entity{UID: UserUID(name), Parents: types.NewEntityUIDSet(parents...), Attributes: types.NewRecord(attrs)}
}

func enabledState(disabled bool) types.String {
	if disabled {
		return "DISABLED"
	}
	return "ACTIVE"
}

// Target is what agents and tool servers have in common.
type Target struct {
	ID         string
	Team       string
	Visibility string
	State      string
	Tags       []string
	Protocol   string
}

// AgentEntity returns an agent. Without a role in its team it is a member of it: the roles
// that other teams give it take nothing away.
func AgentEntity(t Target, roles ...UID) Entity {
	parents := append([]UID{TeamUID(t.Team)}, roles...)
	if !slices.ContainsFunc(roles, func(r UID) bool { return strings.HasPrefix(string(r.ID), t.Team+"/") }) {
		parents = append(parents, RoleNameMember.UID(t.Team))
	}
	attrs := t.attributes()
	return Entity{
		UID: AgentUID(t.ID), Parents: types.NewEntityUIDSet(t.tagged(parents)...), Attributes: types.NewRecord(attrs),
	}
}

// ToolServerEntity returns a tool server.
func ToolServerEntity(t Target) Entity {
	return Entity{
		UID:        UID{Type: TypeToolServer, ID: types.String(t.ID)},
		Parents:    types.NewEntityUIDSet(t.tagged([]UID{TeamUID(t.Team)})...),
		Attributes: types.NewRecord(t.attributes()),
	}
}

// ToolEntity returns a tool of a tool server.
func ToolEntity(server string, t Target) Entity {
	serverUID := UID{Type: TypeToolServer, ID: types.String(server)}
	attrs := t.attributes()
	attrs["server"] = serverUID
	return Entity{
		UID:        UID{Type: TypeTool, ID: types.String(server + "/" + t.ID)},
		Parents:    types.NewEntityUIDSet(t.tagged([]UID{serverUID, TeamUID(t.Team)})...),
		Attributes: types.NewRecord(attrs),
	}
}

func (t Target) tagged(parents []UID) []UID {
	for _, tag := range t.Tags {
		parents = append(parents, TagUID(tag))
	}
	return parents
}

func (t Target) attributes() types.RecordMap {
	tags := make([]types.Value, len(t.Tags))
	for i, tag := range t.Tags {
		tags[i] = types.String(tag)
	}
	return types.RecordMap{
		"id": types.String(t.ID), "team": TeamUID(t.Team), "visibility": types.String(t.Visibility),
		"state": types.String(t.State), "tags": types.NewSet(tags...), "protocol": types.String(t.Protocol),
	}
}

// TaskEntity returns a task of an agent; team is its owner's and may be empty.
func TaskEntity(id, agent, team, state string) Entity {
	attrs := types.RecordMap{"id": types.String(id), "agent": AgentUID(agent), "state": types.String(state)}
	if team != "" {
		attrs["team"] = TeamUID(team)
	}
	return Entity{
		UID: UID{Type: TypeTask, ID: types.String(id)}, Parents: types.NewEntityUIDSet(AgentUID(agent)),
		Attributes: types.NewRecord(attrs),
	}
}

// EventEntity returns an event; team is that of its caller and may be empty.
func EventEntity(id, team string) Entity { return ownedEntity(TypeEvent, id, team) }

// GrantEntity returns a grant; team owns the agents that it is about and may be empty.
func GrantEntity(id, team string) Entity { return ownedEntity(TypeGrant, id, team) }

func ownedEntity(t types.EntityType, id, team string) Entity {
	attrs := types.RecordMap{"id": types.String(id)}
	if team != "" {
		attrs["team"] = TeamUID(team)
	}
	return Entity{UID: UID{Type: t, ID: types.String(id)}, Attributes: types.NewRecord(attrs)}
}

// EntityOfPolicy returns a policy as a resource.
func EntityOfPolicy(id string, mode Mode) Entity {
	return Entity{UID: UID{Type: TypePolicy, ID: types.String(id)}, Attributes: types.NewRecord(types.RecordMap{
		"id": types.String(id), "mode": types.String(mode),
	})}
}

// IssuerEntity returns an issuer of tokens.
func IssuerEntity(id string) Entity {
	return Entity{
		UID:        UID{Type: TypeIssuer, ID: types.String(id)},
		Attributes: types.NewRecord(types.RecordMap{"id": types.String(id)}),
	}
}

// FixedEntities are entities held in a map, for replays and tests. Every one has the
// catalogue's revision as its generation.
type FixedEntities struct {
	entities types.EntityMap
	revision uint64
}

var _ Entities = (*FixedEntities)(nil)

// NewFixedEntities returns a catalogue of some entities. Revisions must be positive.
func NewFixedEntities(revision uint64, entities ...Entity) *FixedEntities {
	f := &FixedEntities{entities: make(types.EntityMap, len(entities)), revision: revision}
	for _, e := range entities {
		f.entities[e.UID] = e
	}
	return f
}

// Entity returns an entity, false when there is none.
func (f *FixedEntities) Entity(uid UID) (Entity, bool) {
	e, ok := f.entities[uid]
	return e, ok
}

// Generation returns the revision for what exists, 0 for what does not.
func (f *FixedEntities) Generation(uid UID) uint64 {
	if _, ok := f.entities[uid]; !ok {
		return 0
	}
	return f.revision
}

// Revision returns the revision that the catalogue was made with.
func (f *FixedEntities) Revision() uint64 { return f.revision }

// kinds are the words in front of ids where people and JSON name entities.
func kinds() [15]struct {
	word string
	t    types.EntityType
} {
	return [...]struct {
		word string
		t    types.EntityType
	}{
		{"team", TypeTeam},
		{"user", TypeUser},
		{"key", TypeKey},
		{"anonymous", TypeAnonymous},
		{"role", TypeRole},
		{"tag", TypeTag},
		{"agent", TypeAgent},
		{"toolServer", TypeToolServer},
		{"tool", TypeTool},
		{"task", TypeTask},
		{"installation", TypeInstallation},
		{"policy", TypePolicy},
		{"grant", TypeGrant},
		{"event", TypeEvent},
		{"issuer", TypeIssuer},
	}
}

// ParseUID reads the short form of a UID: "key:teams/research/keys/ci",
// "agent:planner", "team:research". The anonymous caller is "anonymous" and the
// installation "installation".
func ParseUID(s string) (UID, error) {
	word, id, ok := strings.Cut(s, ":")
	for _, k := range kinds() {
		switch {
		case k.word != word:
		case k.t == TypeAnonymous && !ok:
			return AnonymousUID, nil
		case k.t == TypeInstallation && !ok:
			return InstallationUID, nil
		case ok && id != "" && k.t != TypeAnonymous && k.t != TypeInstallation:
			return UID{Type: k.t, ID: types.String(id)}, nil
		}
	}
	return UID{}, fmt.Errorf("%w: %q is not of the form kind:id, such as %q", ErrBadName, s, "agent:planner")
}

// FormatUID writes the short form of a UID.
func FormatUID(uid UID) string {
	if uid == AnonymousUID || uid == InstallationUID {
		return string(uid.ID)
	}
	for _, k := range kinds() {
		if k.t == uid.Type {
			return k.word + ":" + string(uid.ID)
		}
	}
	return uid.String()
}
