package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/credential"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/policy"
	"github.com/signalbox-dev/signalbox/internal/registry"
	"github.com/signalbox-dev/signalbox/internal/store/dbsqlc"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

var _ registry.Store = (*Store)(nil)

// agentDocument is an agent in the history. The card stands there by its hash: its
// bytes are kept under the agent's revision.
type agentDocument struct {
	Name               string              `json:"name"`
	Team               string              `json:"team"`
	DisplayName        string              `json:"display_name"`
	Description        string              `json:"description"`
	Tags               []string            `json:"tags"`
	Aliases            []string            `json:"aliases"`
	Visibility         string              `json:"visibility"`
	State              string              `json:"state"`
	SuspendedFrom      string              `json:"suspended_from,omitempty"`
	SuspendReason      string              `json:"suspend_reason,omitempty"`
	Push               string              `json:"push"`
	PushAllowedHosts   []string            `json:"push_allowed_hosts"`
	ForwardHeaders     []string            `json:"forward_headers"`
	TrustCardAuthority bool                `json:"trust_card_authority"`
	PreferredDialects  []string            `json:"preferred_dialects,omitempty"`
	CardShape          string              `json:"card_shape,omitempty"`
	CardKeys           string              `json:"card_keys,omitempty"`
	Revision           int64               `json:"revision"`
	CardSource         string              `json:"card_source"`
	CardSHA256         string              `json:"card_sha256"`
	CardVerification   string              `json:"card_verification,omitempty"`
	CardKeyID          string              `json:"card_key_id,omitempty"`
	Endpoints          []registry.Endpoint `json:"endpoints"`
	// Credential has all that may be shown of it, its secret not.
	Credential        *credential.Credential `json:"credential,omitempty"`
	TransportSecurity *tlsDocument           `json:"transport_security,omitempty"`
	Etag              string                 `json:"etag"`
}

func agentDoc(a registry.Agent) agentDocument {
	sum := sha256.Sum256(a.Card)
	return agentDocument{
		Name: a.Name(), Team: identity.TeamName(a.Team), DisplayName: a.DisplayName, Description: a.Description, Tags: a.Tags,
		Aliases: a.Aliases, Visibility: string(a.Visibility), State: string(a.State),
		SuspendedFrom: string(a.Suspension.From), SuspendReason: a.Suspension.Reason, Push: string(a.Push), PushAllowedHosts: a.PushHosts,
		ForwardHeaders: a.ForwardHeaders, TrustCardAuthority: a.TrustCardAuthority, PreferredDialects: dialectNames(a.PreferredDialects),
		CardShape: string(a.CardShape), CardKeys: a.CardKeys, Revision: a.Revision,
		CardSource: string(a.CardSource), CardSHA256: hex.EncodeToString(sum[:]),
		CardVerification: string(a.CardVerification.State), CardKeyID: a.CardVerification.KeyID, Endpoints: a.Endpoints,
		Credential: a.Credential, TransportSecurity: tlsDoc(a.TLS), Etag: a.Etag,
	}
}

// dialectNames writes dialects as they are stored.
func dialectNames(dialects []a2a.Dialect) []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.String()
	}
	return names
}

// agentRow is what every query of agents returns.
type agentRow = dbsqlc.AgentGetRow

func agentOf(row agentRow) (registry.Agent, error) {
	a := registry.Agent{
		UID: row.Agent.UID, ID: row.Agent.AgentID, TeamUID: row.Agent.TeamUID, Team: row.TeamID,
		DisplayName: row.Agent.DisplayName, Description: row.Agent.Description, Tags: row.Agent.Tags, Aliases: row.Aliases,
		Visibility: registry.Visibility(row.Agent.Visibility), State: registry.State(row.Agent.LifecycleState),
		Suspension: registry.Suspension{
			From: registry.State(row.Agent.SuspendedFrom), Reason: row.Agent.SuspendReason, Time: moment(row.Agent.SuspendTime),
		},
		Push: registry.PushMode(row.Agent.PushMode), PushHosts: row.Agent.PushAllowedHosts, ForwardHeaders: row.Agent.ForwardHeaders,
		TrustCardAuthority: row.Agent.TrustCardAuthority, CardShape: registry.CardShape(row.Agent.CardShape), CardKeys: row.Agent.CardKeys,
		Warnings: row.Agent.Warnings,
		Revision: row.AgentRevision.Revision, Card: row.AgentRevision.Card, CardSource: registry.CardSource(row.AgentRevision.CardSource),
		CardVerification: registry.CardVerification{
			State: registry.CardVerificationState(row.AgentRevision.CardVerification), KeyID: row.AgentRevision.CardKeyID,
		},
		Etag: row.Agent.Etag, CreateTime: row.Agent.CreateTime.UTC(), UpdateTime: row.Agent.UpdateTime.UTC(),
	}
	for _, name := range row.Agent.PreferredDialects {
		if d, ok := a2a.ParseDialect(name); ok { // the schema lets no other in
			a.PreferredDialects = append(a.PreferredDialects, d)
		}
	}
	err := errors.Join(
		json.Unmarshal(row.AgentRevision.Endpoints, &a.Endpoints),
		json.Unmarshal(row.AgentRevision.Interfaces, &a.Interfaces),
		readSecrets(&a, row.Agent),
	)
	if err != nil {
		return registry.Agent{}, fmt.Errorf("read %s: %w", a.Name(), err)
	}
	return a, nil
}

