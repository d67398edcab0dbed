package cli

import (
	"context"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
)

const usersCollection = "users"

func (p *program) usersCommand() *cobra.Command {
	cmd := parent("users", "Manage users, who call with tokens of an issuer",
		p.usersCreate(), p.usersGet(), p.usersList(), p.usersDisable(true), p.usersDisable(false), p.usersDelete())
	cmd.Aliases = []string{"user"}
	cmd.Long = `Manage users. A user is written ISSUER~SUBJECT, or users/ISSUER~SUBJECT in full. Users come
by themselves with their first token; they are made before only to be given roles.`
	return cmd
}

func (p *program) usersCreate() *cobra.Command {
	var issuer, subject, displayName, email string
	cmd := &cobra.Command{
		Use: "create --issuer ISSUER --subject SUBJECT", Short: "Make a user before its first token comes", Args: cobra.NoArgs,
		Example: `  signalbox users create --issuer okta --subject 00u1a2b3 --display-name "Ada Lovelace"`,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			user, err := m.identity.CreateUser(cmd.Context(), &identityv1.CreateUserRequest{User: &identityv1.User{
				Issuer: full(issuersCollection, issuer), Subject: subject, DisplayName: displayName, Email: email,
			}})
			if err != nil {
				return doingf(err, "create user %s of issuer %s", subject, issuer)
			}
			return p.print(user, func() table { return p.userDetail(user) })
		}),
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "who vouches for the user")
	must(cmd.MarkFlagRequired("issuer"))
	must(cmd.RegisterFlagCompletionFunc("issuer", p.completing(issuerNames)))
	cmd.Flags().StringVar(&subject, "subject", "", `what the issuer calls the user: the "sub" of its tokens`)
	must(cmd.MarkFlagRequired("subject"))
	cmd.Flags().StringVar(&displayName, "display-name", "", "name for people")
	cmd.Flags().StringVar(&email, "email", "", "e-mail address for people")
	return cmd
}

func (p *program) usersGet() *cobra.Command {
	return &cobra.Command{
		Use: "get USER", Aliases: []string{"show"}, Short: "Show a user", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(userNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			user, err := m.identity.GetUser(cmd.Context(), &identityv1.GetUserRequest{Name: full(usersCollection, args[0])})
			if err != nil {
				return doingf(err, "get user %s", args[0])
			}
			return p.print(user, func() table { return p.userDetail(user) })
		}),
	}
}

func (p *program) usersList() *cobra.Command {
	var limit int
	req := &identityv1.ListUsersRequest{}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the users that were made or have called", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			req.Issuer = full(issuersCollection, req.GetIssuer())
			users, err := listUsers(cmd.Context(), m, req, limit)
			if err != nil {
				return doingf(err, "list users")
			}
			return p.print(&identityv1.ListUsersResponse{Users: users}, func() table {
				t := table{
					header: []string{"USER", "DISPLAY NAME", "EMAIL", "STATE", "ROLES", "LAST USED", "CREATED"},
					empty:  "there is no such user that this key may see",
				}
				for _, u := range users {
					t.rows = append(t.rows, []string{
						short(u.GetName()), oneLine(u.GetDisplayName()), u.GetEmail(), enabledText(u.GetDisabled()), rolesText(u.GetRoles()),
						p.ago(u.GetLastUsedTime()), p.ago(u.GetCreateTime()),
					})
				}
				return t
			})
		}),
	}
	cmd.Flags().StringVar(&req.Issuer, "issuer", "", "only users of this issuer")
	must(cmd.RegisterFlagCompletionFunc("issuer", p.completing(issuerNames)))
	cmd.Flags().BoolVar(&req.DisabledOnly, "disabled", false, "only users who are disabled")
	addLimit(cmd, &limit, 0)
	return cmd
}

// usersDisable is the command that disables a user, or the one that enables it again.
func (p *program) usersDisable(disable bool) *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "disable USER", Short: "Refuse a user from now on, whatever its tokens say", Args: cobra.ExactArgs(1),
		Long: `Refuse a user from now on, whatever its tokens say: new calls within a second, and open
streams end within five. Replicas that have not confirmed it are listed; repeat the command
to ask them again.`,
		ValidArgsFunction: p.completing(userNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			var user *identityv1.User
			var err error
			if name := full(usersCollection, args[0]); disable {
				user, err = m.identity.DisableUser(cmd.Context(), &identityv1.DisableUserRequest{Name: name})
			} else {
				user, err = m.identity.UpdateUser(cmd.Context(), &identityv1.UpdateUserRequest{
					User: &identityv1.User{Name: name, Etag: etag}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"disabled"}},
				})
			}
			if err != nil {
				return doingf(err, "%s user %s", cmd.Name(), args[0])
			}
			if err := p.print(user, func() table { return p.userDetail(user) }); err != nil {
				return err
			}
			p.confirmed(user.GetRollout())
			return nil
		}),
	}
	if !disable {
		cmd.Use, cmd.Short, cmd.Long = "enable USER", "Accept a user again", ""
		addEtag(cmd, &etag)
	}
	return cmd
}

func (p *program) usersDelete() *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "delete USER", Aliases: []string{"rm"}, Short: "Delete a user with its roles", Args: cobra.ExactArgs(1),
		Long:              "Delete a user with its roles. It comes again with its next token: to keep somebody out, disable the user.",
		ValidArgsFunction: p.completing(userNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := full(usersCollection, args[0])
			ctx, call := connect.NewClientContext(cmd.Context())
			done, err := m.identity.DeleteUser(ctx, &identityv1.DeleteUserRequest{Name: name, Etag: etag})
			if err != nil {
				return doingf(err, "delete user %s", args[0])
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

func (p *program) userDetail(u *identityv1.User) table {
	return table{rows: [][]string{
		{"name", u.GetName()},
		{"issuer", u.GetIssuer()},
		{"subject", u.GetSubject()},
		{"display name", u.GetDisplayName()},
		{"email", u.GetEmail()},
		{"state", enabledText(u.GetDisabled())},
		{"roles", rolesText(u.GetRoles())},
		{"last used", p.moment(u.GetLastUsedTime())},
		{"created", p.moment(u.GetCreateTime())},
		{"changed", p.moment(u.GetUpdateTime())},
		{"uid", u.GetUid()},
		{"etag", u.GetEtag()},
	}}
}

func listUsers(ctx context.Context, m *management, req *identityv1.ListUsersRequest, limit int) ([]*identityv1.User, error) {
	return pages(limit, func(size uint32, token string) ([]*identityv1.User, string, error) {
		req.PageSize, req.PageToken = size, token
		r, err := m.identity.ListUsers(ctx, req)
		return r.GetUsers(), r.GetNextPageToken(), err
	})
}

// userNames are what a user can be completed to.
func userNames(ctx context.Context, m *management) ([]string, error) {
	users, err := listUsers(ctx, m, &identityv1.ListUsersRequest{}, pageSize)
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = cobra.CompletionWithDesc(u.GetName(), printable(oneLine(u.GetDisplayName())))
	}
	return names, err
}
