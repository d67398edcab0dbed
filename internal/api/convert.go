package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/identity"
	"github.com/signalbox-dev/signalbox/internal/registry"
)

// The prefixes that enum values have in the API and not in the domain.
const (
	prefixVisibility = "VISIBILITY_"
	prefixState      = "STATE_"
	prefixPush       = "PUSH_MODE_"
	prefixCardSource = "CARD_SOURCE_"
	prefixCardShape  = "CARD_SHAPE_"
	prefixCardState  = "CARD_VERIFICATION_STATE_"
)

// timestamp returns nil for the zero time, which stands for "never" or "not yet".
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// timeOf returns the zero time for an absent timestamp.
func timeOf(ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	return ts.AsTime()
}

func agentToProto(a registry.Agent) *registryv1.Agent {
	out := &registryv1.Agent{
		Name: a.Name(), Uid: a.UID.String(), Team: identity.TeamName(a.Team), DisplayName: a.DisplayName, Description: a.Description,
		Tags: a.Tags, Aliases: a.Aliases,
		Visibility: registryv1.Visibility(registryv1.Visibility_value[prefixVisibility+string(a.Visibility)]),
		State:      registryv1.State(registryv1.State_value[prefixState+string(a.State)]),
		CardJson:   a.Card,
		CardSource: registryv1.CardSource(registryv1.CardSource_value[prefixCardSource+string(a.CardSource)]),
		Push:       registryv1.PushMode(registryv1.PushMode_value[prefixPush+string(a.Push)]), PushAllowedHosts: a.PushHosts,
		ForwardHeaders: a.ForwardHeaders, TrustCardAuthority: a.TrustCardAuthority,
		CardShape: registryv1.CardShape(registryv1.CardShape_value[prefixCardShape+string(a.CardShape)]), CardKeys: a.CardKeys,
		CardVerification: verificationToProto(&a), Warnings: a.Notes(), Revision: a.Revision,
		Credential: credentialToProto(a.Credential), TransportSecurity: tlsToProto(a.TLS),
		Etag: a.Etag, CreateTime: timestamp(a.CreateTime), UpdateTime: timestamp(a.UpdateTime),
	}
	if a.State == registry.StateSuspended {
		out.Suspension = &registryv1.Suspension{
			StateBefore: registryv1.State(registryv1.State_value[prefixState+string(a.Suspension.From)]),
			Reason:      a.Suspension.Reason, SuspendTime: timestamp(a.Suspension.Time),
		}
	}
	for _, d := range a.PreferredDialects {
		out.PreferredDialects = append(out.PreferredDialects, d.String())
	}
	for _, e := range a.Endpoints {
		out.Endpoints = append(out.Endpoints, &registryv1.Endpoint{Url: e.URL, Weight: e.Weight})
	}
	for _, i := range a.Interfaces {
		out.Interfaces = append(out.Interfaces, &registryv1.Interface{Binding: i.Binding, Version: i.Version, Url: i.URL, Tenant: i.Tenant})
	}
	return out
}

// verificationToProto returns nil for an agent without a card.
func verificationToProto(a *registry.Agent) *registryv1.CardVerification {
	v := a.Verification()
	if a.CardSource == registry.CardNone && v.State == "" {
		return nil
	}
	return &registryv1.CardVerification{
		State: registryv1.CardVerificationState(registryv1.CardVerificationState_value[prefixCardState+string(v.State)]), KeyId: v.KeyID,
	}
}

// visibilityOf, pushOf and shapeOf return "" for a value that is not given.
func visibilityOf(v registryv1.Visibility) registry.Visibility {
	if v == registryv1.Visibility_VISIBILITY_UNSPECIFIED {
		return ""
	}
	return registry.Visibility(strings.TrimPrefix(v.String(), prefixVisibility))
}

func pushOf(p registryv1.PushMode) registry.PushMode {
	if p == registryv1.PushMode_PUSH_MODE_UNSPECIFIED {
		return ""
	}
	return registry.PushMode(strings.TrimPrefix(p.String(), prefixPush))
}

func shapeOf(s registryv1.CardShape) registry.CardShape {
	if s == registryv1.CardShape_CARD_SHAPE_UNSPECIFIED {
		return ""
	}
	return registry.CardShape(strings.TrimPrefix(s.String(), prefixCardShape))
}

func endpointsOf(in []*registryv1.Endpoint) []registry.Endpoint {
	out := make([]registry.Endpoint, 0, len(in))
	for _, e := range in {
		out = append(out, registry.Endpoint{URL: e.GetUrl(), Weight: e.GetWeight()})
	}
	return out
}

// cardOf returns the card that a request gives in one of its two forms; nil for none.
func cardOf(card *structpb.Struct, cardJSON []byte) ([]byte, error) {
	switch {
	case card != nil && len(cardJSON) > 0:
		return nil, &invalidError{field: "agent.card", problem: "give the card once, as card or as card_json"}
	case card != nil:
		if moreNodes(card.GetFields(), maxCardNodes) {
			return nil, &registry.CardError{Problem: fmt.Sprintf("it has more than %d values", maxCardNodes)}
		}
		raw, err := json.Marshal(card.AsMap())
		if err != nil {
			return nil, &invalidError{field: "agent.card", problem: fmt.Sprintf("cannot be written as JSON: %v", err)}
		}
		return raw, nil
	case len(cardJSON) > 0:
		return cardJSON, nil
	}
	return nil, nil
}