// Agent implements [registry.Reader].
func (s *Store) Agent(ctx context.Context, id string) (registry.Agent, error) {
	row, err := s.queries.AgentGet(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return registry.Agent{}, registry.ErrAgentNotFound
	}
	if err != nil {
		return registry.Agent{}, fault(err)
	}
	return agentOf(row)
}

// AgentByUID implements [registry.Reader].
func (s *Store) AgentByUID(ctx context.Context, uid uuid.UUID) (registry.Agent, error) {
	a, err := s.agentByUID(ctx, s.pool, uid)
	return a, fault(err)
}

func (s *Store) agentByUID(ctx context.Context, db dbsqlc.DBTX, uid uuid.UUID) (registry.Agent, error) {
	row, err := s.queries.AgentGetByUID(ctx, db, uid)
	if errors.Is(err, pgx.ErrNoRows) {
		return registry.Agent{}, registry.ErrAgentNotFound
	}
	if err != nil {
		return registry.Agent{}, err
	}
	return agentOf(agentRow(row))
}

// TakenNames implements [registry.Reader].
func (s *Store) TakenNames(ctx context.Context, names []string, except uuid.UUID) ([]string, error) {
	taken, err := s.queries.AgentNameTaken(ctx, s.pool, dbsqlc.AgentNameTakenParams{Names: names, AgentUID: except})
	return taken, fault(err)
}

// AgentsWithoutCard implements [registry.Reader].
func (s *Store) AgentsWithoutCard(ctx context.Context) ([]uuid.UUID, error) {
	uids, err := s.queries.AgentWithoutCard(ctx, s.pool)
	return uids, fault(err)
}

// CreateAgent implements [registry.Writer].
func (s *Store) CreateAgent(ctx context.Context, author string, a registry.Agent) (registry.Agent, int64, error) {
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		team, err := s.queries.TeamGet(ctx, tx, a.Team)
		if errors.Is(err, pgx.ErrNoRows) {
			return change{}, identity.ErrTeamNotFound
		}
		if err != nil {
			return change{}, fmt.Errorf("read team: %w", err)
		}
		if err := errors.Join(s.checkNames(ctx, tx, a), s.checkIDTeam(ctx, tx, a)); err != nil {
			return change{}, err
		}
		a.TeamUID, a.Etag = team.UID, newEtag()
		secrets, err := secretsOf(&a)
		if err != nil {
			return change{}, err
		}
		err = s.queries.AgentInsert(ctx, tx, dbsqlc.AgentInsertParams{
			UID: a.UID, AgentID: a.ID, TeamUID: a.TeamUID, DisplayName: a.DisplayName, Description: a.Description, Tags: orEmpty(a.Tags),
			Visibility: string(a.Visibility), LifecycleState: string(a.State), PushMode: string(a.Push), PushAllowedHosts: orEmpty(a.PushHosts),
			ForwardHeaders: orEmpty(a.ForwardHeaders), TrustCardAuthority: a.TrustCardAuthority,
			PreferredDialects: dialectNames(a.PreferredDialects), CardShape: string(a.CardShape), CardKeys: a.CardKeys, Warnings: orEmpty(a.Warnings),
			Credential: secrets.credential, SealedCredential: secrets.sealedCredential, CredentialKekID: secrets.credentialKEK,
			TransportSecurity: secrets.tls, SealedClientKey: secrets.sealedKey, ClientKeyKekID: secrets.keyKEK,
			CurrentRevision: a.Revision, Etag: a.Etag, CreateTime: a.CreateTime, UpdateTime: a.UpdateTime,
		})
		if err != nil {
			return change{}, fmt.Errorf("store agent: %w", err)
		}
		if err := s.queries.AgentNameInsert(ctx, tx, dbsqlc.AgentNameInsertParams{AgentUID: a.UID, Names: []string{a.ID}}); err != nil {
			return change{}, fmt.Errorf("store name: %w", err)
		}
		err = s.queries.AgentNameInsert(ctx, tx, dbsqlc.AgentNameInsertParams{AgentUID: a.UID, Names: orEmpty(a.Aliases), Alias: true})
		if err != nil {
			return change{}, fmt.Errorf("store aliases: %w", err)
		}
		if err := s.writeRevision(ctx, tx, a); err != nil {
			return change{}, err
		}
		return change{kind: "agent", verb: "create", uid: a.UID, name: a.Name(), author: author, after: agentDoc(a), at: a.UpdateTime}, nil
	})
	return a, revision, err
}

