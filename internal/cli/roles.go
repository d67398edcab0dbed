package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
)

const rolesCollection = "roles"

// roleIDs are the roles that there are. The gateway has the last word.
func roleIDs() []string {
	return []string{"admin", "team-admin", "publisher", "approver", "auditor", "member"}
}

func (p *program) rolesCommand() *cobra.Command {
	cmd := parent("roles", "Give and take roles, which say who may do what", p.rolesAdd(), p.rolesRemove(), p.rolesList())
	cmd.Aliases = []string{"role"}
	cmd.Long = `Give and take roles. A role holds in a team (--team TEAM), or everywhere without one:

  admin        everything; everywhere only
  team-admin   everything in one team; in a team only
  publisher    registers and changes agents, and calls them
  approver     decides whether agents of others may be called
  auditor      reads what happened, and calls nothing
  member       calls the agents of the team

ROLE can be written in full as well: roles/auditor, teams/research/roles/publisher. MEMBER
is a user (users/okta~ada), an agent (agents/planner) or a key (TEAM/KEY). A key that holds
no role does what keys of its team may do; with one it does what that permits, and no more.`
	return cmd
}

func (p *program) rolesAdd() *cobra.Command {
	return p.rolesChange("add ROLE MEMBER", "Give somebody a role", `  signalbox roles add publisher users/okta~ada --team research
  signalbox roles add auditor research/siem`,
		func(ctx context.Context, m *management, role, member string) (*identityv1.RoleHolder, error) {
			return m.identity.AddRoleMember(ctx, &identityv1.AddRoleMemberRequest{Role: role, Member: member})
		})
}

func (p *program) rolesRemove() *cobra.Command {
	cmd := p.rolesChange("remove ROLE MEMBER", "Take a role from somebody", `  signalbox roles remove publisher users/okta~ada --team research`,
		func(ctx context.Context, m *management, role, member string) (*identityv1.RoleHolder, error) {
			return m.identity.RemoveRoleMember(ctx, &identityv1.RemoveRoleMemberRequest{Role: role, Member: member})
		})
	cmd.Aliases = []string{"rm"}
	return cmd
}

func (p *program) rolesChange(
	use, text, example string, change func(ctx context.Context, m *management, role, member string) (*identityv1.RoleHolder, error),
) *cobra.Command {
	var team string
	cmd := &cobra.Command{
		Use: use, Short: text, Args: cobra.ExactArgs(2), Example: example,
		ValidArgsFunction: p.completingMember,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			member, err := memberName(args[1])
			if err != nil {
				return err
			}
			role := roleName(args[0], team)
			if !strings.HasPrefix(role, "teams/") && team != "" {
				return usagef("%q holds everywhere; leave --team out", role)
			}
			holder, err := change(cmd.Context(), m, role, member)
			if err != nil {
				return doingf(err, "%s role %s of %s", cmd.Name(), role, member)
			}
			err = p.print(holder, func() table {
				return table{rows: [][]string{{"name", holder.GetName()}, {rolesCollection, rolesText(holder.GetRoles())}}}
			})
			if err != nil {
				return err
			}
			p.confirmed(holder.GetRollout())
			return nil
		}),
	}
	cmd.Flags().StringVar(&team, "team", "", "team in which the role holds; none means everywhere")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	return cmd
}

