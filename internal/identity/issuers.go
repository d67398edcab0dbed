package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// The bounds of issuers.
const (
	// DefaultSkew and MaxSkew are how far the clocks of issuer and gateway may be apart.
	DefaultSkew = time.Minute
	MaxSkew     = 5 * time.Minute
	// MaxClaimMappings is the number of mappings of an issuer.
	MaxClaimMappings = 200
	maxAudiences     = 20
	maxIssuerText    = 2048
	maxClaimDepth    = 8
)

// Algorithms returns the algorithms that tokens may be signed with. Those with a shared
// secret are not among them: whoever can check such a token can make one.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// DefaultAlgorithms returns the algorithms of an issuer of which none is said.
func DefaultAlgorithms() []string { return []string{"RS256", "ES256", "EdDSA"} }

// IssuerStore keeps issuers. Writes are as in [TeamStore].
type IssuerStore interface {
	// CreateIssuer stores an issuer. It returns ErrIssuerExists when the id is taken,
	// ErrIssuerIDUsed when one that was deleted had it, and ErrIssuerURLUsed when another
	// has the url.
	CreateIssuer(ctx context.Context, author string, i Issuer) (Issuer, int64, error)
	// Issuer returns the issuer of an id, or ErrIssuerNotFound.
	Issuer(ctx context.Context, id string) (Issuer, error)
	// Issuers returns at most q.Limit issuers in the order of their ids.
	Issuers(ctx context.Context, q IssuerQuery) ([]Issuer, error)
	// UpdateIssuer changes an issuer. It returns ErrIssuerNotFound or ErrIssuerURLUsed.
	UpdateIssuer(ctx context.Context, author string, uid uuid.UUID, edit func(*Issuer) (bool, error)) (Issuer, int64, error)
	// DeleteIssuer removes an issuer that check does not object to, with its users. It
	// returns ErrIssuerNotFound, or ErrIssuerHasUsers when users of it hold roles.
	DeleteIssuer(ctx context.Context, author string, uid uuid.UUID, check func(Issuer) error) (int64, error)
}

// IssuerQuery asks for a page of issuers.
type IssuerQuery struct {
	After string // only ids after this one
	Limit int
}

// IssuerDraft is what may be said of an issuer.
type IssuerDraft struct {
	DisplayName           string
	Disabled              bool
	URL                   string
	JWKS, JWKSURL         string
	Audiences             []string
	Algorithms            []string      // none means DefaultAlgorithms
	Skew                  time.Duration // 0 means none
	NameClaim, EmailClaim string
	Mappings              []ClaimMapping
}

// CreateIssuer makes the tokens of an issuer believed.
func (s *Service) CreateIssuer(ctx context.Context, author, id string, d IssuerDraft) (Issuer, int64, error) {
	now := s.now()
	i := Issuer{
		UID: uuid.New(), ID: id, DisplayName: d.DisplayName, Disabled: d.Disabled, URL: d.URL, JWKS: d.JWKS, JWKSURL: d.JWKSURL,
		Audiences: d.Audiences, Algorithms: d.Algorithms, Skew: d.Skew.Truncate(time.Millisecond), NameClaim: d.NameClaim, EmailClaim: d.EmailClaim,
		Mappings: d.Mappings, CreateTime: now, UpdateTime: now,
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = DefaultAlgorithms()
	}
	rand.Read(i.UserKey[:])
	if err := errors.Join(i.validate(), s.checkTeams(ctx, i.Mappings)); err != nil {
		return Issuer{}, 0, err
	}
	i, revision, err := s.store.CreateIssuer(ctx, author, i)
	if err != nil {
		return Issuer{}, 0, fmt.Errorf("create issuer %s: %w", id, err)
	}
	return i, revision, nil
}

// Issuer returns the issuer of an id, or ErrIssuerNotFound.
func (s *Service) Issuer(ctx context.Context, id string) (Issuer, error) {
	i, err := s.store.Issuer(ctx, id)
	if err != nil {
		return Issuer{}, fmt.Errorf("get issuer %s: %w", id, err)
	}
	return i, nil
}

