package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// MaxCardSize is the number of bytes that a card may have.
const MaxCardSize = 1 << 20

// FetchTimeout bounds the search for a card over all endpoints.
const FetchTimeout = 3 * time.Second

// Bounds of what is shown of a card's interfaces. Lists hold many agents, so what one
// has must stay small; a card with more than is shown works all the same.
const (
	maxInterfaces     = 64
	maxInterfaceBytes = 16 << 10
)

// The number of characters that the members of an interface may have.
const (
	maxInterfaceURL     = 2000
	maxInterfaceTenant  = 1000
	maxInterfaceBinding = 200
)

// maxWarning is the number of bytes that a line of warnings may have.
const maxWarning = 600

// readCard checks a card and returns what it says.
func readCard(card []byte) (a2a.Card, error) {
	if len(card) > MaxCardSize {
		return a2a.Card{}, &CardError{Problem: fmt.Sprintf("it has %d bytes; at most %d are kept", len(card), MaxCardSize)}
	}
	parsed, err := a2a.ParseCard(card)
	if err != nil {
		return a2a.Card{}, &CardError{Problem: err.Error()}
	}
	if parsed.Name == "" && len(parsed.Interfaces) == 0 {
		return a2a.Card{}, &CardError{Problem: "it has neither a name nor an address to call; is it an agent card?"}
	}
	return parsed, nil
}

// foundCard is a card together with what to store of it.
type foundCard struct {
	card       []byte
	source     CardSource
	interfaces []Interface
	warnings   []string
}

// useCard reads what is stored of a card that was given or fetched.
func useCard(card []byte, source CardSource) (foundCard, error) {
	parsed, err := readCard(card)
	if err != nil {
		return foundCard{}, err
	}
	found := foundCard{card: card, source: source, interfaces: make([]Interface, 0, min(len(parsed.Interfaces), maxInterfaces))}
	spoken, shown, size := false, true, 0
	for n, i := range parsed.Interfaces {
		if err := checkInterface(n, i); err != nil {
			return foundCard{}, err
		}
		_, ok := i.Dialect()
		spoken = spoken || ok
		size += len(i.Binding) + len(i.URL) + len(i.Tenant)
		if shown = shown && n < maxInterfaces && size <= maxInterfaceBytes; !shown {
			continue
		}
		found.interfaces = append(found.interfaces, Interface{
			Binding: oneLine(i.Binding), Version: i.Version.String(), URL: oneLine(i.URL), Tenant: oneLine(i.Tenant),
		})
	}
	if !spoken {
		found.warnings = append(found.warnings,
			"the agent card names no interface of JSONRPC, HTTP+JSON or GRPC in version 1.0 or 0.3; the agent is not callable until it does")
	}
	return found, nil
}

// checkInterface refuses what is longer than the API can show.
func checkInterface(n int, i a2a.Interface) error {
	for _, member := range []struct {
		name, value string
		limit       int
	}{
		{"url", i.URL, maxInterfaceURL}, {"tenant", i.Tenant, maxInterfaceTenant}, {"protocol binding", i.Binding, maxInterfaceBinding},
	} {
		if length := utf8.RuneCountInString(member.value); length > member.limit {
			return &CardError{Problem: fmt.Sprintf(
				"the %s of its interface %d has %d characters; at most %d are taken", member.name, n+1, length, member.limit)}
		}
	}
	return nil
}

// fetchCard looks for the card of an agent at its endpoints, in their order, for
// FetchTimeout in all. When there is none it returns what stands in its place.
func (s *Service) fetchCard(ctx context.Context, a *Agent) foundCard {
	endpoints := a.Endpoints
	ctx, cancel := context.WithTimeout(ctx, s.fetchTimeout)
	defer cancel()
	var first error
	for i, e := range endpoints {
		found, err := s.fetchFrom(ctx, a, e.URL, len(endpoints)-i)
		if err == nil {
			return found
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return foundCard{source: CardNone, warnings: []string{clip(fmt.Sprintf(
		"no agent card was found at %s (%v); the agent is taken for JSON-RPC 1.0 at that address, and its card is asked for again until it is found",
		endpoints[0].URL, first))}}
}

// fetchFrom asks one endpoint, for its share of the time that is left.
func (s *Service) fetchFrom(ctx context.Context, a *Agent, address string, left int) (foundCard, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	card, err := s.cards.FetchCard(ctx, a, address)
	if err != nil {
		return foundCard{}, err
	}
	return useCard(card, CardFetched)
}

// clip makes a line of warnings of a text.
func clip(text string) string {
	text = oneLine(text)
	if len(text) <= maxWarning {
		return text
	}
	cut := maxWarning
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// set gives an agent a card.
func (f foundCard) set(a *Agent) {
	a.Card, a.CardSource, a.Interfaces, a.Warnings = f.card, f.source, f.interfaces, f.warnings
}

// checkAddress asks whether an address may be dialled.
func (s *Service) checkAddress(ctx context.Context, field, address string) error {
	err := s.addresses.CheckURL(ctx, address)
	if errors.Is(err, ErrAddressForbidden) {
		return &AddressError{Field: field, URL: address, Err: err}
	}
	// A name that does not resolve now may do so later; dialling checks again.
	return nil
}

func (s *Service) checkEndpoints(ctx context.Context, field string, endpoints []Endpoint) error {
	for i, e := range endpoints {
		if err := s.checkAddress(ctx, fmt.Sprintf("%s[%d].url", field, i), e.URL); err != nil {
			return err
		}
	}
	return nil
}

// checkTrusted checks the addresses that would be dialled because the card is trusted.
func (s *Service) checkTrusted(ctx context.Context, a *Agent) error {
	if !a.TrustCardAuthority || len(a.Card) == 0 {
		return nil
	}
	for _, i := range ReadRoute(a).Interfaces {
		for _, address := range i.URLs {
			if err := s.checkAddress(ctx, "agent.trust_card_authority", address.String()); err != nil {
				return err
			}
		}
	}
	return nil
}