func (p *program) rolesList() *cobra.Command {
	var team, member string
	var limit int
	cmd := &cobra.Command{
		Use: "list [ROLE]", Aliases: []string{"ls"}, Short: "List who holds roles, everywhere and in teams", Args: cobra.MaximumNArgs(1),
		Example: `  signalbox roles list --team research
  signalbox roles list auditor
  signalbox roles list --member users/okta~ada`,
		ValidArgsFunction: p.completingMember,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			req := &identityv1.ListRoleMembersRequest{Parent: "-"}
			role := ""
			if len(args) == 1 {
				role = args[0]
			}
			switch {
			case strings.Contains(role, "/"):
				if team != "" {
					return usagef("%q says already where the role holds; leave --team out", role)
				}
				req.Parent, role = role, ""
			case team != "":
				req.Parent = roleName("-", team)
				if role != "" {
					req.Parent, role = roleName(role, team), ""
				}
			}
			if member != "" {
				var err error
				if req.Member, err = memberName(member); err != nil {
					return err
				}
			}
			members, err := listRoleMembers(cmd.Context(), m, req, role, limit)
			if err != nil {
				return doingf(err, "list who holds roles")
			}
			return p.print(&identityv1.ListRoleMembersResponse{Members: members}, func() table {
				t := table{header: []string{"ROLE", "IN", "MEMBER", "GIVEN BY", "SINCE"}, empty: "nobody holds such a role, of those that this key may see"}
				for _, member := range members {
					in, role := "everywhere", member.GetRole()
					if rest, ok := strings.CutPrefix(role, "teams/"); ok {
						in, role, _ = strings.Cut(rest, "/")
					}
					t.rows = append(t.rows, []string{
						short(role), in, shortKey(member.GetMember()), shortKey(member.GetAuthor()), p.ago(member.GetCreateTime()),
					})
				}
				return t
			})
		}),
	}
	cmd.Flags().StringVar(&team, "team", "", `only roles in this team; "-" means in any`)
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	cmd.Flags().StringVar(&member, "member", "", "only what this user, agent or key holds")
	addLimit(cmd, &limit, 0)
	return cmd
}

// listRoleMembers lists who holds a role, wherever that is; an empty one means any.
func listRoleMembers(
	ctx context.Context, m *management, req *identityv1.ListRoleMembersRequest, role string, limit int,
) ([]*identityv1.RoleMember, error) {
	most := limit
	if role != "" {
		most = 0 // some that come are not wanted
	}
	members, err := pages(most, func(size uint32, token string) ([]*identityv1.RoleMember, string, error) {
		req.PageSize, req.PageToken = size, token
		r, err := m.identity.ListRoleMembers(ctx, req)
		return r.GetMembers(), r.GetNextPageToken(), err
	})
	if role != "" {
		members = slices.DeleteFunc(members, func(m *identityv1.RoleMember) bool {
			return m.GetRole() != roleName(role, "") && !strings.HasSuffix(m.GetRole(), "/"+roleName(role, ""))
		})
		if limit > 0 && len(members) > limit {
			members = members[:limit]
		}
	}
	return members, err
}

// roleName makes the name of a role in a team, or everywhere without one, unless it is a
// name already.
func roleName(role, team string) string {
	switch {
	case strings.HasPrefix(role, "teams/"):
		return role
	case team == "" || strings.Contains(role, "/"):
		return full(rolesCollection, role)
	}
	return full(teamsCollection, team) + "/" + full(rolesCollection, role)
}

// memberName makes the name of who can hold a role: users and agents are written in full,
// keys as TEAM/KEY too.
func memberName(text string) (string, error) {
	switch {
	case strings.HasPrefix(text, "users/"), strings.HasPrefix(text, "agents/"):
		return text, nil
	case !strings.Contains(text, "/") && strings.Contains(text, "~"):
		return full(usersCollection, text), nil
	case !strings.Contains(text, "/"):
		return "", usagef("who is %q? Write users/ISSUER~SUBJECT, agents/%s, or TEAM/%s for a key", text, text, text)
	}
	return keyName(text, "")
}

// rolesText is a list of roles for a table.
func rolesText(roles []string) string {
	if len(roles) == 0 {
		return "none"
	}
	return strings.Join(roles, ", ")
}

// completingMember completes a role, and then who is to hold it.
func (p *program) completingMember(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		return fixed(roleIDs()...)(cmd, args, text)
	case len(args) == 1 && cmd.Name() != "list":
		return p.completing(userNames)(cmd, nil, text)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