// Issuers returns a page of issuers and whether there are more.
func (s *Service) Issuers(ctx context.Context, q IssuerQuery) ([]Issuer, bool, error) {
	limit := q.Limit
	q.Limit++
	issuers, err := s.store.Issuers(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("list issuers: %w", err)
	}
	if len(issuers) > limit {
		return issuers[:limit], true, nil
	}
	return issuers, false, nil
}

// IssuerUpdate says what to change of an issuer; nil leaves a field as it is.
type IssuerUpdate struct {
	DisplayName           *string
	Disabled              *bool
	URL                   *string
	JWKS, JWKSURL         *string
	Audiences             *[]string
	Algorithms            *[]string // none means DefaultAlgorithms
	Skew                  *time.Duration
	NameClaim, EmailClaim *string
	Mappings              *[]ClaimMapping
	// Etag, when not empty, must be the stored one.
	Etag string
}

// UpdateIssuer changes an issuer. Its users stay who they are, whatever its url is.
func (s *Service) UpdateIssuer(ctx context.Context, author string, uid uuid.UUID, u IssuerUpdate) (Issuer, int64, error) {
	if u.Mappings != nil {
		if err := s.checkTeams(ctx, *u.Mappings); err != nil {
			return Issuer{}, 0, err
		}
	}
	i, revision, err := s.store.UpdateIssuer(ctx, author, uid, func(i *Issuer) (bool, error) {
		if u.Etag != "" && u.Etag != i.Etag {
			return false, ErrEtagMismatch
		}
		before := *i
		set(&i.DisplayName, u.DisplayName)
		set(&i.Disabled, u.Disabled)
		set(&i.URL, u.URL)
		set(&i.JWKS, u.JWKS)
		set(&i.JWKSURL, u.JWKSURL)
		set(&i.Audiences, u.Audiences)
		set(&i.Algorithms, u.Algorithms)
		set(&i.Skew, u.Skew)
		set(&i.NameClaim, u.NameClaim)
		set(&i.EmailClaim, u.EmailClaim)
		set(&i.Mappings, u.Mappings)
		i.Skew = i.Skew.Truncate(time.Millisecond)
		if len(i.Algorithms) == 0 {
			i.Algorithms = DefaultAlgorithms()
		}
		if i.same(&before) {
			return false, nil
		}
		if err := i.validate(); err != nil {
			return false, err
		}
		i.UpdateTime = s.now()
		return true, nil
	})
	if err != nil {
		return Issuer{}, 0, fmt.Errorf("update issuer: %w", err)
	}
	return i, revision, nil
}

