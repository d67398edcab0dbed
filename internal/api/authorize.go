package api

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/snapshot"
)

// asked is what a call is about, as people and as policies name it.
type asked struct {
	uid  policy.UID
	name string
	// row is the thing as it was read, for policies where the snapshot does not have it,
	// or not yet; its zero value is for what the snapshot always has.
	row policy.Entity
}

// installation is what belongs to no team.
func installation() asked { return asked{uid: policy.InstallationUID, name: "the installation"} }

func agentResource(a *registry.Agent) asked {
	row := snapshot.AgentEntity(&snapshot.Agent{Agent: a}, nil)
	return asked{uid: row.UID, name: a.Name(), row: row}
}

func teamResource(id string) asked {
	return asked{uid: policy.TeamUID(id), name: identity.TeamName(id), row: policy.TeamEntity(id)}
}

func keyResource(team, id string, disabled bool) asked {
	name := identity.KeyName(team, id)
	return asked{uid: policy.KeyUID(name), name: name, row: policy.KeyEntity(name, team, disabled)}
}

func userResource(u *identity.User) asked {
	return asked{uid: policy.UserUID(u.Name()), name: u.Name(), row: policy.UserEntity(u.Name(), u.Issuer, u.Disabled, nil)}
}

func issuerResource(id string) asked {
	row := policy.IssuerEntity(id)
	return asked{uid: row.UID, name: "issuers/" + id, row: row}
}

// roleResource is a role in a team, or everywhere when the team is empty.
func roleResource(role, team string) asked {
	name := "roles/" + role
	if team != "" {
		name = identity.TeamName(team) + "/" + name
	}
	return asked{uid: policy.Role(role).UID(team), name: name}
}

func policyResource(id string, mode policy.Mode) asked {
	row := policy.EntityOfPolicy(id, mode)
	return asked{uid: row.UID, name: "policies/" + id, row: row}
}

// grantResource is a grant about the agents of a team, or of several when it is empty.
func grantResource(id, team string) asked {
	row := policy.GrantEntity(id, team)
	return asked{uid: row.UID, name: "grants/" + id, row: row}
}

func eventResource(e *audit.Event) asked {
	row := policy.EventEntity(e.Invocation.String(), e.Team)
	return asked{uid: row.UID, name: "events/" + e.Invocation.String(), row: row}
}

// question is what the decision point is asked on behalf of the caller.
func (a *api) question(ctx context.Context, snap *snapshot.Snapshot, action policy.Action, r asked) policy.Query {
	call := interceptor.FromContext(ctx)
	q := policy.Query{
		Principal: snapshot.PrincipalUID(&call.Principal), Action: action, Resource: r.uid,
		Context: policy.Context{Time: a.clock.Now(), Method: call.Method, SourceAddress: call.Source},
		Claims:  snap.Claims(&call.Principal),
	}
	if !r.row.UID.IsZero() && r.uid != q.Principal {
		// The snapshot goes first: it knows the roles as well.
		if _, ok := snap.Entities().Entity(r.uid); !ok {
			q.Extra = []policy.Entity{r.row}
		}
	}
	return q
}

// may tells whether the caller is permitted something, for what is shown. Nothing is
// recorded of it: the call itself was decided before.
func (a *api) may(ctx context.Context, action policy.Action, r asked) bool {
	snap := a.snapshot()
	return a.decisions.Peek(snap.Policies(), snap.Entities(), a.question(ctx, snap, action, r)).Permit
}

// authorize asks the one decision point. What the caller may not see is hidden, and
// looks as if it did not exist; what it may see but not do is denied.
func (a *api) authorize(ctx context.Context, action policy.Action, r asked, hidden error) error {
	permitted, err := a.decide(ctx, action, r)
	switch {
	case err != nil:
		return err
	case permitted:
		return nil
	case r.uid.Type == policy.TypeInstallation:
		return denied(ctx, action, r, "you may not do this: "+string(action)+" needs a role or a policy that permits it; ask an admin of the installation")
	case a.reads(ctx, r):
		return denied(ctx, action, r, "you may read "+r.name+", but "+string(action)+" needs a role, a grant or a policy that permits it")
	case r.uid.Type == policy.TypeAgent && a.discovers(ctx, r):
		what := "change"
		if action == policy.GetAgent {
			what = "read"
		}
		return denied(ctx, action, r, "you may call "+r.name+" but not "+what+" its registration: that is for the team that owns it")
	}
	return hidden
}

func denied(ctx context.Context, action policy.Action, r asked, text string) error {
	return &deniedError{action: string(action), resource: r.name, decision: interceptor.FromContext(ctx).Record.Decision(), text: text}
}

