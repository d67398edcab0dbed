package a2a

import (
	"slices"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// CardEdit is how a card is changed before it is served.
type CardEdit struct {
	// URL is where the gateway takes JSON-RPC calls for the agent.
	URL string
	// Version is the version that the gateway serves there.
	Version Version
	// Versions are all of them when there are several; empty means Version alone.
	Versions []Version
	// PushNotifications allows the agent to say that it has push notifications.
	PushNotifications bool
}

func (e CardEdit) serves(v Version) bool {
	if len(e.Versions) == 0 {
		return v == e.Version
	}
	return slices.Contains(e.Versions, v)
}

// The gateway's one security scheme as each version writes it. In a union card the one entry has to be both,
// since there is one map for both versions; readers take their half and leave the other.
const (
	schemes10    = `{"signalbox":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}}`
	schemes03    = `{"signalbox":{"type":"http","scheme":"bearer"}}`
	schemesUnion = `{"signalbox":{"type":"http","scheme":"bearer","httpAuthSecurityScheme":{"scheme":"Bearer"}}}`
	security03   = `[{"signalbox":[]}]`
)

// RewriteCard returns the card as the gateway serves it: callable at the gateway's address only, with the
// gateway's security scheme, without signatures, which would be wrong. A card keeps its shape, unless the
// versions served are not those it was made for. All other members stay as they are and where they are.
//
// The card says which scheme there is but, in version 1.0, not that it is required. The form that the
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
	return doc.append(make([]byte, 0, len(raw)+256)), nil
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
	if !e.serves(V10) {
		doc.set("protocolVersion", []byte(`"0.3.0"`))
	}
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
	shape := shapeOf(*doc)
	with03 := shape != Shape10 && e.serves(V03)
	with10 := shape != Shape03 || !with03 || e.serves(V10)

	e.setInterfaces(doc, with03, with10)
	switch {
	case with03 && with10:
		doc.set("securitySchemes", []byte(schemesUnion))
	case with03:
		doc.set("securitySchemes", []byte(schemes03))
	default:
		doc.set("securitySchemes", []byte(schemes10))
	}
	doc.remove("securityRequirements", "signatures")
	if with03 {
		doc.set("security", []byte(security03))
	} else {
		doc.remove("security")
	}
	if err := e.setCapabilities(doc, with03); err != nil {
		return err
	}
	return cleanSkills(doc)
}

func (e CardEdit) setInterfaces(doc *document, with03, with10 bool) {
	url := jsonrpc.AppendString(nil, e.URL)
	if with10 {
		var entries [][]byte
		for _, v := range []Version{V10, V03} { // newest first: some clients take the first that they know
			if !e.serves(v) {
				continue
			}
			var entry document
			entry.set("url", url)
			entry.set("protocolBinding", jsonrpc.AppendString(nil, BindingJSONRPC))
			entry.set("protocolVersion", jsonrpc.AppendString(nil, v.String()))
			entries = append(entries, entry.append(nil))
		}
		doc.set("supportedInterfaces", array(entries))
	} else {
		doc.remove("supportedInterfaces")
	}
	if !with03 {
		doc.remove("url", "preferredTransport", "additionalInterfaces", "protocolVersion")
		return
	}
	doc.set("url", url)
	doc.set("preferredTransport", jsonrpc.AppendString(nil, BindingJSONRPC))
	if v, _ := ParseVersion(doc.text("protocolVersion")); v != V03 {
		doc.set("protocolVersion", []byte(`"0.3.0"`))
	}
	if doc.has("additionalInterfaces") {
		var entry document
		entry.set("url", url)
		entry.set("transport", jsonrpc.AppendString(nil, BindingJSONRPC))
		doc.set("additionalInterfaces", array([][]byte{entry.append(nil)}))
	}
}

func (e CardEdit) setCapabilities(doc *document, with03 bool) error {
	capabilities, err := parsePart(doc.get("capabilities"), "capabilities")
	if err != nil {
		return err
	}
	capabilities.set("pushNotifications", boolean(e.PushNotifications && capabilities.flag("pushNotifications")))
	if !with03 && doc.has("supportsAuthenticatedExtendedCard") {
		// The card turns into one of 1.0, which says this elsewhere.
		if !capabilities.has("extendedAgentCard") {
			capabilities.set("extendedAgentCard", boolean(doc.flag("supportsAuthenticatedExtendedCard")))
		}
		doc.remove("supportsAuthenticatedExtendedCard")
	}
	doc.set("capabilities", capabilities.append(nil))
	return nil
}

// cleanSkills takes the agent's security out of the skills. Lists that the card must have become empty when
// they are null, as some SDKs write them and others cannot read them.
func cleanSkills(doc *document) error {
	for _, name := range []string{"defaultInputModes", "defaultOutputModes", "skills"} {
		if doc.get(name) == nil {
			doc.set(name, []byte("[]"))
		}
	}
	raws := doc.elements("skills")
	changed := false
	for i, raw := range raws {
		skill, err := parsePart(raw, "skills")
		if err != nil {
			return err
		}
		if skill.has("security") || skill.has("securityRequirements") {
			skill.remove("security", "securityRequirements")
			raws[i] = skill.append(nil)
			changed = true
		}
	}
	if changed {
		doc.set("skills", array(raws))
	}
	return nil
}

func boolean(b bool) []byte {
	if b {
		return []byte("true")
	}
	return []byte("false")
}
