package a2a

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// ErrNotCard is what the errors about agent cards wrap.
var ErrNotCard = errors.New("not an agent card")

// The names of the bindings in cards.
const (
	BindingJSONRPC = "JSONRPC"
	BindingREST    = "HTTP+JSON"
	BindingGRPC    = "GRPC"
)

// Shape tells which versions' members a card has.
type Shape uint8

// The shapes of cards.
const (
	Shape10 Shape = iota
	Shape03
	ShapeUnion
)

// Card is what the gateway reads in an agent card.
type Card struct {
	// Name, Description and Version are those of the agent.
	Name, Description, Version string
	// Interfaces are where the agent can be called, in the order of its preference.
	Interfaces []Interface
	// Supported is how many of Interfaces are those of 1.0, which come first. Of a card of
	// both versions a signature covers them alone.
	Supported int
	// Streaming, PushNotifications and ExtendedCard are what the agent says that it can do.
	Streaming, PushNotifications, ExtendedCard bool
	// Skills are what the agent is good at.
	Skills []Skill
	// Shape tells which versions' members the card has.
	Shape Shape
	// Signed says that the card carries signatures. They have not been verified.
	Signed bool
	// RequiredExtensions are the URIs of the extensions that callers must ask for.
	RequiredExtensions []string
}

// Interface is an address of an agent and what is spoken there.
type Interface struct {
	// URL is as the card has it: it may be relative, or host and port only.
	URL string
	// Binding is JSONRPC, GRPC, HTTP+JSON, or the URI of a binding of the agent's own.
	Binding string
	// Version is the version spoken, 0 for one that the gateway does not know. When the card does not tell,
	// HasVersion is false and Version is what the shape of the card suggests.
	Version    Version
	HasVersion bool
	// Tenant is what calls to this interface must carry.
	Tenant string
}

// Skill is something that an agent is good at.
type Skill struct {
	ID, Name, Description string
	Tags                  []string
}

// ParseCard reads an agent card of either version or both. What it does not need may be missing, null or of
// another type. It refuses what is no object of JSON and cards that readers would take for different ones,
// because a member stands there twice.
func ParseCard(raw []byte) (Card, error) {
	doc, err := parseCardDocument(raw)
	if err != nil {
		return Card{}, err
	}
	card := Card{
		Name:        doc.text("name"),
		Description: doc.text("description"),
		Version:     doc.text("version"),
		Shape:       shapeOf(doc),
		Signed:      len(doc.elements("signatures")) > 0,
	}
	if err := card.readInterfaces(doc); err != nil {
		return Card{}, err
	}
	if err := card.readCapabilities(doc); err != nil {
		return Card{}, err
	}
	if err := card.readSkills(doc); err != nil {
		return Card{}, err
	}
	return card, nil
}

func parseCardDocument(raw []byte) (document, error) {
	if !utf8.Valid(raw) {
		return document{}, fmt.Errorf("%w: it is not UTF-8", ErrNotCard)
	}
	if at := jsonrpc.CheckDepth(raw, jsonrpc.MaxDepth); at >= 0 {
		return document{}, fmt.Errorf("%w: it is nested deeper than %d levels", ErrNotCard, jsonrpc.MaxDepth)
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return document{}, fmt.Errorf("%w: %w", ErrNotCard, err)
	}
	return doc, nil
}

// readInterfaces reads the interfaces of 1.0 and behind them those of 0.3 that are not among them.
func (c *Card) readInterfaces(doc document) error {
	for _, raw := range doc.elements("supportedInterfaces") {
		if raw[0] != '{' {
			continue
		}
		entry, err := parsePart(raw, "supportedInterfaces")
		if err != nil {
			return err
		}
		binding := entry.text("protocolBinding")
		if binding == "" {
			binding = entry.text("transport") // as 0.3 calls it
		}
		i := Interface{URL: entry.text("url"), Binding: bindingName(binding), Version: V10, Tenant: entry.text("tenant")}
		i.setVersion(entry.text("protocolVersion"))
		c.Interfaces = append(c.Interfaces, i)
	}
	c.Supported = len(c.Interfaces)
	url := doc.text("url")
	version := doc.text("protocolVersion")
	if url == "" || version == "" && len(c.Interfaces) > 0 {
		return nil // the url of a union card without a version is a convenience for browsers of cards
	}
	main := Interface{URL: url, Binding: bindingName(doc.text("preferredTransport")), Version: V03}
	main.setVersion(version)
	c.addInterface(main)
	for _, raw := range doc.elements("additionalInterfaces") {
		if raw[0] != '{' {
			continue
		}
		entry, err := parsePart(raw, "additionalInterfaces")
		if err != nil {
			return err
		}
		other := main
		other.URL, other.Binding = entry.text("url"), bindingName(entry.text("transport"))
		c.addInterface(other)
	}
	return nil
}

// bindingName returns a binding as the specification spells it. A card that does not tell means JSON-RPC, which
// is what 0.3 says and what agents that leave it out in 1.0 speak.
func bindingName(text string) string {
	for _, known := range []string{BindingJSONRPC, BindingREST, BindingGRPC} {
		if strings.EqualFold(strings.TrimSpace(text), known) {
			return known
		}
	}
	if text == "" {
		return BindingJSONRPC
	}
	return text
}

// Dialect returns what is spoken at the interface, and false when the gateway does not
// speak it.
func (i Interface) Dialect() (Dialect, bool) {
	b, ok := ParseBinding(i.Binding)
	return Dialect{b, i.Version}, ok && i.Version != 0
}

func (i *Interface) setVersion(text string) {
	if text != "" {
		i.Version, _ = ParseVersion(text)
		i.HasVersion = true
	}
}

func (c *Card) addInterface(i Interface) {
	known := slices.ContainsFunc(c.Interfaces, func(k Interface) bool {
		return k.URL == i.URL && k.Binding == i.Binding && k.Version == i.Version
	})
	if !known {
		c.Interfaces = append(c.Interfaces, i)
	}
}

func (c *Card) readCapabilities(doc document) error {
	capabilities, err := parsePart(doc.get("capabilities"), "capabilities")
	if err != nil {
		return err
	}
	c.Streaming = capabilities.flag("streaming")
	c.PushNotifications = capabilities.flag("pushNotifications")
	c.ExtendedCard = capabilities.flag("extendedAgentCard") || doc.flag("supportsAuthenticatedExtendedCard")
	for _, raw := range capabilities.elements("extensions") {
		extension, err := parsePart(raw, "extensions")
		if err != nil {
			return err
		}
		if uri := extension.text("uri"); uri != "" && extension.flag("required") {
			c.RequiredExtensions = append(c.RequiredExtensions, uri)
		}
	}
	return nil
}

func (c *Card) readSkills(doc document) error {
	for _, raw := range doc.elements("skills") {
		entry, err := parsePart(raw, "skills")
		if err != nil {
			return err
		}
		skill := Skill{ID: entry.text("id"), Name: entry.text("name"), Description: entry.text("description")}
		for _, tag := range entry.elements("tags") {
			if text, ok := jsonrpc.Unquote(tag); ok {
				skill.Tags = append(skill.Tags, text)
			}
		}
		c.Skills = append(c.Skills, skill)
	}
	return nil
}

// parsePart reads an object inside a card. Anything else is an empty object.
func parsePart(raw []byte, name string) (document, error) {
	doc, err := parseDocument(raw)
	if err != nil && len(raw) > 0 && raw[0] == '{' {
		return document{}, fmt.Errorf("%w: in %s: %w", ErrNotCard, name, err)
	}
	return doc, nil
}
