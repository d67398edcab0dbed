package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
)

const (
	policiesCollection = "policies"
	modePrefix         = "MODE_"
)

func (p *program) policyCommand() *cobra.Command {
	cmd := parent("policy", "Decide who may do what: write, try, explain and replay policies",
		p.policyApply(), p.policyList(), p.policyGet(), p.policyHistory(), p.policyEnforce(), p.policyDisable(), p.policyRollback(),
		p.policyDelete(), p.policyCheck(), p.policyExplain(), p.policyReplay(), p.policySchema())
	cmd.Aliases = []string{"policies"}
	cmd.Long = `Decide who may do what. Policies are written in Cedar; "signalbox policy schema" shows what
they can name, and "signalbox grants" gives simple rights without one. A new policy is best
tried before: "policy replay" tells what it would have changed, "policy apply --mode shadow"
lets it decide beside what is in force and changes nothing.`
	return cmd
}

// notOfIDs is what ids of policies cannot hold.
var notOfIDs = regexp.MustCompile(`[^a-z0-9-]+`)

// policyID makes the id of a policy from the name of its file, unless it is given.
func policyID(given, path string) (string, error) {
	if given != "" {
		return short(full(policiesCollection, given)), nil
	}
	if path == "-" {
		return "", usagef("which policy is it? Standard input has no name, so give --id")
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	id := strings.Trim(notOfIDs.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if id == "" || id[0] < 'a' {
		return "", usagef("the name of the file, %q, makes no id: give --id", filepath.Base(path))
	}
	return id, nil
}

// maxPolicy is the number of bytes that the text of a policy may have.
const maxPolicy = 64 << 10

// readPolicy reads the text of a policy, and not much more than one may have: what is named
// may be a device, or somebody else's pipe.
func (p *program) readPolicy(path string) ([]byte, error) {
	from := p.in
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it was only read
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxPolicy+1))
	if err == nil && len(text) > maxPolicy {
		err = usagef("a policy has at most %d KiB; write several", maxPolicy>>10)
	}
	return text, err
}

// modeFlag reads a mode as the user writes it.
func modeFlag(text string) (policyv1.Mode, error) {
	mode, ok := policyv1.Mode_value[modePrefix+strings.ToUpper(text)]
	if !ok || mode == 0 {
		return 0, usagef("--mode: %q is not one of enforce, shadow, disabled", text)
	}
	return policyv1.Mode(mode), nil
}

func (p *program) policyApply() *cobra.Command {
	var id, mode, description, comment, replay, etag string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Make a policy, or its next version, of a file", Args: cobra.ExactArgs(1),
		Long: `Make a policy, or its next version, of a file of Cedar text ("-" reads standard input). Its
name is that of the file, without the ending, unless --id gives another. What the policy is
already is not made again.`,
		Example: `  signalbox policy apply office.cedar --mode shadow --comment "no calls at night"
  signalbox policy enforce office`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name, err := policyID(id, args[0])
			if err != nil {
				return err
			}
			text, err := p.readPolicy(args[0])
			if err != nil {
				return doingf(err, "read %s", args[0])
			}
			req := &policyv1.ApplyPolicyRequest{
				PolicyId: name, Text: string(text), Comment: comment, Replay: fullReplay(replay), Etag: etag, ValidateOnly: dryRun,
			}
			if req.Mode, err = modeFlag(mode); err != nil {
				return err
			}
			if cmd.Flags().Changed("description") {
				req.Description = &description
			}
			made, err := m.policy.ApplyPolicy(cmd.Context(), req)
			if err != nil {
				p.showMistakes(args[0], err)
				return doingf(err, "apply policy %s", name)
			}
			if dryRun {
				p.note("nothing was changed; this is what the policy would be")
			}
			return p.printPolicy(made, dryRun)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&id, "id", "", "name of the policy, instead of that of the file")
	addMode(cmd, &mode)
	flags.StringVar(&description, "description", "", "what the policy is for, for people")
	flags.StringVar(&comment, "comment", "", "why, kept with the version")
	addReplay(cmd, &replay)
	flags.BoolVar(&dryRun, "dry-run", false, "change nothing, and show what would be or why it would be refused")
	addEtag(cmd, &etag)
	return cmd
}

