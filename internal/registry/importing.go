package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// ImportDraft says from which card to make an agent.
type ImportDraft struct {
	ID         string     // empty means one made from the card's name
	Team       string     // the owner team's id
	Visibility Visibility // empty means TEAM
	// CardURL leads to the card; it is used when Card is empty.
	CardURL string
	Card    []byte
}

// Bounds of what is taken from a card; they are those of the same fields in the API.
const (
	maxAgentID     = 63
	maxTags        = 64
	maxTag         = 63
	maxDisplayName = 200
	maxDescription = 4000
)

// The paths below an agent's address that its card is found at.
const (
	wellKnownCard    = "/.well-known/agent-card.json"
	wellKnownCard030 = "/.well-known/agent.json"
)

// Import registers an agent from its card alone.
func (s *Service) Import(ctx context.Context, author string, d ImportDraft) (Agent, int64, error) {
	raw, source := d.Card, CardInline
	var base string
	if len(raw) == 0 {
		address, err := normalizeURL("card_url", d.CardURL)
		if err != nil {
			return Agent{}, 0, err
		}
		if err := s.checkAddress(ctx, "card_url", address); err != nil {
			return Agent{}, 0, err
		}
		if raw, err = s.fetchOne(ctx, address); err != nil {
			return Agent{}, 0, err
		}
		source, base = CardFetched, baseOf(address)
	}
	card, err := readCard(raw)
	if err != nil {
		return Agent{}, 0, err
	}
	found, err := useCard(raw, source)
	if err != nil {
		return Agent{}, 0, err
	}
	named, ok := authorityOf(card)
	switch {
	case base == "" && !ok:
		return Agent{}, 0, &CardError{Problem: "it names no absolute http or https address to call; create the agent with its endpoints instead"}
	case base == "":
		base = named
	case ok && !strings.HasPrefix(base+"/", named+"/") && len(dialWarnings(found.interfaces, []Endpoint{{URL: base}})) == 0:
		found.warnings = append(found.warnings, clip(fmt.Sprintf(
			"the agent card names %s, calls go to %s; change endpoints or set trust_card_authority if that is wrong", named, base)))
	}
	if d.ID == "" {
		d.ID = slug(card.Name)
	}
	a, err := s.prepare(ctx, Draft{
		ID: d.ID, Team: d.Team, Visibility: d.Visibility, Endpoints: []Endpoint{{URL: base}},
		DisplayName: shorten(oneLine(card.Name), maxDisplayName), Description: shorten(printable(card.Description), maxDescription), Tags: tagsOf(card),
	})
	if err != nil {
		return Agent{}, 0, err
	}
	found.set(&a)
	return s.create(ctx, author, a)
}

// fetchOne fetches a card that must be there.
func (s *Service) fetchOne(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.fetchTimeout)
	defer cancel()
	card, err := s.cards.FetchCard(ctx, nil, address)
	if errors.Is(err, ErrAddressForbidden) {
		return nil, &AddressError{Field: "card_url", URL: address, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("%w from %s: %w", ErrCardUnavailable, address, err)
	}
	return card, nil
}

// baseOf returns the address of the agent whose card is at an address.
func baseOf(address string) string {
	if !strings.HasSuffix(address, ".json") {
		return address
	}
	for _, known := range []string{wellKnownCard, wellKnownCard030} {
		if base, ok := strings.CutSuffix(address, known); ok {
			return base
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Path, u.RawPath = path.Dir(u.Path), ""
	return strings.TrimRight(u.String(), "/")
}

// authorityOf returns scheme and authority of an interface that would be called. That
// of JSON-RPC comes first: gRPC often has a port of its own, where no card is.
func authorityOf(card a2a.Card) (string, bool) {
	best := ""
	for _, i := range card.Interfaces {
		u, err := url.Parse(i.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			continue
		}
		at := u.Scheme + "://" + strings.ToLower(u.Host)
		if i.Binding == a2a.BindingJSONRPC {
			return at, true
		}
		if best == "" {
			best = at
		}
	}
	return best, best != ""
}

// slug makes an agent id of a name.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	id := strings.Trim(b.String(), "-")
	if id == "" {
		return "agent"
	}
	if id[0] >= '0' && id[0] <= '9' {
		id = "agent-" + id
	}
	return strings.TrimRight(id[:min(len(id), maxAgentID)], "-")
}

// tagsOf returns the tags of a card's skills as an agent can have them.
func tagsOf(card a2a.Card) []string {
	var tags []string
	seen := map[string]bool{}
	for _, skill := range card.Skills {
		for _, tag := range skill.Tags {
			tag = cleanTag(tag)
			if tag == "" || seen[tag] || len(tags) == maxTags {
				continue
			}
			seen[tag] = true
			tags = append(tags, tag)
		}
	}
	return tags
}

func cleanTag(tag string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(tag) {
		ok := r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:-", r)
		if !ok {
			r = '-'
		}
		if b.Len() > 0 || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		}
	}
	clean := b.String()
	return strings.TrimRight(clean[:min(len(clean), maxTag)], "-_.:")
}

// shorten cuts a text to a number of characters.
func shorten(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}
