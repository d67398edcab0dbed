package cli

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
)

const grantsCollection = "grants"

func (p *program) grantsCommand() *cobra.Command {
	cmd := parent("grants", "Give somebody the right to call agents, without writing a policy",
		p.grantsCreate(), p.grantsList(), p.grantsGet(), p.grantsUpdate(), p.grantsDelete())
	cmd.Aliases = []string{"grant"}
	return cmd
}

func (p *program) grantsCreate() *cobra.Command {
	var principal, agents, until, description, id string
	var actions []string
	var via, disabled, force bool
	cmd := &cobra.Command{
		Use: "create --principal PRINCIPAL --agents AGENTS", Short: "Give somebody a right to agents", Args: cobra.NoArgs,
		Long: `Give somebody a right to agents. Principals are team:TEAM, key:TEAM/KEY, user:ISSUER~SUBJECT,
agent:AGENT or role:ROLE (role:TEAM/ROLE in one team); agents are agent:AGENT, tag:TAG,
team:TEAM or all. What may be called may be seen, too.`,
		Example: `  signalbox grants create --principal team:research --agents tag:internal --actions invoke,discover --until 2027-01-01`,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			req := &policyv1.CreateGrantRequest{
				GrantId: strings.TrimPrefix(id, grantsCollection+"/"), AllowWithoutEffect: force,
				Grant: &policyv1.Grant{
					Principal: principalFlag(principal), Agents: agents, Actions: actions, Description: description, Disabled: disabled,
				},
			}
			if cmd.Flags().Changed("via") {
				req.Grant.Via = &via
			}
			var err error
			if req.Grant.ExpireTime, err = p.until(until); err != nil {
				return err
			}
			g, err := m.policy.CreateGrant(cmd.Context(), req)
			if err != nil {
				return doingf(err, "create grant")
			}
			for _, w := range g.GetWarnings() {
				p.note("warning: %s", printable(w))
			}
			return p.print(g, func() table { return p.grantDetail(g) })
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&principal, "principal", "", "who is given the right")
	must(cmd.MarkFlagRequired("principal"))
	flags.StringVar(&agents, "agents", "", "to which agents")
	must(cmd.MarkFlagRequired("agents"))
	flags.StringSliceVar(&actions, "actions", []string{"invoke"}, "what: invoke, single operations such as SendMessage, or methods of management such as GetAgent")
	flags.StringVar(&until, "until", "", `when it ends: a time, or a duration from now such as 90d; never unless given`)
	flags.BoolVar(&via, "via", true, "also for calls that agents make on behalf of the principal")
	flags.StringVar(&description, "description", "", "what it is for, for people")
	flags.BoolVar(&disabled, "disabled", false, "make it without effect until it is enabled")
	flags.StringVar(&id, "id", "", "name of the grant, which begins with g-; the next number unless given")
	flags.BoolVar(&force, "allow-without-effect", false, "make it even when policies forbid all that it would permit")
	return cmd
}

// until reads when something ends; "never" and nothing mean never.
func (p *program) until(text string) (*timestamppb.Timestamp, error) {
	if text == "" || text == never {
		return nil, nil
	}
	t, err := p.parseExpiry(text)
	if err != nil {
		return nil, usagef("--until: %s", err)
	}
	return timestamppb.New(t.Truncate(time.Millisecond)), nil
}

func (p *program) grantDetail(g *policyv1.Grant) table {
	via, disabled := "", ""
	if g.GetVia() {
		via = "also for calls on behalf of the principal"
	}
	if g.GetDisabled() {
		disabled = "yes"
	}
	return table{rows: [][]string{
		{"name", g.GetName()},
		{"says", g.GetSentence()},
		{"principal", g.GetPrincipal()},
		{"agents", g.GetAgents()},
		{"actions", strings.Join(g.GetActions(), ", ")},
		{"until", p.moment(g.GetExpireTime())},
		{"via", via},
		{"disabled", disabled},
		{"team", g.GetTeam()},
		{"description", oneLine(g.GetDescription())},
		{"given by", g.GetAuthor()},
		{"created", p.moment(g.GetCreateTime())},
		{"changed", p.moment(g.GetUpdateTime())},
		{"uid", g.GetUid()},
		{"etag", g.GetEtag()},
	}}
}

