package cli

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
)

const issuersCollection = "issuers"

func (p *program) issuersCommand() *cobra.Command {
	cmd := parent("issuers", "Manage issuers, whose tokens are believed",
		p.issuersCreate(), p.issuersGet(), p.issuersList(), p.issuersUpdate(), p.issuersDelete())
	cmd.Aliases = []string{"issuer"}
	cmd.Long = `Manage issuers: OpenID providers, or whoever else signs JSON Web Tokens. The keys of an issuer
are found by OpenID discovery at its URL, unless --jwks-url says where they are or
--jwks-file has them.

--map gives teams and roles to users whose tokens have a value in a claim:
CLAIM=VALUE:team=TEAM[,role=ROLE], or CLAIM=VALUE:role=ROLE for a role everywhere.`
	return cmd
}

// issuerFlags are what can be said of an issuer.
type issuerFlags struct {
	displayName, url, jwksFile, jwksURL string
	audiences, algorithms, mappings     []string
	skew, nameClaim, emailClaim         string
}

// issuerFlagNames are the flags of which each is a change.
func issuerFlagNames() []string {
	return []string{
		"display-name", "url", "jwks-file", "jwks-url", "audience", "algorithm", "map", "skew", "name-claim", "email-claim",
	}
}

func (f *issuerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.displayName, "display-name", "", "name for people")
	flags.StringVar(&f.url, "url", "", `what its tokens have as "iss", to the letter`)
	flags.StringVar(&f.jwksFile, "jwks-file", "", `its public keys, a JSON Web Key Set; "-" is standard input`)
	must(cmd.MarkFlagFilename("jwks-file", "json", "jwks"))
	flags.StringVar(&f.jwksURL, "jwks-url", "", "where its public keys are; neither this nor --jwks-file means discovery")
	flags.StringArrayVar(&f.audiences, "audience", nil, `what a token must have as "aud"; repeat it for more, of which one is enough`)
	flags.StringArrayVar(&f.algorithms, "algorithm", nil, "algorithm that tokens may be signed with; repeat it for more; none means RS256, ES256 and EdDSA")
	must(cmd.RegisterFlagCompletionFunc("algorithm", fixed("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA")))
	flags.StringArrayVar(&f.mappings, "map", nil, "teams and roles for users whose tokens have a claim, as CLAIM=VALUE:team=TEAM,role=ROLE; repeat it for more")
	flags.StringVar(&f.skew, "skew", "1m", "how far the clocks of issuer and gateway may be apart")
	flags.StringVar(&f.nameClaim, "name-claim", "name", "claim that names a user for people")
	flags.StringVar(&f.emailClaim, "email-claim", "email", "claim with a user's e-mail address")
	cmd.MarkFlagsMutuallyExclusive("jwks-file", "jwks-url")
}

// issuer reads the flags, and which fields they are.
func (f *issuerFlags) issuer(p *program, flags *pflag.FlagSet) (*identityv1.Issuer, *fieldmaskpb.FieldMask, error) {
	i := &identityv1.Issuer{
		DisplayName: f.displayName, Url: f.url, JwksUrl: f.jwksURL, Audiences: notEmpty(f.audiences), Algorithms: notEmpty(f.algorithms),
		NameClaim: f.nameClaim, EmailClaim: f.emailClaim,
	}
	if f.jwksFile != "" {
		keys, err := p.readSource(f.jwksFile)
		if err != nil {
			return nil, nil, doingf(err, "read keys")
		}
		i.Jwks = string(keys)
	}
	skew, err := parseDuration(f.skew)
	if err != nil {
		return nil, nil, usagef("--skew: %s", err)
	}
	i.Skew = durationpb.New(skew)
	for _, text := range notEmpty(f.mappings) {
		m, err := parseMapping(text)
		if err != nil {
			return nil, nil, err
		}
		i.ClaimMappings = append(i.ClaimMappings, m)
	}
	mask := &fieldmaskpb.FieldMask{}
	for _, name := range issuerFlagNames() {
		if !flags.Changed(name) {
			continue
		}
		switch name {
		case "jwks-file", "jwks-url": // the keys come from one place
			mask.Paths = append(mask.Paths, "jwks", "jwks_url")
		case "audience", "algorithm":
			mask.Paths = append(mask.Paths, name+"s")
		case "map":
			mask.Paths = append(mask.Paths, "claim_mappings")
		default:
			mask.Paths = append(mask.Paths, strings.ReplaceAll(name, "-", "_"))
		}
	}
	return i, mask, nil
}

