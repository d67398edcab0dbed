package a2a

import (
	"slices"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Served is an address at which the gateway serves an agent.
type Served struct {
	// Dialect is what is spoken there.
	Dialect Dialect
	// URL is the address; for gRPC it is host and port.
	URL string
	// Tenant is what calls to it must carry, "" for nothing. Only clients of 1.0 are told.
	Tenant string
}

// CardEdit is how a card is changed before it is served.
type CardEdit struct {
	// Shape tells for which versions the card is. A union card without an interface of 0.3 is one of 1.0.
	Shape Shape
	// Interfaces are where the gateway serves the agent, best first. A card of 0.3 names those of 0.3 only;
	// a card of 1.0 names those of 1.0 and behind them those of 0.3.
	Interfaces []Served
	// PushNotifications allows the agent to say that it has push notifications.
	PushNotifications bool
}

// The names and addresses of the gateway's security schemes as each version writes them. In a union card each
// entry has to be both, since there is one map for both versions; readers take their half and leave the other.
// Both halves write the same values, for a reader may take either for the other.
const (
	schemes10 = `{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}},` +
		`"signalboxApiKey":{"apiKeySecurityScheme":{"location":"header","name":"x-api-key"}}}`
	schemes03 = `{"signalbox":{"type":"http","scheme":"Bearer"},` +
		`"signalboxApiKey":{"type":"apiKey","in":"header","name":"x-api-key"}}`
	schemesUnion = `{"signalbox":{"type":"http","scheme":"Bearer","httpAuthSecurityScheme":{"scheme":"Bearer"}},` +
		`"signalboxApiKey":{"type":"apiKey","in":"header","name":"x-api-key","apiKeySecurityScheme":{"location":"header","name":"x-api-key"}}}`
	security03 = `[{"signalbox":[]},{"signalboxApiKey":[]}]`
)

// RewriteCard returns the card of any version as the gateway serves it: in the wanted shape, callable at the
// gateway's addresses only, with the gateway's security schemes, without signatures, which would be wrong, and
// with all members that the shape must have. All other members stay as they are and where they are, but for
// unknown ones that lead to the agent.
//
// The card says which schemes there are but, in version 1.0, not that one is required. The form that the
// specification has for that, {"schemes":{"signalbox":{"list":[]}}}, makes a2a-go fail on the whole card (it
// wants an array there, which in turn parsers of protobuf refuse), and no other form says it to all. Without
// the member every client reads the card; version 0.3 has a form that all read, and gets it.
func RewriteCard(raw []byte, e CardEdit) ([]byte, error) {
	doc, err := parseCardDocument(raw)
	if err != nil {
		return nil, err
	}
	if err := e.apply(&doc); err != nil {
		return nil, err
	}
	return doc.append(make([]byte, 0, len(raw)+1024)), nil
}

// SynthesizeCard makes a card for an agent that has none. Of the given card it uses the name, description,
// version, capabilities and skills.
func SynthesizeCard(c Card, e CardEdit) []byte {
	var doc document
	if c.Version == "" {
		c.Version = "0.0.0"
	}
	doc.set("name", jsonrpc.AppendString(nil, c.Name))
	doc.set("description", jsonrpc.AppendString(nil, c.Description))
	doc.set("version", jsonrpc.AppendString(nil, c.Version))
	var capabilities document
	capabilities.set("streaming", boolean(c.Streaming))
	capabilities.set("pushNotifications", boolean(c.PushNotifications))
	if c.ExtendedCard {
		capabilities.set("extendedAgentCard", boolean(true))
	}
	doc.set("capabilities", capabilities.append(nil))
	doc.set("defaultInputModes", []byte(`["text/plain"]`))
	doc.set("defaultOutputModes", []byte(`["text/plain"]`))
	var skills [][]byte
	for _, s := range c.Skills {
		var skill document
		skill.set("id", jsonrpc.AppendString(nil, s.ID))
		skill.set("name", jsonrpc.AppendString(nil, s.Name))
		skill.set("description", jsonrpc.AppendString(nil, s.Description))
		var tags [][]byte
		for _, tag := range s.Tags {
			tags = append(tags, jsonrpc.AppendString(nil, tag))
		}
		skill.set("tags", array(tags))
		skills = append(skills, skill.append(nil))
	}
	doc.set("skills", array(skills))
	if err := e.apply(&doc); err != nil {
		panic("a2a: a synthesized card cannot be edited: " + err.Error())
	}
	return doc.append(nil)
}

func (e CardEdit) apply(doc *document) error {
	var served10, served03 []Served
	for _, s := range e.Interfaces {
		switch s.Dialect.Version {
		case V10:
			served10 = append(served10, s)
		case V03:
			served03 = append(served03, s)
		}
	}
	shape := e.Shape
	if shape == ShapeUnion && len(served03) == 0 {
		shape = Shape10
	}
	agent := readAddresses(doc, e.Interfaces)
	doc.remove("signatures", "tenant")
	doc.prune(slices.Concat(commonMember, only10, only03), agent)
	doc.require([]string{"name", "description", "version"}, []string{"defaultInputModes", "defaultOutputModes"})

	// What the capabilities say comes first: it needs a member that belongs to one version only.
	if err := e.setCapabilities(doc, shape, agent); err != nil {
		return err
	}
	if err := setSkills(doc, agent); err != nil {
		return err
	}
	doc.remove("securityRequirements")
	if shape.with10() {
		// Newest first: some clients take the first that they know.
		doc.set("supportedInterfaces", supportedInterfaces(slices.Concat(served10, served03)))
	} else {
		doc.remove(only10...)
	}
	if shape.with03() {
		set03(doc, served03)
	} else {
		doc.remove(only03...)
	}
	switch shape {
	case ShapeUnion:
		doc.set("securitySchemes", []byte(schemesUnion))
	case Shape03:
		doc.set("securitySchemes", []byte(schemes03))
	default:
		doc.set("securitySchemes", []byte(schemes10))
	}
	return nil
}

func supportedInterfaces(served []Served) []byte {
	entries := make([][]byte, 0, len(served))
	for _, s := range served {
		var entry document
		entry.set("url", jsonrpc.AppendString(nil, s.URL))
		entry.set("protocolBinding", jsonrpc.AppendString(nil, s.Dialect.Binding.String()))
		if s.Tenant != "" && s.Dialect.Version == V10 {
			entry.set("tenant", jsonrpc.AppendString(nil, s.Tenant))
		}
		entry.set("protocolVersion", jsonrpc.AppendString(nil, s.Dialect.Version.String()))
		entries = append(entries, entry.append(nil))
	}
	return array(entries)
}

// set03 gives a card the members of version 0.3: its main interface, and all of them once more in a list.
func set03(doc *document, served []Served) {
	main := Served{Dialect: Dialect{Binding: JSONRPC}}
	if len(served) > 0 {
		main = served[0]
	}
	doc.set("protocolVersion", []byte(`"0.3.0"`))
	doc.set("url", jsonrpc.AppendString(nil, main.URL))
	doc.set("preferredTransport", jsonrpc.AppendString(nil, main.Dialect.Binding.String()))
	entries := make([][]byte, 0, len(served))
	for _, s := range served {
		var entry document
		entry.set("url", jsonrpc.AppendString(nil, s.URL))
		entry.set("transport", jsonrpc.AppendString(nil, s.Dialect.Binding.String()))
		entries = append(entries, entry.append(nil))
	}
	doc.set("additionalInterfaces", array(entries))
	doc.set("security", []byte(security03))
}

// setCapabilities writes whether there is an extended card where the shape has it, and takes the agent at its
// word for everything but push notifications.
func (e CardEdit) setCapabilities(doc *document, shape Shape, agent addresses) error {
	capabilities, err := parsePart(doc.get("capabilities"), "capabilities")
	if err != nil {
		return err
	}
	capabilities.prune(capability, agent)
	capabilities.set("pushNotifications", boolean(e.PushNotifications && capabilities.flag("pushNotifications")))
	told := capabilities.get("extendedAgentCard") != nil || doc.get("supportsAuthenticatedExtendedCard") != nil
	extended := boolean(capabilities.flag("extendedAgentCard") || doc.flag("supportsAuthenticatedExtendedCard"))
	if shape.with10() && told {
		capabilities.set("extendedAgentCard", extended)
	} else {
		capabilities.remove("extendedAgentCard")
	}
	if shape.with03() && told {
		doc.set("supportsAuthenticatedExtendedCard", extended)
	} else {
		doc.remove("supportsAuthenticatedExtendedCard")
	}
	if !shape.with03() {
		capabilities.remove("stateTransitionHistory")
	}
	doc.set("capabilities", capabilities.append(nil))
	return nil
}

// setSkills takes the agent's security out of the skills, and gives them what they must have. What is no
// skill is no use to anybody and makes readers fail, so it goes.
func setSkills(doc *document, agent addresses) error {
	raws := doc.elements("skills")
	skills := make([][]byte, 0, len(raws))
	for _, raw := range raws {
		if raw[0] != '{' {
			continue
		}
		skill, err := parsePart(raw, "skills")
		if err != nil {
			return err
		}
		skill.remove("security", "securityRequirements")
		skill.prune(skillMember, agent)
		skill.require([]string{"id", "name", "description"}, []string{"tags"})
		skills = append(skills, skill.append(nil))
	}
	doc.set("skills", array(skills))
	return nil
}

func boolean(b bool) []byte {
	if b {
		return []byte("true")
	}
	return []byte("false")
}
