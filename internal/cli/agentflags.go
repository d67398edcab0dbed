package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

var errNoCard = errors.New("the agent has none: it was not found yet, and none was given")

// Flags of agents that are named more than once.
const (
	flagURL        = "url"
	flagVisibility = "visibility"
	flagPush       = "push"
	flagCard       = "card"
	flagCardKeys   = "card-keys"
	flagCardShape  = "card-shape"
	flagPrefer     = "prefer"
)

// agentFlags are what can be set of an agent.
type agentFlags struct {
	urls                     []string
	weights                  []uint
	team, visibility         string
	displayName, description string
	tags, aliases            []string
	card                     string
	push                     string
	pushHosts, headers       []string
	trustAuthority           bool
	prefer                   []string
	cardShape, cardKeys      string
	credential               credentialFlags
}

// agentFlagNames are the flags of agentFlags that create and update share.
func agentFlagNames() []string {
	return append([]string{
		flagURL, flagVisibility, "display-name", "description", "tag", "alias", flagCard, flagPush, "push-host",
		"forward-header", "trust-card-authority", flagPrefer, flagCardShape, flagCardKeys,
	}, (*credentialFlags)(nil).names()...)
}

func (f *agentFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.urls, flagURL, nil, "base URL of an instance; repeat it for more")
	flags.UintSliceVar(&f.weights, "weight", nil, "share of the calls of each --url, in their order; 1 unless given")
	flags.StringVar(&f.visibility, flagVisibility, "", "who may see and call it: "+strings.Join(visibilities(), ", "))
	must(cmd.RegisterFlagCompletionFunc(flagVisibility, fixed(visibilities()...)))
	flags.StringVar(&f.displayName, "display-name", "", "name for people")
	flags.StringVar(&f.description, "description", "", "what the agent does, for people")
	flags.StringSliceVar(&f.tags, "tag", nil, "label to select agents by; repeat it for more")
	flags.StringSliceVar(&f.aliases, "alias", nil, "further name that the agent answers to; repeat it for more")
	flags.StringVar(&f.card, flagCard, "", `file with the agent's card, kept byte for byte; "-" is standard input`)
	must(cmd.MarkFlagFilename(flagCard, "json"))
	flags.StringVar(&f.push, flagPush, "", "push notification configs: "+strings.Join(pushModes(), ", "))
	must(cmd.RegisterFlagCompletionFunc(flagPush, fixed(pushModes()...)))
	flags.StringSliceVar(&f.pushHosts, "push-host", nil, `host that push addresses may name, or "*.example.com"; repeat it for more`)
	flags.StringSliceVar(&f.headers, "forward-header", nil, "request header of callers that is passed on; repeat it for more")
	flags.BoolVar(&f.trustAuthority, "trust-card-authority", false, "dial the scheme and authority that the card names")
	flags.StringSliceVar(&f.prefer, flagPrefer, nil,
		"what to speak with the agent, best first, whatever callers speak: "+strings.Join(dialectNames(), ", "))
	must(cmd.RegisterFlagCompletionFunc(flagPrefer, fixed(dialectNames()...)))
	flags.StringVar(&f.cardShape, flagCardShape, "", "whose version's card the gateway serves: "+strings.Join(cardShapes(), ", ")+
		"; auto is that of the client, and union when it does not tell")
	must(cmd.RegisterFlagCompletionFunc(flagCardShape, fixed(cardShapes()...)))
	flags.StringVar(&f.cardKeys, flagCardKeys, "", `file with a JWKS of the keys that the agent's own card is signed with; "-" is standard input`)
	must(cmd.MarkFlagFilename(flagCardKeys, "json"))
	f.credential.add(cmd)
}

func (f *agentFlags) addTeam(p *program, cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.team, "team", "", "team that owns the agent; the key's own unless given")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
}