// parseMapping reads "CLAIM=VALUE:team=TEAM,role=ROLE". Values may have any of these
// characters: what is given begins at the last colon behind which it can be read.
func parseMapping(text string) (*identityv1.ClaimMapping, error) {
	bad := func() error {
		return usagef("--map: %q is not CLAIM=VALUE:team=TEAM, CLAIM=VALUE:role=ROLE or CLAIM=VALUE:team=TEAM,role=ROLE", text)
	}
	claim, rest, ok := strings.Cut(text, "=")
	colon := strings.LastIndexByte(rest, ':')
	if !ok || claim == "" || colon <= 0 {
		return nil, bad()
	}
	m := &identityv1.ClaimMapping{Claim: claim, Value: rest[:colon]}
	for given := range strings.SplitSeq(rest[colon+1:], ",") {
		switch name, value, _ := strings.Cut(given, "="); {
		case name == "team" && value != "" && m.GetTeam() == "":
			m.Team = full(teamsCollection, value)
		case name == "role" && value != "" && m.GetRole() == "":
			m.Role = strings.TrimPrefix(value, "roles/")
		default:
			return nil, bad()
		}
	}
	return m, nil
}

// mappingText writes what parseMapping reads.
func mappingText(m *identityv1.ClaimMapping) string {
	var given []string
	if m.GetTeam() != "" {
		given = append(given, "team="+short(m.GetTeam()))
	}
	if m.GetRole() != "" {
		given = append(given, "role="+m.GetRole())
	}
	return m.GetClaim() + "=" + m.GetValue() + ":" + strings.Join(given, ",")
}

func (p *program) issuersCreate() *cobra.Command {
	var f issuerFlags
	cmd := &cobra.Command{
		Use: "create NAME --url URL --audience AUDIENCE", Short: "Believe the tokens of an issuer", Args: cobra.ExactArgs(1),
		Example: `  signalbox issuers create okta --url https://example.okta.com --audience api://signalbox \
    --map groups=eng-research:team=research,role=publisher --map groups=security:role=auditor
  signalbox issuers create ci --url https://ci.example.com --audience signalbox --jwks-file ci.jwks`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			issuer, _, err := f.issuer(p, cmd.Flags())
			if err != nil {
				return err
			}
			made, err := m.identity.CreateIssuer(cmd.Context(), &identityv1.CreateIssuerRequest{IssuerId: short(args[0]), Issuer: issuer})
			if err != nil {
				return doingf(err, "create issuer %s", args[0])
			}
			return p.print(made, func() table { return p.issuerDetail(made) })
		}),
	}
	f.add(cmd)
	must(cmd.MarkFlagRequired("url"))
	must(cmd.MarkFlagRequired("audience"))
	return cmd
}

func (p *program) issuersGet() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Aliases: []string{"show"}, Short: "Show an issuer", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(issuerNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			issuer, err := m.identity.GetIssuer(cmd.Context(), &identityv1.GetIssuerRequest{Name: full(issuersCollection, args[0])})
			if err != nil {
				return doingf(err, "get issuer %s", args[0])
			}
			return p.print(issuer, func() table { return p.issuerDetail(issuer) })
		}),
	}
}

