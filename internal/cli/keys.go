package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
)

// never is an expiry that is none.
const never = "never"

func (p *program) keysCommand() *cobra.Command {
	cmd := parent("keys", "Manage API keys",
		p.keysCreate(), p.keysGet(), p.keysList(), p.keysUpdate(), p.keysDisable(), p.keysRotate())
	cmd.Aliases = []string{"key"}
	cmd.Long = `Manage API keys. A key is written TEAM/KEY, or teams/TEAM/keys/KEY in full. Its secret is
shown when the key is made or rotated, and never again; --out writes it to a file that only
you can read instead. Client certificates can stand for a key as well, or alone.

A key does what its roles permit; one without roles does what keys of its team may do. A key
of an agent (--agent) calls as that agent, and holds no roles of its own.`
	return cmd
}

func (p *program) keysCreate() *cobra.Command {
	var team, displayName, expires, agent string
	var roles, certificates []string
	var withoutSecret bool
	var out secretFile
	cmd := &cobra.Command{
		Use: "create [KEY] --team TEAM", Short: "Make a key and print its secret, this once", Args: cobra.MaximumNArgs(1),
		Example: `  signalbox keys create ci --team research --expires 90d --out ci.key
  signalbox keys create auditor --team research --role auditor
  signalbox keys create planner --team research --agent planner --certificate-name URI:spiffe://example.org/planner --without-secret`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			req := &identityv1.CreateKeyRequest{
				Parent:        full(teamsCollection, team),
				Key:           &identityv1.Key{DisplayName: displayName, Agent: full(agentsCollection, agent), CertificateNames: certificates},
				WithoutSecret: withoutSecret,
			}
			for _, role := range roles {
				req.Roles = append(req.Roles, roleName(role, team))
			}
			if withoutSecret && (out.path != "" || out.force) {
				return usagef("there is no secret for --out with --without-secret")
			}
			if len(args) == 1 {
				name, err := keyName(args[0], team)
				if err != nil {
					return err
				}
				req.KeyId = name[len(req.GetParent())+len("/keys/"):]
			}
			var err error
			if req.Key.ExpireTime, err = p.expiry(expires); err != nil {
				return err
			}
			if err := out.open(); err != nil {
				return doingf(err, "create key of team %s", team)
			}
			defer out.discard()
			made, err := m.identity.CreateKey(cmd.Context(), req)
			if err != nil {
				return doingf(err, "create key of team %s", team)
			}
			if withoutSecret {
				return p.print(made, func() table { return p.keyDetail(made.GetKey()) })
			}
			return p.handOver(made, &made.Secret, made.GetKey(), &out)
		}),
	}
	cmd.Flags().StringVar(&team, "team", "", "team that the key belongs to")
	must(cmd.MarkFlagRequired("team"))
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	cmd.Flags().StringVar(&displayName, "display-name", "", "name for people")
	cmd.Flags().StringVar(&agent, "agent", "", "agent of the team as which the key calls")
	must(cmd.RegisterFlagCompletionFunc("agent", p.completing(agentNames)))
	cmd.Flags().StringArrayVar(&roles, "role", nil, "role that the key holds in its team, or roles/ROLE for one everywhere; repeat it for more")
	must(cmd.RegisterFlagCompletionFunc("role", fixed(roleIDs()...)))
	addCertificateNames(cmd, &certificates)
	cmd.Flags().BoolVar(&withoutSecret, "without-secret", false, "make no secret: only client certificates stand for the key")
	addExpires(cmd, &expires)
	out.add(cmd)
	return cmd
}

func addCertificateNames(cmd *cobra.Command, names *[]string) {
	cmd.Flags().StringArrayVar(names, "certificate-name", nil,
		"name in client certificates that stands for the key: URI:…, DNS:… or EMAIL:…; repeat it for more")
}

func (p *program) keysGet() *cobra.Command {
	var team string
	cmd := &cobra.Command{
		Use: "get KEY", Aliases: []string{"show"}, Short: "Show a key, without its secret", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(keyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name, err := keyName(args[0], team)
			if err != nil {
				return err
			}
			key, err := m.identity.GetKey(cmd.Context(), &identityv1.GetKeyRequest{Name: name})
			if err != nil {
				return doingf(err, "get key %s", shortKey(name))
			}
			return p.print(key, func() table { return p.keyDetail(key) })
		}),
	}
	p.addTeamOfKey(cmd, &team)
	return cmd
}