// checkNames refuses names that other agents have. Configuration has one writer at a
// time, so none can be taken between this and the insert.
func (s *Store) checkNames(ctx context.Context, tx pgx.Tx, a registry.Agent) error {
	taken, err := s.queries.AgentNameTaken(ctx, tx, dbsqlc.AgentNameTakenParams{Names: append([]string{a.ID}, a.Aliases...), AgentUID: a.UID})
	if err != nil {
		return fmt.Errorf("look names up: %w", err)
	}
	if len(taken) > 0 {
		return &registry.NameTakenError{Name: taken[0]}
	}
	return nil
}

// checkIDTeam refuses the name of an agent that another team deleted: policies and grants
// that name it must not come to be about an agent of somebody else.
func (s *Store) checkIDTeam(ctx context.Context, tx pgx.Tx, a registry.Agent) error {
	team, err := s.queries.AgentIDTeam(ctx, tx, a.Name())
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for the last agent of this name: %w", err)
	case team != identity.TeamName(a.Team):
		return registry.ErrAgentIDUsed
	}
	return nil
}

func (s *Store) writeRevision(ctx context.Context, tx pgx.Tx, a registry.Agent) error {
	endpoints, err := json.Marshal(a.Endpoints)
	if err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	interfaces := []byte("[]")
	if len(a.Interfaces) > 0 {
		if interfaces, err = json.Marshal(a.Interfaces); err != nil {
			return fmt.Errorf("write interfaces: %w", err)
		}
	}
	card := a.Card
	if card == nil {
		card = []byte{}
	}
	err = s.queries.AgentRevisionInsert(ctx, tx, dbsqlc.AgentRevisionInsertParams{
		AgentUID: a.UID, Revision: a.Revision, Card: card, CardSource: string(a.CardSource),
		CardVerification: string(a.CardVerification.State), CardKeyID: a.CardVerification.KeyID, Endpoints: endpoints,
		Interfaces: interfaces, CreateTime: a.UpdateTime,
	})
	if err != nil {
		return fmt.Errorf("store revision: %w", err)
	}
	return nil
}

// UpdateAgent implements [registry.Writer].
func (s *Store) UpdateAgent(
	ctx context.Context, author string, uid uuid.UUID, edit func(*registry.Agent) (bool, error),
) (registry.Agent, int64, error) {
	return s.SetAgentState(ctx, author, "", uid, edit)
}

// SetAgentState implements [registry.Writer].
func (s *Store) SetAgentState(
	ctx context.Context, author, reason string, uid uuid.UUID, edit func(*registry.Agent) (bool, error),
) (registry.Agent, int64, error) {
	var a registry.Agent
	revision, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, _ int64) (change, error) {
		var err error
		if a, err = s.agentByUID(ctx, tx, uid); err != nil {
			return change{}, err
		}
		before, wasRevision := agentDoc(a), a.Revision
		changed, err := edit(&a)
		if err != nil {
			return change{}, err
		}
		if !changed {
			return change{}, errUnchanged
		}
		if err := s.checkNames(ctx, tx, a); err != nil {
			return change{}, err
		}
		if err := s.writeAliases(ctx, tx, before.Aliases, a); err != nil {
			return change{}, err
		}
		a.Etag = newEtag()
		secrets, err := secretsOf(&a)
		if err != nil {
			return change{}, err
		}
		err = s.queries.AgentUpdate(ctx, tx, dbsqlc.AgentUpdateParams{
			UID: uid, DisplayName: a.DisplayName, Description: a.Description, Tags: orEmpty(a.Tags), Visibility: string(a.Visibility),
			LifecycleState: string(a.State), SuspendedFrom: string(a.Suspension.From), SuspendReason: a.Suspension.Reason,
			SuspendTime: optional(a.Suspension.Time), PushMode: string(a.Push), PushAllowedHosts: orEmpty(a.PushHosts), ForwardHeaders: orEmpty(a.ForwardHeaders),
			TrustCardAuthority: a.TrustCardAuthority, PreferredDialects: dialectNames(a.PreferredDialects), CardShape: string(a.CardShape),
			CardKeys: a.CardKeys, Warnings: orEmpty(a.Warnings), CurrentRevision: a.Revision,
			Credential: secrets.credential, SealedCredential: secrets.sealedCredential, CredentialKekID: secrets.credentialKEK,
			TransportSecurity: secrets.tls, SealedClientKey: secrets.sealedKey, ClientKeyKekID: secrets.keyKEK,
			Etag: a.Etag, UpdateTime: a.UpdateTime,
		})
		if err != nil {
			return change{}, fmt.Errorf("store agent: %w", err)
		}
		if a.Revision != wasRevision {
			if err := s.writeRevision(ctx, tx, a); err != nil {
				return change{}, err
			}
		}
		return change{
			kind: "agent", verb: "update", uid: uid, name: a.Name(), author: author, reason: reason, before: before, after: agentDoc(a),
			at: a.UpdateTime,
		}, nil
	})
	return a, revision, err
}

