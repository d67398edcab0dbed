package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

const agentsCollection = "agents"

func (p *program) agentsCommand() *cobra.Command {
	cmd := parent("agents", "Manage the catalogue of agents",
		p.agentsCreate(), p.agentsGet(), p.agentsList(), p.agentsUpdate(), p.agentsDelete(), p.agentsImport(),
		p.agentsSuspend(), p.agentsResume())
	cmd.Aliases = []string{"agent"}
	return cmd
}

func (p *program) agentsCreate() *cobra.Command {
	var f agentFlags
	cmd := &cobra.Command{
		Use: "create NAME --url URL", Short: "Register an agent", Args: cobra.ExactArgs(1),
		Long: `Register an agent under a name. Its card is fetched from URL/.well-known/agent-card.json
unless --card gives it. Callers reach it in every dialect, whatever it speaks itself.`,
		Example: `  signalbox agents create echo --url http://127.0.0.1:9999 --team demo --visibility organization
  signalbox agents create weather --url https://weather.example.com --prefer GRPC/1.0,JSONRPC/1.0
  signalbox agents create billing --url https://billing.example.com --credential-bearer-file env:BILLING_TOKEN`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			agent, _, err := f.agent(p, cmd.Flags())
			if err != nil {
				return err
			}
			agent.Team = full(teamsCollection, f.team)
			made, err := m.registry.CreateAgent(cmd.Context(), &registryv1.CreateAgentRequest{AgentId: short(args[0]), Agent: agent})
			if err != nil {
				return doingf(err, "create agent %s", args[0])
			}
			return p.printAgent(m, made)
		}),
	}
	f.add(cmd)
	f.addTeam(p, cmd)
	must(cmd.MarkFlagRequired(flagURL))
	return cmd
}

func (p *program) agentsGet() *cobra.Command {
	var card bool
	cmd := &cobra.Command{
		Use: "get NAME", Aliases: []string{"show"}, Short: "Show an agent, what it speaks, and what the gateway offers for it",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			agent, err := m.registry.GetAgent(cmd.Context(), &registryv1.GetAgentRequest{Name: full(agentsCollection, args[0])})
			if err != nil {
				return doingf(err, "get agent %s", args[0])
			}
			if !card {
				return p.printAgent(m, agent)
			}
			if len(agent.GetCardJson()) == 0 {
				return doingf(errNoCard, "get card of agent %s", args[0])
			}
			if p.flags.output == outputTable {
				return p.write(p.forTerminal(agent.GetCardJson())) // in a file the bytes as they are, for signatures
			}
			return p.printJSON(agent.GetCardJson())
		}),
	}
	cmd.Flags().BoolVar(&card, "card", false, "print the agent's own card with its signatures, byte for byte unless to a terminal, and nothing else")
	return cmd
}

func (p *program) agentsList() *cobra.Command {
	var filter, team, order string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the agents that the key may see", Args: cobra.NoArgs,
		Example: `  signalbox agents list --filter 'tags:internal AND state = "APPROVED"' --order "create_time desc"`,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			req := &registryv1.ListAgentsRequest{Filter: filter, OrderBy: order}
			if team != "" {
				req.Filter = and(req.GetFilter(), condition("team", "=", full(teamsCollection, team)))
			}
			agents, err := listAgents(cmd.Context(), m, req, limit)
			if err != nil {
				return doingf(err, "list agents")
			}
			return p.print(&registryv1.ListAgentsResponse{Agents: agents}, func() table {
				t := table{
					header: []string{"NAME", "TEAM", "VISIBILITY", "STATE", "SPEAKS", "ENDPOINTS", "CHANGED"},
					empty:  "there is no such agent that this key may see; register one with: signalbox agents create NAME --url URL",
				}
				for _, a := range agents {
					t.rows = append(t.rows, []string{
						short(a.GetName()), short(a.GetTeam()), visibilityText(a.GetVisibility()), stateText(a.GetState()),
						speaks(a), endpointsText(a), p.ago(a.GetUpdateTime()),
					})
				}
				return t
			})
		}),
	}
	cmd.Flags().StringVar(&filter, "filter", "", `conditions "field op value" joined by AND, for example: visibility = "PUBLIC"`)
	cmd.Flags().StringVar(&team, "team", "", "only agents of this team")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	cmd.Flags().StringVar(&order, "order", "", `order, for example "create_time desc"; by name unless given`)
	addLimit(cmd, &limit, 0)
	return cmd
}