func (p *program) keysList() *cobra.Command {
	var team string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List keys, of all teams or of one", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			keys, err := listKeys(cmd.Context(), m, full(teamsCollection, team), limit)
			if err != nil {
				return doingf(err, "list keys")
			}
			return p.print(&identityv1.ListKeysResponse{Keys: keys}, func() table {
				t := table{
					header: []string{"KEY", "CALLS AS", "DISPLAY NAME", "SECRET", "STATE", "EXPIRES", "LAST USED", "CREATED"},
					empty:  "there is no key that this key may see",
				}
				for _, k := range keys {
					t.rows = append(t.rows, []string{
						shortKey(k.GetName()), k.GetAgent(), oneLine(k.GetDisplayName()), secretText(k), p.keyState(k),
						p.expiryText(k), p.ago(k.GetLastUsedTime()), p.ago(k.GetCreateTime()),
					})
				}
				return t
			})
		}),
	}
	cmd.Flags().StringVar(&team, "team", "-", `team whose keys are listed; "-" means all`)
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	addLimit(cmd, &limit, 0)
	return cmd
}

func (p *program) keysUpdate() *cobra.Command {
	var team, displayName, expires, etag string
	var certificates []string
	var enable bool
	cmd := &cobra.Command{
		Use: "update KEY", Short: "Change a key's name or expiry, or enable it again", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(keyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name, err := keyName(args[0], team)
			if err != nil {
				return err
			}
			req := &identityv1.UpdateKeyRequest{
				Key:        &identityv1.Key{Name: name, DisplayName: displayName, Disabled: false, Etag: etag},
				UpdateMask: &fieldmaskpb.FieldMask{},
			}
			if cmd.Flags().Changed("display-name") {
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "display_name")
			}
			if enable {
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "disabled")
			}
			if cmd.Flags().Changed("certificate-name") {
				req.Key.CertificateNames = notEmpty(certificates)
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "certificate_names")
			}
			if expires != "" {
				if req.Key.ExpireTime, err = p.expiry(expires); err != nil {
					return err
				}
				req.UpdateMask.Paths = append(req.UpdateMask.Paths, "expire_time")
			}
			key, err := m.identity.UpdateKey(cmd.Context(), req)
			if err != nil {
				return doingf(err, "update key %s", shortKey(name))
			}
			return p.printConfirmedKey(key)
		}),
	}
	cmd.Flags().StringVar(&displayName, "display-name", "", "name for people")
	cmd.Flags().BoolVar(&enable, "enable", false, "accept the key again after it was disabled")
	addExpires(cmd, &expires)
	addCertificateNames(cmd, &certificates)
	cmd.Flags().Lookup("certificate-name").Usage += `; they replace those before, and "" means none`
	cmd.MarkFlagsOneRequired("display-name", "enable", "expires", "certificate-name")
	p.addTeamOfKey(cmd, &team)
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) keysDisable() *cobra.Command {
	var team string
	cmd := &cobra.Command{
		Use: "disable KEY", Short: "Refuse a key from now on", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(keyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name, err := keyName(args[0], team)
			if err != nil {
				return err
			}
			key, err := m.identity.DisableKey(cmd.Context(), &identityv1.DisableKeyRequest{Name: name})
			if err != nil {
				return doingf(err, "disable key %s", shortKey(name))
			}
			return p.printConfirmedKey(key)
		}),
	}
	p.addTeamOfKey(cmd, &team)
	return cmd
}

func (p *program) keysRotate() *cobra.Command {
	var team, overlap string
	var out secretFile
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "Give a key a new secret and print it, this once", Args: cobra.ExactArgs(1),
		Example:           `  signalbox keys rotate research/ci --overlap 24h --out ci.key --force`,
		ValidArgsFunction: p.completing(keyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name, err := keyName(args[0], team)
			if err != nil {
				return err
			}
			d, err := parseDuration(overlap)
			if err != nil {
				return usagef("--overlap: %s", err)
			}
			if err := out.open(); err != nil {
				return doingf(err, "rotate key %s", shortKey(name))
			}
			defer out.discard()
			made, err := m.identity.RotateKey(cmd.Context(), &identityv1.RotateKeyRequest{Name: name, Overlap: durationpb.New(d)})
			if err != nil {
				return doingf(err, "rotate key %s", shortKey(name))
			}
			rollout := made.GetKey().GetRollout()
			if err := p.handOver(made, &made.Secret, made.GetKey(), &out); err != nil {
				return err
			}
			p.confirmed(rollout)
			return nil
		}),
	}
	cmd.Flags().StringVar(&overlap, "overlap", "0s", "how long the present secret goes on working, for example 24h or 7d")
	p.addTeamOfKey(cmd, &team)
	out.add(cmd)
	return cmd
}