func (p *program) issuersList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List issuers", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			issuers, err := listIssuers(cmd.Context(), m, limit)
			if err != nil {
				return doingf(err, "list issuers")
			}
			return p.print(&identityv1.ListIssuersResponse{Issuers: issuers}, func() table {
				t := table{header: []string{"NAME", "URL", "KEYS", "STATE", "CREATED"}, empty: "there is no issuer that this key may see"}
				for _, i := range issuers {
					t.rows = append(t.rows, []string{
						short(i.GetName()), i.GetUrl(), keysText(i), enabledText(i.GetDisabled()), p.ago(i.GetCreateTime()),
					})
				}
				return t
			})
		}),
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func (p *program) issuersUpdate() *cobra.Command {
	var f issuerFlags
	var etag string
	var disable, enable bool
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change an issuer, or refuse its tokens for a while", Args: cobra.ExactArgs(1),
		Long: `Change an issuer, or refuse its tokens for a while. Flags that can be repeated replace all
that was before, and take "" for none. --jwks-url "" goes back to discovery. Users of the
issuer stay who they are when its URL changes.`,
		ValidArgsFunction: p.completing(issuerNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			issuer, mask, err := f.issuer(p, cmd.Flags())
			if err != nil {
				return err
			}
			if disable || enable {
				issuer.Disabled = disable
				mask.Paths = append(mask.Paths, "disabled")
			}
			issuer.Name, issuer.Etag = full(issuersCollection, args[0]), etag
			made, err := m.identity.UpdateIssuer(cmd.Context(), &identityv1.UpdateIssuerRequest{Issuer: issuer, UpdateMask: mask})
			if err != nil {
				return doingf(err, "update issuer %s", args[0])
			}
			if err := p.print(made, func() table { return p.issuerDetail(made) }); err != nil {
				return err
			}
			p.confirmed(made.GetRollout())
			return nil
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&disable, "disable", false, "refuse its tokens")
	cmd.Flags().BoolVar(&enable, "enable", false, "believe its tokens again")
	cmd.MarkFlagsMutuallyExclusive("disable", "enable")
	cmd.MarkFlagsOneRequired(append(issuerFlagNames(), "disable", "enable")...)
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) issuersDelete() *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete an issuer with its users, unless they hold roles", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(issuerNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := full(issuersCollection, args[0])
			ctx, call := connect.NewClientContext(cmd.Context())
			done, err := m.identity.DeleteIssuer(ctx, &identityv1.DeleteIssuerRequest{Name: name, Etag: etag})
			if err != nil {
				return doingf(err, "delete issuer %s", args[0])
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

func (p *program) issuerDetail(i *identityv1.Issuer) table {
	t := table{rows: [][]string{
		{"name", i.GetName()},
		{"display name", i.GetDisplayName()},
		{"state", enabledText(i.GetDisabled())},
		{"url", i.GetUrl()},
		{"keys", keysText(i)},
		{"audiences", strings.Join(i.GetAudiences(), ", ")},
		{"algorithms", strings.Join(i.GetAlgorithms(), ", ")},
		{"skew", took(i.GetSkew())},
		{"name claim", i.GetNameClaim()},
		{"email claim", i.GetEmailClaim()},
	}}
	for _, m := range i.GetClaimMappings() {
		t.rows = append(t.rows, []string{"map", mappingText(m)})
	}
	t.rows = append(t.rows,
		[]string{"created", p.moment(i.GetCreateTime())},
		[]string{"changed", p.moment(i.GetUpdateTime())},
		[]string{"uid", i.GetUid()},
		[]string{"etag", i.GetEtag()})
	return t
}

// keysText says where the keys of an issuer come from.
func keysText(i *identityv1.Issuer) string {
	switch {
	case i.GetJwks() != "":
		return "given: " + keyIDs(i.GetJwks())
	case i.GetJwksUrl() != "":
		return i.GetJwksUrl()
	}
	return "discovery"
}

func listIssuers(ctx context.Context, m *management, limit int) ([]*identityv1.Issuer, error) {
	return pages(limit, func(size uint32, token string) ([]*identityv1.Issuer, string, error) {
		r, err := m.identity.ListIssuers(ctx, &identityv1.ListIssuersRequest{PageSize: size, PageToken: token})
		return r.GetIssuers(), r.GetNextPageToken(), err
	})
}

// issuerNames are what an issuer can be completed to.
func issuerNames(ctx context.Context, m *management) ([]string, error) {
	issuers, err := listIssuers(ctx, m, pageSize)
	names := make([]string, len(issuers))
	for n, i := range issuers {
		names[n] = cobra.CompletionWithDesc(short(i.GetName()), printable(oneLine(i.GetDisplayName())))
	}
	return names, err
}