// reads tells whether the caller may read a thing.
func (a *api) reads(ctx context.Context, r asked) bool {
	switch r.uid.Type {
	case policy.TypeAgent:
		return a.may(ctx, policy.GetAgent, r)
	case policy.TypeTeam:
		return a.may(ctx, policy.GetTeam, r)
	case policy.TypeKey:
		return a.may(ctx, policy.GetKey, r)
	case policy.TypeUser:
		return a.may(ctx, policy.GetUser, r)
	case policy.TypeRole:
		return a.may(ctx, policy.ListRoleMembers, r)
	case policy.TypeIssuer:
		return a.may(ctx, policy.GetIssuer, r)
	case policy.TypePolicy:
		return a.may(ctx, policy.GetPolicy, r)
	case policy.TypeGrant:
		return a.may(ctx, policy.GetGrant, r)
	case policy.TypeEvent:
		return a.may(ctx, policy.GetEvent, r)
	}
	return false
}

// discovers tells whether the caller sees an agent as one that it may call.
func (a *api) discovers(ctx context.Context, r asked) bool {
	snap := a.snapshot()
	peek := func(q policy.Query) policy.Answer { return a.decisions.Peek(snap.Policies(), snap.Entities(), q) }
	_, visible := policy.Visible(peek, a.question(ctx, snap, policy.Discover, r))
	return visible
}

// scope is of whose resources a list may show some.
type scope struct {
	all   bool
	teams []string // when not all: in order
}

// only returns the one team that a list is of, for queries that know of one; empty means
// that the rows must be looked at.
func (s scope) only() string {
	if !s.all && len(s.teams) == 1 {
		return s.teams[0]
	}
	return ""
}

// has tells whether the scope has what a team owns.
func (s scope) has(team string) bool {
	if s.all {
		return true
	}
	_, found := slices.BinarySearch(s.teams, team)
	return found
}

// listScope returns whose resources the caller may list: those of all teams when it may
// list those of the installation, else those of each team of which it may. It puts the
// decision into the record.
func (a *api) listScope(ctx context.Context, list policy.Action, what string) (scope, error) {
	return a.scopeOf(ctx, list, list, what)
}

// scopeOf is listScope with the action that is asked about each team.
func (a *api) scopeOf(ctx context.Context, list, ofTeam policy.Action, what string) (scope, error) {
	if a.may(ctx, list, installation()) {
		_, err := a.decide(ctx, list, installation())
		return scope{all: true}, err
	}
	snap, caller := a.snapshot(), interceptor.Principal(ctx)
	var teams []string
	snap.EachTeam(func(t *identity.Team) bool {
		if a.may(ctx, ofTeam, teamResource(t.ID)) {
			teams = append(teams, t.ID)
		}
		return true
	})
	slices.Sort(teams)
	action, about := list, installation()
	if len(teams) > 0 {
		about, action = teamResource(teams[0]), ofTeam
		if slices.Contains(teams, caller.Team) {
			about = teamResource(caller.Team)
		}
	}
	permitted, err := a.decide(ctx, action, about)
	switch {
	case err != nil:
		return scope{}, err
	case !permitted:
		return scope{}, denied(ctx, list, about, "you may not list "+what)
	}
	return scope{teams: teams}, nil
}

// maxScanned bounds how many rows one call looks at to fill a page, and scanStep is how many
// it reads at once when rows turn out not to be the caller's to see.
const (
	maxScanned = 5000
	scanStep   = 250
)

// fillPage fills a page with the rows that the caller may see. next returns rows after the
// last one that it was given, nil at first, and whether there are more. The last row that
// was looked at is where the next page begins; it may be one that the caller does not see.
func fillPage[T any](limit int, next func(after *T, limit int) ([]T, bool, error), sees func(*T) bool) (shown []T, last *T, more bool, err error) {
	for scanned := 0; len(shown) < limit && scanned < maxScanned; {
		step := limit - len(shown)
		if scanned > 0 {
			step = max(step, scanStep)
		}
		var rows []T
		rows, more, err = next(last, step)
		if err != nil {
			return nil, nil, false, err
		}
		for i := range rows {
			if len(shown) == limit {
				return shown, last, true, nil
			}
			last = &rows[i]
			if sees(last) {
				shown = append(shown, rows[i])
			}
		}
		scanned += len(rows)
		if !more {
			break
		}
	}
	return shown, last, more, nil
}

// sourceOf reads the address of a caller.
func sourceOf(remote string) netip.Addr {
	if at, err := netip.ParseAddrPort(remote); err == nil {
		return at.Addr()
	}
	return netip.Addr{}
}

// originOf is the scheme and authority that a caller used.
func originOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// methodOf returns the method of a path, as context.method names it.
func methodOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