// handOver puts a new secret, which is one of made, into its file, or prints it alone on
// standard output so that it can be piped, and the rest beside it.
func (p *program) handOver(made proto.Message, secret *string, key *identityv1.Key, out *secretFile) error {
	name := shortKey(key.GetName())
	if out.path != "" {
		if err := out.keep(*secret); err != nil {
			return fmt.Errorf("key %s has a new secret, which is lost: %w; give it another with: signalbox keys rotate %s", name, err, name)
		}
		*secret = ""
	}
	switch {
	case p.flags.output != outputTable:
		return p.print(made, nil)
	case out.path != "":
		p.note("the secret of key %s is in %s; it cannot be shown again", name, out.path)
	default:
		if err := p.line(*secret); err != nil {
			return err
		}
		p.note("this is the secret of key %s; it cannot be shown again", name)
	}
	if t := key.GetPreviousSecretExpireTime(); t != nil && t.AsTime().After(p.clock.Now()) {
		p.note("the secret before works until %s", p.moment(t))
	}
	if t := key.GetExpireTime(); t != nil {
		p.note("it works until %s", p.moment(t))
	}
	return nil
}

// printConfirmedKey prints a key and which replicas take it for that.
func (p *program) printConfirmedKey(k *identityv1.Key) error {
	if err := p.print(k, func() table { return p.keyDetail(k) }); err != nil {
		return err
	}
	p.confirmed(k.GetRollout())
	return nil
}

func (p *program) keyDetail(k *identityv1.Key) table {
	t := table{rows: [][]string{
		{"name", k.GetName()},
		{"calls as", k.GetAgent()},
		{"display name", k.GetDisplayName()},
		{"roles", strings.Join(k.GetRoles(), ", ")},
		{"certificates", strings.Join(k.GetCertificateNames(), ", ")},
		{"secret", secretText(k)},
		{"state", p.keyState(k)},
		{"expires", p.expiryText(k)},
		{"last used", p.moment(k.GetLastUsedTime())},
	}}
	if before := k.GetPreviousSecretExpireTime(); before != nil {
		t.rows = append(t.rows, []string{"secret before", "works until " + p.moment(before)})
	}
	t.rows = append(t.rows,
		[]string{"created", p.moment(k.GetCreateTime())},
		[]string{"changed", p.moment(k.GetUpdateTime())},
		[]string{"uid", k.GetUid()},
		[]string{"etag", k.GetEtag()})
	return t
}

func secretText(k *identityv1.Key) string {
	if k.GetSecretHint() == "" {
		return "none"
	}
	return k.GetSecretHint() + "…"
}

func (p *program) keyState(k *identityv1.Key) string {
	switch {
	case k.GetDisabled():
		return "disabled"
	case k.GetExpireTime() != nil && !k.GetExpireTime().AsTime().After(p.clock.Now()):
		return "expired"
	}
	return "active"
}

func (p *program) expiryText(k *identityv1.Key) string {
	if k.GetExpireTime() == nil {
		return never
	}
	return p.ago(k.GetExpireTime())
}

func (p *program) expiry(text string) (*timestamppb.Timestamp, error) {
	if text == "" || text == never {
		return nil, nil
	}
	t, err := p.parseExpiry(text)
	if err != nil {
		return nil, usagef("--expires: %s", err)
	}
	if !t.After(p.clock.Now()) {
		return nil, usagef("--expires: %s has passed", t.Format(time.RFC3339))
	}
	return timestamppb.New(t), nil
}

func listKeys(ctx context.Context, m *management, parent string, limit int) ([]*identityv1.Key, error) {
	return pages(limit, func(size uint32, token string) ([]*identityv1.Key, string, error) {
		r, err := m.identity.ListKeys(ctx, &identityv1.ListKeysRequest{Parent: parent, PageSize: size, PageToken: token})
		return r.GetKeys(), r.GetNextPageToken(), err
	})
}

func keyNames(ctx context.Context, m *management) ([]string, error) {
	keys, err := listKeys(ctx, m, "teams/-", pageSize)
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = cobra.CompletionWithDesc(shortKey(k.GetName()), printable(oneLine(k.GetDisplayName())))
	}
	return names, err
}

func (p *program) addTeamOfKey(cmd *cobra.Command, team *string) {
	cmd.Flags().StringVar(team, "team", "", "team of the key, when KEY does not say it")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
}

func addExpires(cmd *cobra.Command, expires *string) {
	cmd.Flags().StringVar(expires, "expires", "", `when the key stops working: a duration such as 90d, a time, or "never"`)
}
