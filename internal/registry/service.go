package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/signalbox-dev/signalbox/internal/clock"
	"github.com/signalbox-dev/signalbox/internal/credential"
)

// Config says what a Service is made of.
type Config struct {
	// Store, Cards, Addresses, Verifier and Seal are required.
	Store     Store
	Cards     CardFetcher
	Addresses AddressChecker
	Verifier  CardVerifier
	// Seal seals the secrets of credentials.
	Seal credential.Sealer
	// Clock tells the time; nil means the machine's.
	Clock clock.Clock
	// FetchTimeout bounds the search for a card; 0 means the constant of that name.
	FetchTimeout time.Duration
	// RetryMin and RetryMax bound the time between two searches for a card that was
	// not found; 0 means 5 s and 5 min.
	RetryMin, RetryMax time.Duration
	// Logger gets what happens in the background; nil discards.
	Logger *slog.Logger
}

// Service manages agents. Who may do so is decided by its callers.
type Service struct {
	store              Store
	cards              CardFetcher
	addresses          AddressChecker
	verifier           CardVerifier
	sealer             credential.Sealer
	clock              clock.Clock
	fetchTimeout       time.Duration
	retryMin, retryMax time.Duration
	log                *slog.Logger
}

// New returns a Service. Its Run must run for missing cards to be searched again.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Cards == nil || cfg.Addresses == nil || cfg.Verifier == nil || cfg.Seal == nil {
		return nil, errors.New("registry: Config.Store, Config.Cards, Config.Addresses, Config.Verifier and Config.Seal are required")
	}
	s := &Service{
		store: cfg.Store, cards: cfg.Cards, addresses: cfg.Addresses, verifier: cfg.Verifier, sealer: cfg.Seal,
		clock: cfg.Clock, fetchTimeout: cfg.FetchTimeout,
		retryMin: cfg.RetryMin, retryMax: cfg.RetryMax, log: cfg.Logger,
	}
	if s.clock == nil {
		s.clock = clock.System{}
	}
	if s.fetchTimeout == 0 {
		s.fetchTimeout = FetchTimeout
	}
	if s.retryMin == 0 {
		s.retryMin = 5 * time.Second
	}
	if s.retryMax == 0 {
		s.retryMax = 5 * time.Minute
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// now is the time as Postgres can keep it.
func (s *Service) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// Draft is what a new agent is made of.
type Draft struct {
	ID                 string
	Team               string // the owner team's id
	DisplayName        string
	Description        string
	Tags               []string
	Aliases            []string
	Visibility         Visibility // empty means TEAM
	Push               PushMode   // empty means OFF
	PushHosts          []string
	ForwardHeaders     []string
	TrustCardAuthority bool
	PreferredDialects  []string  // as [a2a.Dialect.String] writes them
	CardShape          CardShape // empty means AUTO
	CardKeys           string    // a JWKS; empty for none
	Endpoints          []Endpoint
	Credential         *credential.Given    // nil means none
	TLS                *credential.GivenTLS // nil means none
	Card               []byte               // empty means that the agent's own is fetched
}

// Create registers an agent and returns it with the configuration revision from
// which on it exists.
func (s *Service) Create(ctx context.Context, author string, d Draft) (Agent, int64, error) {
	a, err := s.prepare(ctx, d)
	if err != nil {
		return Agent{}, 0, err
	}
	if len(d.Card) > 0 {
		found, err := useCard(d.Card, CardInline)
		if err != nil {
			return Agent{}, 0, err
		}
		found.set(&a)
	} else {
		s.fetchCard(ctx, &a).set(&a)
	}
	return s.create(ctx, author, a)
}

// prepare checks everything of a draft but its card.
func (s *Service) prepare(ctx context.Context, d Draft) (Agent, error) {
	now := s.now()
	a := Agent{
		UID: uuid.New(), ID: d.ID, Team: d.Team, DisplayName: d.DisplayName, Description: d.Description, Tags: d.Tags,
		Visibility: d.Visibility, State: StateApproved, Push: d.Push, TrustCardAuthority: d.TrustCardAuthority,
		CardShape: d.CardShape, CardKeys: d.CardKeys, Revision: 1, CreateTime: now, UpdateTime: now,
	}
	if a.Visibility == "" {
		a.Visibility = VisibilityTeam
	}
	if a.Push == "" {
		a.Push = PushOff
	}
	if a.CardShape == "" {
		a.CardShape = ShapeAuto
	}
	if err := cmp.Or(checkTexts(&a), s.checkKeys(a.CardKeys)); err != nil {
		return Agent{}, err
	}
	var err error
	if a.PreferredDialects, err = parseDialects("agent.preferred_dialects", d.PreferredDialects); err != nil {
		return Agent{}, err
	}
	if a.Endpoints, err = normalizeEndpoints("agent.endpoints", d.Endpoints); err != nil {
		return Agent{}, err
	}
	if a.Aliases, err = checkAliases("agent.aliases", a.ID, d.Aliases); err != nil {
		return Agent{}, err
	}
	if a.ForwardHeaders, err = normalizeHeaders("agent.forward_headers", d.ForwardHeaders); err != nil {
		return Agent{}, err
	}
	if a.PushHosts, err = normalizeHosts("agent.push_allowed_hosts", d.PushHosts); err != nil {
		return Agent{}, err
	}
	if err := checkPush(a.Push, a.PushHosts); err != nil {
		return Agent{}, err
	}
	if err := s.checkEndpoints(ctx, "agent.endpoints", a.Endpoints); err != nil {
		return Agent{}, err
	}
	if err := s.setSecrets(ctx, Agent{UID: a.UID}, &a, secretsUpdate{credential: d.Credential, tls: d.TLS}); err != nil {
		return Agent{}, err
	}
	// The store checks again; this spares a search for a card that would be for nothing.
	return a, s.checkNames(ctx, a.ID, a.Aliases, uuid.Nil)
}

func checkTexts(a *Agent) error {
	return cmp.Or(checkText("agent.display_name", a.DisplayName, false), checkText("agent.description", a.Description, true))
}

func (s *Service) checkNames(ctx context.Context, id string, aliases []string, except uuid.UUID) error {
	taken, err := s.store.TakenNames(ctx, append([]string{id}, aliases...), except)
	if err != nil {
		return fmt.Errorf("look names up: %w", err)
	}
	if len(taken) > 0 {
		return &NameTakenError{Name: taken[0]}
	}
	return nil
}

func (s *Service) create(ctx context.Context, author string, a Agent) (Agent, int64, error) {
	if err := cmp.Or(s.verifyCard(&a), s.checkTrusted(ctx, &a)); err != nil {
		return Agent{}, 0, err
	}
	a, revision, err := s.store.CreateAgent(ctx, author, a)
	if err != nil {
		return Agent{}, 0, fmt.Errorf("create agent: %w", err)
	}
	return a, revision, nil
}

// Agent returns the agent of an id with its card, or ErrAgentNotFound.
func (s *Service) Agent(ctx context.Context, id string) (Agent, error) {
	a, err := s.store.Agent(ctx, id)
	if err != nil {
		return Agent{}, fmt.Errorf("get agent %s: %w", id, err)
	}
	return a, nil
}

// Agents returns a page of agents without their cards, and the place where the next
// one begins; nil at the end.
func (s *Service) Agents(ctx context.Context, q Query) ([]Agent, *Cursor, error) {
	limit := q.Limit
	q.Limit++ // one more than asked for tells whether there is a next page
	agents, err := s.store.Agents(ctx, q)
	if err != nil {
		return nil, nil, fmt.Errorf("list agents: %w", err)
	}
	if len(agents) <= limit {
		return agents, nil, nil
	}
	agents = agents[:limit]
	next := CursorAt(&agents[limit-1], q.Order)
	return agents, &next, nil
}

// Update says what to change of an agent; nil leaves a field as it is.
type Update struct {
	DisplayName        *string
	Description        *string
	Tags               *[]string
	Aliases            *[]string
	Visibility         *Visibility
	Push               *PushMode
	PushHosts          *[]string
	ForwardHeaders     *[]string
	TrustCardAuthority *bool
	PreferredDialects  *[]string
	CardShape          *CardShape
	CardKeys           *string
	Endpoints          *[]Endpoint
	// Credential and TLS take the place of what is there; their Clear takes it away.
	Credential      *credential.Given
	TLS             *credential.GivenTLS
	ClearCredential bool
	ClearTLS        bool
	// Card, when it points to nothing, gives up the present card for the agent's own.
	Card *[]byte
	// Etag, when not empty, must be the stored one.
	Etag string
}

// errMoved says that an agent changed between being read and being written.
var errMoved = errors.New("the agent changed meanwhile")

// maxUpdateAttempts bounds how often an update without an etag is prepared anew.
const maxUpdateAttempts = 8

// Update changes an agent. What needs the network, such as a search for a card, is
// done before the write and done again when the agent changed meanwhile.
func (s *Service) Update(ctx context.Context, author string, uid uuid.UUID, u Update) (Agent, int64, error) {
	for attempt := 1; ; attempt++ {
		a, revision, err := s.update(ctx, author, uid, u)
		switch {
		case err == nil:
			return a, revision, nil
		case errors.Is(err, errMoved) && u.Etag == "" && attempt < maxUpdateAttempts:
			continue
		case errors.Is(err, errMoved):
			return Agent{}, 0, fmt.Errorf("update agent: %w", ErrEtagMismatch)
		default:
			return Agent{}, 0, fmt.Errorf("update agent: %w", err)
		}
	}
}

func (s *Service) update(ctx context.Context, author string, uid uuid.UUID, u Update) (Agent, int64, error) {
	was, err := s.store.AgentByUID(ctx, uid)
	if err != nil {
		return Agent{}, 0, err
	}
	if u.Etag != "" && u.Etag != was.Etag {
		return Agent{}, 0, ErrEtagMismatch
	}
	next, err := s.change(ctx, was, u)
	if err != nil {
		return Agent{}, 0, err
	}
	return s.store.UpdateAgent(ctx, author, uid, func(a *Agent) (bool, error) {
		if a.Etag != was.Etag {
			return false, errMoved
		}
		if same(was, next) {
			return false, nil
		}
		*a = next
		a.UpdateTime = s.now()
		return true, nil
	})
}

// change returns what an agent becomes by an update.
func (s *Service) change(ctx context.Context, was Agent, u Update) (Agent, error) {
	next := was
	assign(&next.DisplayName, u.DisplayName)
	assign(&next.Description, u.Description)
	assign(&next.Tags, u.Tags)
	assign(&next.Visibility, u.Visibility)
	assign(&next.Push, u.Push)
	assign(&next.TrustCardAuthority, u.TrustCardAuthority)
	assign(&next.CardShape, u.CardShape)
	assign(&next.CardKeys, u.CardKeys)
	if err := checkTexts(&next); err != nil {
		return Agent{}, err
	}
	var err error
	if u.PreferredDialects != nil {
		if next.PreferredDialects, err = parseDialects("agent.preferred_dialects", *u.PreferredDialects); err != nil {
			return Agent{}, err
		}
	}
	if next.CardKeys != was.CardKeys {
		if err := s.checkKeys(next.CardKeys); err != nil {
			return Agent{}, err
		}
	}
	if u.Aliases != nil {
		if next.Aliases, err = checkAliases("agent.aliases", next.ID, *u.Aliases); err != nil {
			return Agent{}, err
		}
		if err := s.checkNames(ctx, next.ID, next.Aliases, next.UID); err != nil {
			return Agent{}, err
		}
	}
	if u.ForwardHeaders != nil {
		if next.ForwardHeaders, err = normalizeHeaders("agent.forward_headers", *u.ForwardHeaders); err != nil {
			return Agent{}, err
		}
	}
	if u.PushHosts != nil {
		if next.PushHosts, err = normalizeHosts("agent.push_allowed_hosts", *u.PushHosts); err != nil {
			return Agent{}, err
		}
	}
	if err := checkPush(next.Push, next.PushHosts); err != nil {
		return Agent{}, err
	}
	if u.Endpoints != nil {
		if next.Endpoints, err = normalizeEndpoints("agent.endpoints", *u.Endpoints); err != nil {
			return Agent{}, err
		}
		if err := s.checkEndpoints(ctx, "agent.endpoints", next.Endpoints); err != nil {
			return Agent{}, err
		}
	}
	secrets := secretsUpdate{credential: u.Credential, tls: u.TLS, clearCredential: u.ClearCredential, clearTLS: u.ClearTLS}
	if err := s.setSecrets(ctx, was, &next, secrets); err != nil {
		return Agent{}, err
	}
	if err := s.changeCard(ctx, was, &next, u); err != nil {
		return Agent{}, err
	}
	if next.CardKeys != was.CardKeys || !bytes.Equal(next.Card, was.Card) {
		if err := s.verifyCard(&next); err != nil {
			return Agent{}, err
		}
	}
	if err := s.checkTrusted(ctx, &next); err != nil {
		return Agent{}, err
	}
	if !sameRevision(was, next) {
		next.Revision++
	}
	return next, nil
}

// changeCard gives next the card that the update asks for, or that its new
// endpoints have. With new keys it is the card that they are for, which may have
// been signed anew.
func (s *Service) changeCard(ctx context.Context, was Agent, next *Agent, u Update) error {
	if u.Card != nil && len(was.Card) > 0 && bytes.Equal(*u.Card, was.Card) {
		// Who reads an agent, changes something else and writes all of it back does not
		// mean to pin a card that was fetched.
		u.Card = nil
	}
	switch {
	case u.Card != nil && len(*u.Card) > 0:
		found, err := useCard(*u.Card, CardInline)
		if err != nil {
			return err
		}
		found.set(next)
	case u.Card != nil:
		s.fetchCard(ctx, next).set(next)
	case was.CardSource != CardInline && (!reflect.DeepEqual(was.Endpoints, next.Endpoints) || fetchForKeys(was, next)),
		// With a credential an agent may show a card that it did not show before.
		was.CardSource == CardNone && (was.Credential != next.Credential || was.TLS != next.TLS):
		found := s.fetchCard(ctx, next)
		if found.source == CardNone && was.CardSource == CardFetched {
			// Better the card that was right for the instances before than none.
			next.Warnings = []string{clip(fmt.Sprintf(
				"no agent card was found at %s; the one fetched before stays in use", next.Endpoints[0].URL))}
			return nil
		}
		found.set(next)
	}
	return nil
}

// fetchForKeys tells whether new keys are a reason to look for the agent's card.
func fetchForKeys(was Agent, next *Agent) bool {
	return was.CardKeys != next.CardKeys && (next.CardKeys != "" || was.CardSource == CardNone)
}

// sameRevision tells whether card, its verification and endpoints of two agents are
// the same.
func sameRevision(a, b Agent) bool {
	return string(a.Card) == string(b.Card) && a.CardSource == b.CardSource && a.CardVerification == b.CardVerification &&
		reflect.DeepEqual(a.Endpoints, b.Endpoints)
}

// same tells whether two agents are equal. Lists without elements are, whether nil or not.
func same(a, b Agent) bool {
	for _, agent := range []*Agent{&a, &b} {
		for _, list := range []*[]string{&agent.Tags, &agent.Aliases, &agent.PushHosts, &agent.ForwardHeaders, &agent.Warnings} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if len(agent.Interfaces) == 0 {
			agent.Interfaces = nil
		}
		if len(agent.PreferredDialects) == 0 {
			agent.PreferredDialects = nil
		}
		if len(agent.Card) == 0 {
			agent.Card = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

func assign[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Delete removes an agent; an etag that is not empty must be the stored one.
func (s *Service) Delete(ctx context.Context, author string, uid uuid.UUID, etag string) (int64, error) {
	revision, err := s.store.DeleteAgent(ctx, author, uid, func(a Agent) error {
		if etag != "" && etag != a.Etag {
			return ErrEtagMismatch
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete agent: %w", err)
	}
	return revision, nil
}