func (p *program) agentsUpdate() *cobra.Command {
	var f agentFlags
	var etag string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change what the flags name of an agent", Args: cobra.ExactArgs(1),
		Example: `  signalbox agents update echo --url http://127.0.0.1:9998 --tag internal
  signalbox agents update weather --credential-bearer-file token.txt
  signalbox agents update weather --credential-oauth2 client.yaml --ca-file company-ca.pem`,
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			agent, mask, err := f.agent(p, cmd.Flags())
			if err != nil {
				return err
			}
			agent.Name, agent.Etag = full(agentsCollection, args[0]), etag
			if agent.GetTransportSecurity() != nil {
				is, err := m.registry.GetAgent(cmd.Context(), &registryv1.GetAgentRequest{Name: agent.GetName()})
				if err != nil {
					return doingf(err, "update agent %s", args[0])
				}
				f.credential.keepTLS(cmd.Flags(), agent.GetTransportSecurity(), is.GetTransportSecurity())
			}
			changed, err := m.registry.UpdateAgent(cmd.Context(), &registryv1.UpdateAgentRequest{Agent: agent, UpdateMask: mask})
			if err != nil {
				return doingf(err, "update agent %s", args[0])
			}
			if err := p.printAgent(m, changed); err != nil {
				return err
			}
			p.unconfirmed(changed.GetRollout())
			return nil
		}),
	}
	f.add(cmd)
	f.credential.addClear(cmd)
	cmd.MarkFlagsOneRequired(append(agentFlagNames(), flagClearCredential, flagClearTLS)...)
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) agentsDelete() *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Remove an agent from the catalogue", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := full(agentsCollection, args[0])
			ctx, call := connect.NewClientContext(cmd.Context())
			done, err := m.registry.DeleteAgent(ctx, &registryv1.DeleteAgentRequest{Name: name, Etag: etag})
			if err != nil {
				return doingf(err, "delete agent %s", args[0])
			}
			if err := p.print(done, func() table { return table{rows: [][]string{{"deleted " + name}}} }); err != nil {
				return err
			}
			p.confirmed(rolloutIn(call.ResponseHeader()))
			return nil
		}),
	}
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) agentsImport() *cobra.Command {
	var name, team, visibility string
	cmd := &cobra.Command{
		Use: "import URL|FILE", Short: "Register an agent from its card alone", Args: cobra.ExactArgs(1),
		Long: `Register an agent from its card: name, description, tags and endpoints are taken from it.
The card is fetched by the gateway from the agent's address, or read from a file ("-" is
standard input).`,
		Example: `  signalbox agents import https://agents.example.com/weather --team research`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			v, err := parseVisibility(visibility)
			if err != nil {
				return err
			}
			req := &registryv1.ImportAgentRequest{
				AgentId: short(name), Team: full(teamsCollection, team), Visibility: v,
			}
			if strings.HasPrefix(args[0], "http://") || strings.HasPrefix(args[0], "https://") {
				req.Source = &registryv1.ImportAgentRequest_CardUrl{CardUrl: args[0]}
			} else {
				card, err := p.readSource(args[0])
				if err != nil {
					return doingf(err, "read card")
				}
				req.Source = &registryv1.ImportAgentRequest_CardJson{CardJson: card}
			}
			made, err := m.registry.ImportAgent(cmd.Context(), req)
			if err != nil {
				return doingf(err, "import agent from %s", args[0])
			}
			return p.printAgent(m, made)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the agent; made from the card's unless given")
	cmd.Flags().StringVar(&team, "team", "", "team that owns the agent; the key's own unless given")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	cmd.Flags().StringVar(&visibility, flagVisibility, "", "who may see and call it: "+strings.Join(visibilities(), ", "))
	must(cmd.RegisterFlagCompletionFunc(flagVisibility, fixed(visibilities()...)))
	return cmd
}

// printAgent prints an agent, and its warnings where they are seen.
func (p *program) printAgent(m *management, a *registryv1.Agent) error {
	if err := p.print(a, func() table { return p.agentDetail(a, m.server) }); err != nil {
		return err
	}
	for _, w := range a.GetWarnings() {
		p.note("warning: %s", printable(w))
	}
	return nil
}

// agentDetail shows an agent; server is where the gateway is.
func (p *program) agentDetail(a *registryv1.Agent, server string) table {
	t := table{}
	add := func(name string, values ...string) {
		for i, v := range values {
			if i > 0 {
				name = ""
			}
			if v != "" {
				t.rows = append(t.rows, []string{name, v})
			}
		}
	}
	add("name", a.GetName())
	add("team", a.GetTeam())
	add("display name", oneLine(a.GetDisplayName()))
	add("description", oneLine(a.GetDescription()))
	add("visibility", visibilityText(a.GetVisibility()))
	add("state", stateText(a.GetState()))
	if s := a.GetSuspension(); s != nil {
		add("suspended", p.moment(s.GetSuspendTime()))
		add("reason", oneLine(s.GetReason()))
		add("state before", stateText(s.GetStateBefore()))
	}
	add("tags", strings.Join(a.GetTags(), ", "))
	add("aliases", strings.Join(a.GetAliases(), ", "))
	endpoints := make([]string, len(a.GetEndpoints()))
	for i, e := range a.GetEndpoints() {
		endpoints[i] = e.GetUrl()
		if e.GetWeight() > 1 {
			endpoints[i] += " (weight " + strconv.FormatUint(uint64(e.GetWeight()), 10) + ")"
		}
	}
	add("endpoints", endpoints...)
	if a.GetTrustCardAuthority() {
		add("dialled at", "the address that the card names")
	}
	faces := make([]string, len(a.GetInterfaces()))
	for i, f := range a.GetInterfaces() {
		faces[i] = oneLine(f.GetBinding() + " " + f.GetVersion() + " " + f.GetUrl())
	}
	if assumed(a) {
		faces = []string{assumedInterface}
	}
	add("speaks", faces...)
	add("prefers", strings.Join(a.GetPreferredDialects(), ", "))
	add("card", enumText(a.GetCardSource().String(), "CARD_SOURCE_"))
	add("signature", signatureText(a.GetCardVerification()))
	add("card keys", keyIDs(a.GetCardKeys()))
	add("card shape", cardShapeText(a.GetCardShape()))
	add("push", enumText(a.GetPush().String(), "PUSH_MODE_"))
	add("push hosts", strings.Join(a.GetPushAllowedHosts(), ", "))
	add("headers", strings.Join(a.GetForwardHeaders(), ", "))
	add("credential", p.credentialText(a.GetCredential())...)
	add("tls", p.tlsText(a.GetTransportSecurity())...)
	add("revision", strconv.FormatInt(a.GetRevision(), 10))
	add("created", p.moment(a.GetCreateTime()))
	add("changed", p.moment(a.GetUpdateTime()))
	add("uid", a.GetUid())
	add("etag", a.GetEtag())
	if len(a.GetRoutes()) > 0 {
		below := routesTable(a, server)
		t.below = &below
	}
	return t
}

// routesTable shows what the gateway offers for an agent.
func routesTable(a *registryv1.Agent, server string) table {
	t := table{header: []string{"DIALECT", "ADDRESS", "SERVED BY"}}
	for _, r := range a.GetRoutes() {
		served := "passes"
		if r.GetTranslated() {
			served = "translated to " + r.GetUpstreamDialect()
		}
		t.rows = append(t.rows, []string{r.GetDialect(), oneLine(routeAddress(r, server) + " " + r.GetSelector()), served})
	}
	return t
}

// routeAddress completes the address of a gateway that does not know its own with the
// one at which it was found.
func routeAddress(r *registryv1.Route, server string) string {
	address := r.GetAddress()
	if strings.HasPrefix(address, "/") {
		return server + address
	}
	if address != "" {
		return address
	}
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "http" {
		return u.Host + ":80"
	}
	return u.Host + ":443"
}

func signatureText(v *registryv1.CardVerification) string {
	switch v.GetState() {
	case registryv1.CardVerificationState_CARD_VERIFICATION_STATE_UNSIGNED:
		return "none"
	case registryv1.CardVerificationState_CARD_VERIFICATION_STATE_NO_KEY:
		return "not verified; give the keys with: signalbox agents update NAME --card-keys FILE"
	case registryv1.CardVerificationState_CARD_VERIFICATION_STATE_VERIFIED:
		return oneLine("verified with key " + v.GetKeyId())
	case registryv1.CardVerificationState_CARD_VERIFICATION_STATE_INVALID:
		return "does not verify; the card is not used"
	case registryv1.CardVerificationState_CARD_VERIFICATION_STATE_UNSPECIFIED:
	}
	return ""
}

// keyIDs returns the ids of the keys in a JWKS.
func keyIDs(jwks string) string {
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if jwks == "" || json.Unmarshal([]byte(jwks), &set) != nil {
		return ""
	}
	ids := make([]string, len(set.Keys))
	for i, key := range set.Keys {
		ids[i] = cmp.Or(oneLine(key.ID), "(without id)")
	}
	return strings.Join(ids, ", ")
}

// assumedInterface is what the gateway speaks with an agent that has no card.
const assumedInterface = "JSONRPC " + version10 + " (assumed)"

func assumed(a *registryv1.Agent) bool {
	return len(a.GetInterfaces()) == 0 && a.GetCardSource() == registryv1.CardSource_CARD_SOURCE_NONE
}

// speaks is what an agent speaks, each once: "JSONRPC 1.0, JSONRPC 0.3".
func speaks(a *registryv1.Agent) string {
	if assumed(a) {
		return assumedInterface
	}
	var all []string
	seen := map[string]bool{}
	for _, f := range a.GetInterfaces() {
		if text := oneLine(f.GetBinding() + " " + f.GetVersion()); !seen[text] {
			seen[text] = true
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}

// endpointsText is the first endpoint and how many more there are.
func endpointsText(a *registryv1.Agent) string {
	switch n := len(a.GetEndpoints()); n {
	case 0:
		return ""
	case 1:
		return a.GetEndpoints()[0].GetUrl()
	default:
		return a.GetEndpoints()[0].GetUrl() + " +" + strconv.Itoa(n-1)
	}
}

func visibilityText(v registryv1.Visibility) string { return enumText(v.String(), "VISIBILITY_") }

func stateText(s registryv1.State) string { return enumText(s.String(), "STATE_") }

func listAgents(ctx context.Context, m *management, req *registryv1.ListAgentsRequest, limit int) ([]*registryv1.Agent, error) {
	return pages(limit, func(size uint32, token string) ([]*registryv1.Agent, string, error) {
		req.PageSize, req.PageToken = size, token
		r, err := m.registry.ListAgents(ctx, req)
		return r.GetAgents(), r.GetNextPageToken(), err
	})
}

func agentNames(ctx context.Context, m *management) ([]string, error) {
	agents, err := listAgents(ctx, m, &registryv1.ListAgentsRequest{}, pageSize)
	names := make([]string, len(agents))
	for i, a := range agents {
		names[i] = cobra.CompletionWithDesc(short(a.GetName()), printable(oneLine(a.GetDisplayName())))
	}
	return names, err
}