// writeAliases makes the stored aliases those of a.
func (s *Store) writeAliases(ctx context.Context, tx pgx.Tx, stored []string, a registry.Agent) error {
	known := make(map[string]bool, len(stored))
	for _, alias := range stored {
		known[alias] = true
	}
	fresh := []string{}
	for _, alias := range a.Aliases {
		if !known[alias] {
			fresh = append(fresh, alias)
		}
	}
	if err := s.queries.AgentNameKeep(ctx, tx, dbsqlc.AgentNameKeepParams{AgentUID: a.UID, Kept: orEmpty(a.Aliases)}); err != nil {
		return fmt.Errorf("remove aliases: %w", err)
	}
	if err := s.queries.AgentNameInsert(ctx, tx, dbsqlc.AgentNameInsertParams{AgentUID: a.UID, Names: fresh, Alias: true}); err != nil {
		return fmt.Errorf("store aliases: %w", err)
	}
	return nil
}

// DeleteAgent implements [registry.Writer]. The agent's row in the history comes first,
// and the keys that were bound to it and its roles have rows of their own after that.
func (s *Store) DeleteAgent(ctx context.Context, author string, uid uuid.UUID, check func(registry.Agent) error) (int64, error) {
	var last int64
	_, err := s.configure(ctx, func(ctx context.Context, tx pgx.Tx, revision int64) (change, error) {
		a, err := s.agentByUID(ctx, tx, uid)
		if err != nil {
			return change{}, err
		}
		if err := check(a); err != nil {
			return change{}, err
		}
		now, err := txTime(ctx, tx)
		if err != nil {
			return change{}, err
		}
		if last, err = s.deleteAgentKeys(ctx, tx, author, uid, revision, now); err != nil {
			return change{}, err
		}
		h := identity.Holder{Kind: identity.KindAgent, UID: uid, Name: a.Name()}
		if last, err = s.dropRoles(ctx, tx, author, []identity.Holder{h}, last, now); err != nil {
			return change{}, err
		}
		if last, err = s.deleteGrantsNaming(ctx, tx, author, last, now, policy.AgentUID(a.ID)); err != nil {
			return change{}, err
		}
		return change{kind: "agent", verb: "delete", uid: uid, name: a.Name(), author: author, before: agentDoc(a), at: now},
			s.queries.AgentDelete(ctx, tx, uid)
	})
	if err != nil {
		return 0, err
	}
	return last, nil
}

// deleteAgentKeys removes the keys that are bound to an agent, unless one is enabled, and
// returns the last revision that it took, or the one given when there is none.
func (s *Store) deleteAgentKeys(
	ctx context.Context, tx pgx.Tx, author string, agent uuid.UUID, revision int64, now time.Time,
) (int64, error) {
	rows, err := s.queries.KeyListOfAgent(ctx, tx, &agent)
	if err != nil {
		return 0, fmt.Errorf("read keys: %w", err)
	}
	if len(rows) == 0 {
		return revision, nil
	}
	keys := make([]identity.Key, len(rows))
	for i, row := range rows {
		if keys[i] = keyOf(row.Key, row.TeamID, row.AgentID, nil); !keys[i].Disabled {
			return 0, registry.ErrAgentHasKeys
		}
	}
	if revision, err = s.noteDeletedKeys(ctx, tx, author, keys, revision, now); err != nil {
		return 0, err
	}
	if err := s.queries.KeyDeleteOfAgent(ctx, tx, &agent); err != nil {
		return 0, fmt.Errorf("remove keys: %w", err)
	}
	return revision, nil
}
