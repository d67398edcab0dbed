package cli

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
)

const teamsCollection = "teams"

func (p *program) teamsCommand() *cobra.Command {
	cmd := parent("teams", "Manage teams, which own agents and keys",
		p.teamsCreate(), p.teamsGet(), p.teamsList(), p.teamsUpdate(), p.teamsDisable(true), p.teamsDisable(false), p.teamsDelete())
	cmd.Aliases = []string{"team"}
	return cmd
}

func (p *program) teamsCreate() *cobra.Command {
	var displayName string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a team", Args: cobra.ExactArgs(1),
		Example: `  signalbox teams create research --display-name "Research"`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			team, err := m.identity.CreateTeam(cmd.Context(), &identityv1.CreateTeamRequest{
				TeamId: short(args[0]), Team: &identityv1.Team{DisplayName: displayName},
			})
			if err != nil {
				return doingf(err, "create team %s", args[0])
			}
			return p.print(team, func() table { return p.teamDetail(team) })
		}),
	}
	cmd.Flags().StringVar(&displayName, "display-name", "", "name for people")
	return cmd
}

func (p *program) teamsGet() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Aliases: []string{"show"}, Short: "Show a team", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(teamNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			team, err := m.identity.GetTeam(cmd.Context(), &identityv1.GetTeamRequest{Name: full(teamsCollection, args[0])})
			if err != nil {
				return doingf(err, "get team %s", args[0])
			}
			return p.print(team, func() table { return p.teamDetail(team) })
		}),
	}
}

func (p *program) teamsList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List teams", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			teams, err := listTeams(cmd.Context(), m, limit)
			if err != nil {
				return doingf(err, "list teams")
			}
			return p.print(&identityv1.ListTeamsResponse{Teams: teams}, func() table {
				t := table{header: []string{"NAME", "DISPLAY NAME", "STATE", "CREATED"}, empty: "there is no team that this key may see"}
				for _, team := range teams {
					t.rows = append(t.rows, []string{
						short(team.GetName()), oneLine(team.GetDisplayName()), enabledText(team.GetDisabled()), p.ago(team.GetCreateTime()),
					})
				}
				return t
			})
		}),
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func (p *program) teamsUpdate() *cobra.Command {
	var displayName, etag string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a team", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(teamNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			team, err := m.identity.UpdateTeam(cmd.Context(), &identityv1.UpdateTeamRequest{
				Team:       &identityv1.Team{Name: full(teamsCollection, args[0]), DisplayName: displayName, Etag: etag},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
			})
			if err != nil {
				return doingf(err, "update team %s", args[0])
			}
			return p.print(team, func() table { return p.teamDetail(team) })
		}),
	}
	cmd.Flags().StringVar(&displayName, "display-name", "", "name for people")
	must(cmd.MarkFlagRequired("display-name"))
	addEtag(cmd, &etag)
	return cmd
}

// teamsDisable is the command that disables a team, or the one that enables it again.
func (p *program) teamsDisable(disable bool) *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Refuse a team's keys, and its agents as callers, from now on", Args: cobra.ExactArgs(1),
		Long: `Refuse a team's keys, and its agents as callers, from now on: new calls within a second,
and open streams end within five. Roles in the team count for nothing. Its agents can be
called as before; to stop one, suspend it. Replicas that have not confirmed it are listed;
repeat the command to ask them again.`,
		ValidArgsFunction: p.completing(teamNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			team, err := m.identity.UpdateTeam(cmd.Context(), &identityv1.UpdateTeamRequest{
				Team:       &identityv1.Team{Name: full(teamsCollection, args[0]), Disabled: disable, Etag: etag},
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
			})
			if err != nil {
				return doingf(err, "%s team %s", cmd.Name(), args[0])
			}
			if err := p.print(team, func() table { return p.teamDetail(team) }); err != nil {
				return err
			}
			p.confirmed(team.GetRollout())
			return nil
		}),
	}
	if !disable {
		cmd.Use, cmd.Short = "enable NAME", "Accept a team's keys again"
		cmd.Long = cmd.Short + ", those that are not disabled themselves."
	}
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) teamsDelete() *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete a team that owns nothing and in which nobody holds a role", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(teamNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := full(teamsCollection, args[0])
			ctx, call := connect.NewClientContext(cmd.Context())
			done, err := m.identity.DeleteTeam(ctx, &identityv1.DeleteTeamRequest{Name: name, Etag: etag})
			if err != nil {
				return doingf(err, "delete team %s", args[0])
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

func (p *program) teamDetail(t *identityv1.Team) table {
	return table{rows: [][]string{
		{"name", t.GetName()},
		{"display name", t.GetDisplayName()},
		{"state", enabledText(t.GetDisabled())},
		{"created", p.moment(t.GetCreateTime())},
		{"changed", p.moment(t.GetUpdateTime())},
		{"uid", t.GetUid()},
		{"etag", t.GetEtag()},
	}}
}

func enabledText(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "active"
}

func listTeams(ctx context.Context, m *management, limit int) ([]*identityv1.Team, error) {
	return pages(limit, func(size uint32, token string) ([]*identityv1.Team, string, error) {
		r, err := m.identity.ListTeams(ctx, &identityv1.ListTeamsRequest{PageSize: size, PageToken: token})
		return r.GetTeams(), r.GetNextPageToken(), err
	})
}

// teamNames are what a team can be completed to.
func teamNames(ctx context.Context, m *management) ([]string, error) {
	teams, err := listTeams(ctx, m, pageSize)
	names := make([]string, len(teams))
	for i, t := range teams {
		names[i] = cobra.CompletionWithDesc(short(t.GetName()), printable(oneLine(t.GetDisplayName())))
	}
	return names, err
}

func addEtag(cmd *cobra.Command, etag *string) {
	cmd.Flags().StringVar(etag, "etag", "", "do it only while this is the resource's etag")
}

func addLimit(cmd *cobra.Command, limit *int, preset int) {
	cmd.Flags().IntVar(limit, "limit", preset, "at most this many; 0 means all")
}

func checkLimit(limit int) error {
	if limit < 0 {
		return usagef("--limit must not be negative")
	}
	return nil
}
