package a2a

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// The members that only one of the versions has. A card of the other version must not have them: there are
// readers that take a card for one of the version that they find a member of.
var (
	only10      = []string{"supportedInterfaces", "securityRequirements"}
	only03      = []string{"protocolVersion", "url", "preferredTransport", "additionalInterfaces", "security", "supportsAuthenticatedExtendedCard"}
	capability  = []string{"streaming", "pushNotifications", "extensions", "extendedAgentCard", "stateTransitionHistory"}
	skillMember = []string{"id", "name", "description", "tags", "examples", "inputModes", "outputModes"}
	// commonMember are the members of the card that both versions have and that stay.
	commonMember = []string{
		"name", "description", "version", "provider", "documentationUrl", "iconUrl", "capabilities", "securitySchemes",
		"defaultInputModes", "defaultOutputModes", "skills",
	}
)

// shapeOf tells which versions' members a card has. A card without any address passes for one of 1.0.
func shapeOf(doc document) Shape {
	has10 := doc.get("supportedInterfaces") != nil
	has03 := doc.has("url") || strings.HasPrefix(doc.text("protocolVersion"), "0.")
	switch {
	case has10 && has03:
		return ShapeUnion
	case has03:
		return Shape03
	}
	return Shape10
}

// with10 and with03 report whether a shape has the members of a version.
func (s Shape) with10() bool { return s != Shape03 }
func (s Shape) with03() bool { return s != Shape10 }

// addresses are what tells that a text leads to the agent: scheme and authority of its interfaces, in lower
// case.
type addresses []string

// readAddresses collects the addresses in a card, but for those in ours.
func readAddresses(doc *document, ours []Served) addresses {
	var kept addresses
	for _, s := range ours {
		if origin := originOf(s.URL); origin != "" {
			kept = append(kept, origin)
		}
	}
	var found addresses
	add := func(url string) {
		if origin := originOf(url); origin != "" && !slices.Contains(kept, origin) && !slices.Contains(found, origin) {
			found = append(found, origin)
		}
	}
	add(doc.text("url"))
	for _, list := range []string{"supportedInterfaces", "additionalInterfaces"} {
		for _, raw := range doc.elements(list) {
			if entry, err := parseDocument(raw); err == nil {
				add(entry.text("url"))
			}
		}
	}
	return found
}

// originOf returns scheme and authority of a URL, or a host with its port. It returns "" for what has no host,
// or none that could be told from other words.
func originOf(url string) string {
	scheme, rest, absolute := strings.Cut(strings.ToLower(strings.TrimSpace(url)), "://")
	if !absolute {
		rest, scheme = scheme, ""
	}
	if end := strings.IndexAny(rest, `/?#\`); end >= 0 {
		rest = rest[:end]
	}
	host, _, hasPort := strings.Cut(rest, ":")
	switch {
	case absolute && rest != "":
		return scheme + "://" + rest
	case !absolute && hasPort && host != "":
		return rest
	}
	return ""
}

// in reports whether a text in a value, or a name, leads to the agent.
func (a addresses) in(raw []byte) bool {
	if len(a) == 0 {
		return false
	}
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	return a.inNext(s)
}

func (a addresses) inNext(s *jsonrpc.Scanner) bool {
	switch {
	case s.OpenObject():
		for s.Next() {
			if a.inText(string(s.Name())) || a.inNext(s) {
				return true
			}
		}
		return false
	case s.OpenArray():
		for s.More() {
			if a.inNext(s) {
				return true
			}
		}
		return false
	}
	raw := s.Value()
	if len(raw) == 0 || raw[0] != '"' {
		return false
	}
	text, _ := jsontext.AppendUnquote(nil, raw) // half a surrogate pair does not matter here
	return a.inText(string(text))
}

func (a addresses) inText(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(a, func(origin string) bool { return strings.Contains(text, origin) })
}

// prune takes the members away that are not known and lead to the agent, and spells the known ones as the
// protocol does, since not all readers would find them.
func (d *document) prune(known []string, a addresses) {
	for _, name := range known {
		if i := d.find(name); i >= 0 {
			d.members[i].name = jsonrpc.AppendString(nil, name)
		}
	}
	d.members = slices.DeleteFunc(d.members, func(m documentMember) bool {
		name, _ := jsonrpc.Unquote(m.name)
		if slices.Contains(known, name) {
			return false
		}
		return a.inText(name) || a.in(m.value)
	})
}

// require gives a card, or a part of it, the members that it must have: texts that are missing or null are
// empty, and so are lists that are no lists. A number, as some write the version, becomes a text.
func (d *document) require(texts, lists []string) {
	for _, name := range texts {
		value := d.get(name)
		switch {
		case value == nil:
			d.set(name, []byte(`""`))
		case value[0] == '-' || '0' <= value[0] && value[0] <= '9':
			d.set(name, jsonrpc.AppendString(nil, value))
		case value[0] != '"':
			d.set(name, []byte(`""`))
		}
	}
	for _, name := range lists {
		if value := d.get(name); value == nil || value[0] != '[' {
			d.set(name, []byte("[]"))
		}
	}
}