func addMode(cmd *cobra.Command, mode *string) {
	cmd.Flags().StringVar(mode, "mode", "enforce", "what it does: enforce, shadow (it is tried, and changes nothing), disabled")
	must(cmd.RegisterFlagCompletionFunc("mode", fixed("enforce", "shadow", "disabled")))
}

func addReplay(cmd *cobra.Command, replay *string) {
	cmd.Flags().StringVar(replay, "replay", "", "the replay of this text that was looked at before; it is kept with the version")
}

// fullReplay makes the name of a replay of what the user wrote.
func fullReplay(name string) string {
	if name == "" {
		return ""
	}
	return full("replays", name)
}

// showMistakes prints the mistakes of a policy as compilers do. What else there is to say
// about the error comes later.
func (p *program) showMistakes(file string, err error) {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return
	}
	for _, d := range e.Details() {
		value, err := d.Value()
		if err != nil {
			continue // of a newer gateway
		}
		found, ok := value.(*policyv1.PolicyMistakes)
		if !ok {
			continue
		}
		for _, m := range found.GetMistakes() {
			p.note("%s:%d:%d: %s", printable(file), m.GetLine(), m.GetColumn(), printable(m.GetText()))
			p.note("  %s", printable(visible(m.GetSourceLine())))
			p.note("  %s^", strings.Repeat(" ", min(max(int(m.GetColumn())-1, 0), len(m.GetSourceLine()))))
		}
	}
}

func (p *program) printPolicy(made *policyv1.Policy, dry bool) error {
	if err := p.print(made, func() table { return p.policyDetail(made) }); err != nil {
		return err
	}
	if !dry {
		p.confirmed(made.GetRollout())
	}
	return nil
}

func (p *program) policyDetail(one *policyv1.Policy) table {
	t := table{rows: [][]string{
		{"name", one.GetName()},
		{"description", oneLine(one.GetDescription())},
		{"mode", modeText(one)},
		{"version", number(one.GetVersion())},
		{"tried", number(one.GetShadowVersion())},
		{"replay", one.GetReplay()},
		{"created", p.moment(one.GetCreateTime())},
		{"changed", p.moment(one.GetUpdateTime())},
		{"uid", one.GetUid()},
		{"etag", one.GetEtag()},
	}}
	if one.GetShipped() {
		t.rows = append(t.rows, []string{"origin", "comes with the gateway"})
	}
	return t
}

// number is a number that is not shown when it is none.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// modeText is what a policy does, in a word or two.
func modeText(one *policyv1.Policy) string {
	text := enumText(one.GetMode().String(), modePrefix)
	if one.GetShadowVersion() != 0 && one.GetMode() != policyv1.Mode_MODE_SHADOW {
		text += ", version " + strconv.FormatInt(one.GetShadowVersion(), 10) + " in shadow"
	}
	return text
}

func (p *program) policyList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List policies, also those that come with the gateway", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			policies, err := listPolicies(cmd.Context(), m, limit)
			if err != nil {
				return doingf(err, "list policies")
			}
			return p.print(&policyv1.ListPoliciesResponse{Policies: policies}, func() table {
				t := table{header: []string{"NAME", "MODE", "VERSION", "DESCRIPTION", "CHANGED"}, empty: "there is no policy that this key may see"}
				for _, one := range policies {
					t.rows = append(t.rows, []string{
						short(one.GetName()), modeText(one), number(one.GetVersion()), oneLine(one.GetDescription()), p.ago(one.GetUpdateTime()),
					})
				}
				return t
			})
		}),
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func listPolicies(ctx context.Context, m *management, limit int) ([]*policyv1.Policy, error) {
	return pages(limit, func(size uint32, token string) ([]*policyv1.Policy, string, error) {
		r, err := m.policy.ListPolicies(ctx, &policyv1.ListPoliciesRequest{PageSize: size, PageToken: token})
		return r.GetPolicies(), r.GetNextPageToken(), err
	})
}