// maxCardNodes is the number of values, objects and lists that a card may have. Each
// takes far more memory than the two or three bytes that it may be written with.
const maxCardNodes = 50_000

// moreNodes tells whether there are more values in an object than a limit.
func moreNodes(fields map[string]*structpb.Value, limit int) bool {
	left := limit
	var count func(v *structpb.Value) bool // returns false when there are too many
	count = func(v *structpb.Value) bool {
		if left--; left < 0 {
			return false
		}
		for _, inner := range v.GetListValue().GetValues() {
			if !count(inner) {
				return false
			}
		}
		for _, inner := range v.GetStructValue().GetFields() {
			if !count(inner) {
				return false
			}
		}
		return true
	}
	for _, v := range fields {
		if !count(v) {
			return true
		}
	}
	return false
}

// draftOf reads what may be given of a new agent; fields that are output only are
// passed over.
func draftOf(id, team string, in *registryv1.Agent) (registry.Draft, error) {
	card, err := cardOf(in.GetCard(), in.GetCardJson())
	if err != nil {
		return registry.Draft{}, err
	}
	return registry.Draft{
		ID: id, Team: team, DisplayName: in.GetDisplayName(), Description: in.GetDescription(), Tags: in.GetTags(), Aliases: in.GetAliases(),
		Visibility: visibilityOf(in.GetVisibility()), Push: pushOf(in.GetPush()), PushHosts: in.GetPushAllowedHosts(),
		ForwardHeaders: in.GetForwardHeaders(), TrustCardAuthority: in.GetTrustCardAuthority(), Endpoints: endpointsOf(in.GetEndpoints()),
		PreferredDialects: in.GetPreferredDialects(), CardShape: shapeOf(in.GetCardShape()), CardKeys: in.GetCardKeys(), Card: card,
		Credential: credentialOf(in.GetCredential()), TLS: tlsOf(in.GetTransportSecurity()),
	}, nil
}

// updatableAgentFields returns the fields of an agent that an update can change.
func updatableAgentFields() []string {
	return []string{
		"display_name", "description", "tags", "aliases", "visibility", "endpoints", "card", "card_json", "push",
		"push_allowed_hosts", "forward_headers", "trust_card_authority", "preferred_dialects", "card_shape", "card_keys",
		fieldCredential, fieldTransportSecurity,
	}
}

// updateOf reads the fields of an agent that an update is to change.
func updateOf(in *registryv1.Agent, fields map[string]bool) (registry.Update, error) {
	u := registry.Update{
		DisplayName:        when(fields["display_name"], in.GetDisplayName()),
		Description:        when(fields["description"], in.GetDescription()),
		Tags:               when(fields["tags"], in.GetTags()),
		Aliases:            when(fields["aliases"], in.GetAliases()),
		Visibility:         when(fields["visibility"], visibilityOf(in.GetVisibility())),
		Push:               when(fields["push"], pushOf(in.GetPush())),
		PushHosts:          when(fields["push_allowed_hosts"], in.GetPushAllowedHosts()),
		ForwardHeaders:     when(fields["forward_headers"], in.GetForwardHeaders()),
		TrustCardAuthority: when(fields["trust_card_authority"], in.GetTrustCardAuthority()),
		PreferredDialects:  when(fields["preferred_dialects"], in.GetPreferredDialects()),
		CardShape:          when(fields["card_shape"], shapeOf(in.GetCardShape())),
		CardKeys:           when(fields["card_keys"], in.GetCardKeys()),
		Endpoints:          when(fields["endpoints"], endpointsOf(in.GetEndpoints())),
		Etag:               in.GetEtag(),
	}
	// A field that is named and not given goes back to what it is on create.
	if u.Visibility != nil && *u.Visibility == "" {
		*u.Visibility = registry.VisibilityTeam
	}
	if u.Push != nil && *u.Push == "" {
		*u.Push = registry.PushOff
	}
	if u.CardShape != nil && *u.CardShape == "" {
		*u.CardShape = registry.ShapeAuto
	}
	if fields["card"] || fields["card_json"] {
		var named *structpb.Struct
		var bytes []byte
		if fields["card"] {
			named = in.GetCard()
		}
		if fields["card_json"] {
			bytes = in.GetCardJson()
		}
		card, err := cardOf(named, bytes)
		if err != nil {
			return registry.Update{}, err
		}
		u.Card = &card
	}
	return u, nil
}

// lastPart returns what follows the last "/" of a resource name whose form the
// schema has checked.
func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// keyParts returns the ids of team and key of "teams/{team}/keys/{key}".
func keyParts(name string) (team, key string) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return "", ""
	}
	return parts[1], parts[3]
}