// agent makes the agent that the flags describe, and the mask of those that were
// given. An empty value clears.
func (f *agentFlags) agent(p *program, flags *pflag.FlagSet) (*registryv1.Agent, *fieldmaskpb.FieldMask, error) {
	visibility, err := parseVisibility(f.visibility)
	if err != nil {
		return nil, nil, err
	}
	push, err := parsePush(f.push)
	if err != nil {
		return nil, nil, err
	}
	shape, err := parseCardShape(f.cardShape)
	if err != nil {
		return nil, nil, err
	}
	prefer, err := parsePrefer(notEmpty(f.prefer))
	if err != nil {
		return nil, nil, err
	}
	if err := checkStdin(append([]source{{flagCard, f.card}, {flagCardKeys, f.cardKeys}}, f.credential.sources()...)); err != nil {
		return nil, nil, err
	}
	if len(f.weights) > len(f.urls) {
		return nil, nil, usagef("there are more --weight than --url")
	}
	a := &registryv1.Agent{
		DisplayName: f.displayName, Description: f.description, Tags: notEmpty(f.tags), Aliases: notEmpty(f.aliases),
		Visibility: visibility, Push: push, PushAllowedHosts: notEmpty(f.pushHosts), ForwardHeaders: notEmpty(f.headers),
		TrustCardAuthority: f.trustAuthority, PreferredDialects: prefer, CardShape: shape,
	}
	for i, u := range f.urls {
		e := &registryv1.Endpoint{Url: u}
		if i < len(f.weights) {
			e.Weight = uint32(min(f.weights[i], 1<<20))
		}
		a.Endpoints = append(a.Endpoints, e)
	}
	if f.card != "" {
		if a.CardJson, err = p.readSource(f.card); err != nil {
			return nil, nil, doingf(err, "read card")
		}
	}
	if f.cardKeys != "" {
		keys, err := p.readSource(f.cardKeys)
		if err != nil {
			return nil, nil, doingf(err, "read card keys")
		}
		a.CardKeys = string(keys)
	}
	paths, err := f.credential.set(p, flags, a)
	if err != nil {
		return nil, nil, err
	}
	mask := &fieldmaskpb.FieldMask{Paths: paths}
	for _, field := range []struct{ flag, path string }{
		{flagURL, "endpoints"},
		{flagVisibility, "visibility"},
		{"display-name", "display_name"},
		{"description", "description"},
		{"tag", "tags"},
		{"alias", "aliases"},
		{flagCard, "card_json"},
		{flagPush, "push"},
		{"push-host", "push_allowed_hosts"},
		{"forward-header", "forward_headers"},
		{"trust-card-authority", "trust_card_authority"},
		{flagPrefer, "preferred_dialects"},
		{flagCardShape, "card_shape"},
		{flagCardKeys, "card_keys"},
	} {
		if flags.Changed(field.flag) {
			mask.Paths = append(mask.Paths, field.path)
		}
	}
	return a, mask, nil
}

// notEmpty makes an empty list of --tag "".
func notEmpty(values []string) []string {
	if len(values) == 1 && values[0] == "" {
		return nil
	}
	return values
}

func visibilities() []string { return []string{"private", "team", "organization", "public"} }

func parseVisibility(text string) (registryv1.Visibility, error) {
	if text == "" {
		return registryv1.Visibility_VISIBILITY_UNSPECIFIED, nil
	}
	v, ok := registryv1.Visibility_value["VISIBILITY_"+strings.ToUpper(text)]
	if !ok || v == 0 {
		return 0, usagef("--%s: %q is not one of %s", flagVisibility, text, strings.Join(visibilities(), ", "))
	}
	return registryv1.Visibility(v), nil
}

func pushModes() []string { return []string{"off", "direct"} }

func parsePush(text string) (registryv1.PushMode, error) {
	if text == "" {
		return registryv1.PushMode_PUSH_MODE_UNSPECIFIED, nil
	}
	v, ok := registryv1.PushMode_value["PUSH_MODE_"+strings.ToUpper(text)]
	if !ok || v == 0 {
		return 0, usagef("--%s: %q is not one of %s", flagPush, text, strings.Join(pushModes(), ", "))
	}
	return registryv1.PushMode(v), nil
}

// cardShapes are the shapes of cards as the user writes them.
func cardShapes() []string { return []string{"auto", version10, version03, "union"} }

func parseCardShape(text string) (registryv1.CardShape, error) {
	switch text {
	case "":
		return registryv1.CardShape_CARD_SHAPE_UNSPECIFIED, nil
	case "auto":
		return registryv1.CardShape_CARD_SHAPE_AUTO, nil
	case version10:
		return registryv1.CardShape_CARD_SHAPE_V10, nil
	case version03:
		return registryv1.CardShape_CARD_SHAPE_V03, nil
	case "union":
		return registryv1.CardShape_CARD_SHAPE_UNION, nil
	}
	return 0, usagef("--%s: %q is not one of %s", flagCardShape, text, strings.Join(cardShapes(), ", "))
}

// cardShapeText is the text that parseCardShape reads.
func cardShapeText(s registryv1.CardShape) string {
	for _, text := range cardShapes() {
		if shape, err := parseCardShape(text); err == nil && shape == s {
			return text
		}
	}
	return ""
}

// dialectNames are what an agent can be spoken to in.
func dialectNames() []string {
	names := make([]string, len(a2a.Dialects))
	for i, d := range a2a.Dialects {
		names[i] = d.String()
	}
	return names
}

// parsePrefer reads names of dialects, in capitals or not.
func parsePrefer(names []string) ([]string, error) {
	dialects := make([]string, len(names))
	for i, name := range names {
		dialects[i] = strings.ToUpper(strings.TrimSpace(name))
		if _, ok := a2a.ParseDialect(dialects[i]); !ok {
			return nil, usagef("--%s: %q is not one of %s", flagPrefer, name, strings.Join(dialectNames(), ", "))
		}
	}
	return dialects, nil
}