// policyNames are what a policy can be completed to.
func policyNames(ctx context.Context, m *management) ([]string, error) {
	policies, err := listPolicies(ctx, m, pageSize)
	names := make([]string, len(policies))
	for i, one := range policies {
		names[i] = cobra.CompletionWithDesc(short(one.GetName()), printable(oneLine(one.GetDescription())))
	}
	return names, err
}

func (p *program) policyGet() *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Aliases: []string{"show"}, Short: "Show a policy with its text", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(policyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			one, err := m.policy.GetPolicy(cmd.Context(), &policyv1.GetPolicyRequest{Name: full(policiesCollection, args[0])})
			if err != nil {
				return doingf(err, "get policy %s", args[0])
			}
			if err := p.print(one, func() table { return p.policyDetail(one) }); err != nil || p.flags.output != outputTable {
				return err
			}
			if err := p.printText("", one.GetText()); err != nil || one.GetShadowText() == "" || one.GetMode() == policyv1.Mode_MODE_SHADOW {
				return err
			}
			return p.printText("// in shadow:", one.GetShadowText())
		}),
	}
}

// printText prints a text of several lines after an empty one.
func (p *program) printText(head, text string) error {
	var b bytes.Buffer
	b.WriteString("\n")
	if head != "" {
		b.WriteString(head + "\n")
	}
	for line := range strings.Lines(text) {
		b.WriteString(printable(visible(strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    "))) + "\n")
	}
	return p.write(b.Bytes())
}

// visible writes characters that show nothing, or turn the text around them, as Cedar writes
// them: a policy must not read otherwise than it decides.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			fmt.Fprintf(&b, `\u{%x}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (p *program) policyHistory() *cobra.Command {
	var limit int
	var diff bool
	cmd := &cobra.Command{
		Use: "history NAME", Aliases: []string{"versions"}, Short: "List the versions of a policy, the newest first", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(policyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			versions, err := pages(limit, func(size uint32, token string) ([]*policyv1.PolicyVersion, string, error) {
				r, err := m.policy.ListPolicyVersions(cmd.Context(), &policyv1.ListPolicyVersionsRequest{
					Parent: full(policiesCollection, args[0]), PageSize: min(size, 100), PageToken: token,
				})
				return r.GetVersions(), r.GetNextPageToken(), err
			})
			if err != nil {
				return doingf(err, "list versions of policy %s", args[0])
			}
			if diff && p.flags.output == outputTable {
				for _, v := range versions {
					if err := p.printText(fmt.Sprintf("version %d, %s, %s: %s", v.GetVersion(), p.when(v.GetCreateTime()), printable(v.GetAuthor()), printable(oneLine(v.GetComment()))), v.GetDiff()); err != nil {
						return err
					}
				}
				return nil
			}
			return p.print(&policyv1.ListPolicyVersionsResponse{Versions: versions}, func() table {
				t := table{header: []string{"VERSION", "NOW", "WRITTEN", "AUTHOR", "COMMENT", "REPLAY"}}
				for _, v := range versions {
					comment := oneLine(v.GetComment())
					if back := v.GetRollbackOf(); back != 0 {
						comment = strings.TrimSpace(fmt.Sprintf("back to version %d. %s", back, comment))
					}
					t.rows = append(t.rows, []string{
						number(v.GetVersion()), enumText(v.GetMode().String(), modePrefix), p.when(v.GetCreateTime()), shortKey(v.GetAuthor()),
						comment, short(v.GetReplay()),
					})
				}
				return t
			})
		}),
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "show what each version changed")
	addLimit(cmd, &limit, 20)
	return cmd
}

func (p *program) policyEnforce() *cobra.Command {
	var replay, etag string
	cmd := &cobra.Command{
		Use: "enforce NAME", Short: "Bring a policy into force: the version that is tried, or one that was disabled", Args: cobra.ExactArgs(1),
		Example:           `  signalbox policy enforce office --replay replays/0193f6a2-…`,
		ValidArgsFunction: p.completing(policyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			return p.setPolicy(cmd, m, "enforce", args[0], &policyv1.UpdatePolicyRequest{
				Policy: &policyv1.Policy{Mode: policyv1.Mode_MODE_ENFORCE, Etag: etag}, Replay: fullReplay(replay),
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"mode"}},
			})
		}),
	}
	addReplay(cmd, &replay)
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) policyDisable() *cobra.Command {
	var replay, etag string
	var shadow bool
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Take a policy out of force, or end the trial of a version", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(policyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			req := &policyv1.UpdatePolicyRequest{
				Policy: &policyv1.Policy{Mode: policyv1.Mode_MODE_DISABLED, Etag: etag}, Replay: fullReplay(replay),
				UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"mode"}},
			}
			if shadow {
				req.UpdateMask.Paths[0] = "shadow_version"
			}
			return p.setPolicy(cmd, m, "disable", args[0], req)
		}),
	}
	cmd.Flags().BoolVar(&shadow, "shadow", false, "only end the trial of the version in shadow; what is in force stays so")
	addReplay(cmd, &replay)
	addEtag(cmd, &etag)
	return cmd
}