// DeleteIssuer removes an issuer with its users; an etag that is not empty must be the
// stored one.
func (s *Service) DeleteIssuer(ctx context.Context, author string, uid uuid.UUID, etag string) (int64, error) {
	revision, err := s.store.DeleteIssuer(ctx, author, uid, func(i Issuer) error {
		if etag != "" && etag != i.Etag {
			return ErrEtagMismatch
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete issuer: %w", err)
	}
	return revision, nil
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

// same tells whether two issuers say the same.
func (i *Issuer) same(other *Issuer) bool {
	return i.DisplayName == other.DisplayName && i.Disabled == other.Disabled && i.URL == other.URL && i.JWKS == other.JWKS &&
		i.JWKSURL == other.JWKSURL && slices.Equal(i.Audiences, other.Audiences) && slices.Equal(i.Algorithms, other.Algorithms) &&
		i.Skew == other.Skew && i.NameClaim == other.NameClaim && i.EmailClaim == other.EmailClaim && slices.Equal(i.Mappings, other.Mappings)
}

// validate says everything that is wrong with an issuer, but for the roles that it maps to
// and whether their teams exist.
func (i *Issuer) validate() error {
	faults := []error{
		checkText("issuer.display_name", i.DisplayName),
		checkTokenURL("issuer.url", i.URL, false),
		checkOneOf("issuer.audiences", i.Audiences, maxAudiences, func(string) bool { return true }, ""),
		checkOneOf("issuer.algorithms", i.Algorithms, len(Algorithms()), func(a string) bool { return slices.Contains(Algorithms(), a) },
			"the algorithms are "+strings.Join(Algorithms(), ", ")),
	}
	fault := func(field, format string, args ...any) {
		faults = append(faults, &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	switch {
	case i.JWKS != "" && i.JWKSURL != "":
		fault("issuer.jwks", "and jwks_url cannot both be given: the keys come from one place")
	case i.JWKS != "":
		if err := checkKeySet(i.JWKS); err != nil {
			fault("issuer.jwks", "%s", err)
		}
	case i.JWKSURL != "":
		faults = append(faults, checkTokenURL("issuer.jwks_url", i.JWKSURL, true))
	}
	if i.Skew < 0 || i.Skew > MaxSkew {
		fault("issuer.skew", "must be between 0s and %s", MaxSkew)
	}
	if i.NameClaim != "" && !isClaim(i.NameClaim) {
		fault("issuer.name_claim", "%q is no name of a claim", i.NameClaim)
	}
	if i.EmailClaim != "" && !isClaim(i.EmailClaim) {
		fault("issuer.email_claim", "%q is no name of a claim", i.EmailClaim)
	}
	if len(i.Mappings) > MaxClaimMappings {
		fault("issuer.claim_mappings", "are more than %d", MaxClaimMappings)
	}
	for n, m := range i.Mappings {
		field := fmt.Sprintf("issuer.claim_mappings[%d]", n)
		switch {
		case !isClaim(m.Claim):
			fault(field+".claim", "%q is no name of a claim", m.Claim)
		case m.Value == "" || strings.ContainsFunc(m.Value, unicode.IsControl):
			fault(field+".value", "is empty or has a control character")
		case m.Team == "" && m.Role == "":
			fault(field, "gives neither a team nor a role")
		case slices.Contains(i.Mappings[:n], m):
			fault(field, "is there twice")
		}
	}
	return errors.Join(faults...)
}

// checkTeams refuses mappings to teams that do not exist. One that is deleted later does no
// harm: its name is never given out again.
func (s *Service) checkTeams(ctx context.Context, mappings []ClaimMapping) error {
	known := map[string]bool{"": true}
	for n, m := range mappings[:min(len(mappings), MaxClaimMappings)] {
		if known[m.Team] {
			continue
		}
		_, err := s.store.Team(ctx, m.Team)
		if errors.Is(err, ErrTeamNotFound) {
			return &InvalidError{Field: fmt.Sprintf("issuer.claim_mappings[%d].team", n), Problem: "there is no team " + m.Team}
		}
		if err != nil {
			return fmt.Errorf("look team %s up: %w", m.Team, err)
		}
		known[m.Team] = true
	}
	return nil
}

// checkOneOf checks a list of distinct texts of which there is at least one.
func checkOneOf(field string, list []string, most int, valid func(string) bool, problem string) error {
	if len(list) == 0 || len(list) > most {
		return &InvalidError{Field: field, Problem: fmt.Sprintf("must be 1 to %d", most)}
	}
	for n, text := range list {
		switch {
		case text == "" || len(text) > maxIssuerText || strings.ContainsFunc(text, unicode.IsControl):
			return &InvalidError{Field: field, Problem: "one is empty, too long or has a control character"}
		case !valid(text):
			return &InvalidError{Field: field, Problem: fmt.Sprintf("%q is none: %s", text, problem)}
		case slices.Contains(list[:n], text):
			return &InvalidError{Field: field, Problem: fmt.Sprintf("%q is there twice", text)}
		}
	}
	return nil
}

// checkTokenURL refuses URLs that no issuer or set of keys can have: what is fetched from
// them decides who gets in.
func checkTokenURL(field, text string, query bool) error {
	invalid := func(problem string) error { return &InvalidError{Field: field, Problem: problem} }
	if text == "" {
		return invalid("is required")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxIssuerText || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalid("is no URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return invalid("must be an https URL")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return invalid("must be an https URL; http is for addresses of this machine alone")
	case u.User != nil:
		return invalid("must have no user and password")
	case strings.Contains(text, "#"):
		return invalid("must have no fragment")
	case !query && strings.Contains(text, "?"):
		return invalid("must have no query")
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// isClaim tells whether a text names a claim, in objects too.
func isClaim(text string) bool {
	names := strings.Split(text, ".")
	return len(text) <= maxUserText && len(names) <= maxClaimDepth && !slices.Contains(names, "") && !strings.ContainsFunc(text, unicode.IsControl)
}