func (p *program) grantsList() *cobra.Command {
	var team, principal, agents string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List grants", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			req := &policyv1.ListGrantsRequest{Principal: principalFlag(principal), Agents: agents}
			if team != "" {
				req.Team = full(teamsCollection, team)
			}
			grants, err := listGrants(cmd.Context(), m, req, limit)
			if err != nil {
				return doingf(err, "list grants")
			}
			return p.print(&policyv1.ListGrantsResponse{Grants: grants}, func() table {
				t := table{header: []string{"GRANT", "PRINCIPAL", "AGENTS", "ACTIONS", "UNTIL", "STATE", "CREATED"}, empty: "there is no such grant that this key may see"}
				for _, g := range grants {
					until := never
					if g.GetExpireTime() != nil {
						until = p.ago(g.GetExpireTime())
					}
					t.rows = append(t.rows, []string{
						short(g.GetName()), g.GetPrincipal(), g.GetAgents(), strings.Join(g.GetActions(), ","), until, p.grantState(g), p.ago(g.GetCreateTime()),
					})
				}
				return t
			})
		}),
	}
	cmd.Flags().StringVar(&team, "team", "", "only grants about agents of this team")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	cmd.Flags().StringVar(&principal, "principal", "", "only grants to this principal, for example team:research")
	cmd.Flags().StringVar(&agents, "agents", "", "only grants that name these agents, for example tag:internal")
	addLimit(cmd, &limit, 0)
	return cmd
}

func (p *program) grantState(g *policyv1.Grant) string {
	switch until := g.GetExpireTime(); {
	case g.GetDisabled():
		return "disabled"
	case until != nil && !until.AsTime().After(p.clock.Now()):
		return "expired"
	}
	return "active"
}

func listGrants(ctx context.Context, m *management, req *policyv1.ListGrantsRequest, limit int) ([]*policyv1.Grant, error) {
	return pages(limit, func(size uint32, token string) ([]*policyv1.Grant, string, error) {
		req.PageSize, req.PageToken = size, token
		r, err := m.policy.ListGrants(ctx, req)
		return r.GetGrants(), r.GetNextPageToken(), err
	})
}

// grantNames are what a grant can be completed to.
func grantNames(ctx context.Context, m *management) ([]string, error) {
	grants, err := listGrants(ctx, m, &policyv1.ListGrantsRequest{}, pageSize)
	names := make([]string, len(grants))
	for i, g := range grants {
		names[i] = cobra.CompletionWithDesc(short(g.GetName()), printable(oneLine(g.GetSentence())))
	}
	return names, err
}

func (p *program) grantsGet() *cobra.Command {
	return &cobra.Command{
		Use: "get GRANT", Aliases: []string{"show"}, Short: "Show a grant with the Cedar text that it stands for", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(grantNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			g, err := m.policy.GetGrant(cmd.Context(), &policyv1.GetGrantRequest{Name: full(grantsCollection, args[0])})
			if err != nil {
				return doingf(err, "get grant %s", args[0])
			}
			if err := p.print(g, func() table { return p.grantDetail(g) }); err != nil || p.flags.output != outputTable {
				return err
			}
			return p.printText("", g.GetCedarText())
		}),
	}
}

func (p *program) grantsUpdate() *cobra.Command {
	var until, description, etag string
	var disable, enable bool
	cmd := &cobra.Command{
		Use: "update GRANT", Short: "Change when a grant ends, or disable it", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(grantNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			req := &policyv1.UpdateGrantRequest{
				Grant:      &policyv1.Grant{Name: full(grantsCollection, args[0]), Description: description, Disabled: disable, Etag: etag},
				UpdateMask: &fieldmaskpb.FieldMask{},
			}
			if cmd.Flags().Changed("description") {
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "description")
			}
			if disable || enable {
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "disabled")
			}
			if until != "" {
				var err error
				if req.Grant.ExpireTime, err = p.until(until); err != nil {
					return err
				}
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "expire_time")
			}
			g, err := m.policy.UpdateGrant(cmd.Context(), req)
			if err != nil {
				return doingf(err, "update grant %s", args[0])
			}
			if err := p.print(g, func() table { return p.grantDetail(g) }); err != nil {
				return err
			}
			p.confirmed(g.GetRollout())
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&until, "until", "", `when it ends: a time, a duration from now such as 90d, or "never"`)
	flags.StringVar(&description, "description", "", "what it is for, for people")
	flags.BoolVar(&disable, "disable", false, "take its effect away")
	flags.BoolVar(&enable, "enable", false, "give it its effect back")
	cmd.MarkFlagsOneRequired("until", "description", "disable", "enable")
	cmd.MarkFlagsMutuallyExclusive("disable", "enable")
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) grantsDelete() *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "delete GRANT", Aliases: []string{"rm"}, Short: "Take a grant away", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(grantNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := full(grantsCollection, args[0])
			ctx, call := connect.NewClientContext(cmd.Context())
			done, err := m.policy.DeleteGrant(ctx, &policyv1.DeleteGrantRequest{Name: name, Etag: etag})
			if err != nil {
				return doingf(err, "delete grant %s", args[0])
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