// setPolicy changes a policy of a name.
func (p *program) setPolicy(cmd *cobra.Command, m *management, verb, name string, req *policyv1.UpdatePolicyRequest) error {
	req.Policy.Name = full(policiesCollection, name)
	made, err := m.policy.UpdatePolicy(cmd.Context(), req)
	if err != nil {
		return doingf(err, "%s policy %s", verb, name)
	}
	return p.printPolicy(made, false)
}

func (p *program) policyRollback() *cobra.Command {
	var comment, etag string
	cmd := &cobra.Command{
		Use: "rollback NAME VERSION", Short: "Bring an old text of a policy into force, as a new version", Args: cobra.ExactArgs(2),
		ValidArgsFunction: p.completing(policyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			version, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || version < 1 {
				return usagef("%q is no version: see them with: signalbox policy history %s", args[1], args[0])
			}
			made, err := m.policy.RollbackPolicy(cmd.Context(), &policyv1.RollbackPolicyRequest{
				Name: full(policiesCollection, args[0]), Version: version, Comment: comment, Etag: etag,
			})
			if err != nil {
				p.showMistakes(args[0], err)
				return doingf(err, "roll policy %s back", args[0])
			}
			return p.printPolicy(made, false)
		}),
	}
	cmd.Flags().StringVar(&comment, "comment", "", "why, kept with the version")
	addEtag(cmd, &etag)
	return cmd
}

func (p *program) policyDelete() *cobra.Command {
	var etag string
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete a policy with its versions", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completing(policyNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := full(policiesCollection, args[0])
			ctx, call := connect.NewClientContext(cmd.Context())
			done, err := m.policy.DeletePolicy(ctx, &policyv1.DeletePolicyRequest{Name: name, Etag: etag})
			if err != nil {
				return doingf(err, "delete policy %s", args[0])
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

func (p *program) policySchema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the Cedar schema: what policies can name", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			res, err := m.policy.GetSchema(cmd.Context(), &policyv1.GetSchemaRequest{})
			if err != nil {
				return doingf(err, "get schema")
			}
			if p.flags.output != outputTable {
				return p.print(res, func() table { return table{} })
			}
			return p.write(p.forTerminal([]byte(res.GetSchema())))
		}),
	}
}
