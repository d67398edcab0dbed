package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
)

// answerError is the answer "no" of a command that was understood and done. It has an
// exit code of its own.
type answerError struct{}

// Error returns the answer.
func (*answerError) Error() string { return "deny" }

// principalFlag makes the name that policies have of what the user wrote: "key:TEAM/KEY"
// and "user:okta~ada" stand for their full names.
func principalFlag(text string) string {
	switch kind, name, _ := strings.Cut(text, ":"); kind {
	case "key":
		if full, err := keyName(name, ""); err == nil {
			return "key:" + full
		}
	case "user":
		return "user:" + full("users", name)
	case "agent":
		return "agent:" + strings.TrimPrefix(name, "agents/")
	}
	return text
}

// draftFlags are a policy that is tried.
type draftFlags struct{ file, id, without string }

func (f *draftFlags) add(p *program, cmd *cobra.Command, withFile bool) {
	if withFile {
		cmd.Flags().StringVar(&f.file, "draft", "", "also take this file of Cedar text for a policy that is in force")
		must(cmd.MarkFlagFilename("draft", "cedar"))
	}
	cmd.Flags().StringVar(&f.id, "id", "", "the policy in whose place the draft is; by default the one that has the name of the file")
	must(cmd.RegisterFlagCompletionFunc("id", p.completing(policyNames)))
	cmd.Flags().StringVar(&f.without, "without", "", "try what would be without this policy")
	must(cmd.RegisterFlagCompletionFunc("without", p.completing(policyNames)))
}

// draft reads what is tried; nil for nothing.
func (f *draftFlags) draft(p *program) (*policyv1.DraftPolicy, error) {
	switch {
	case f.file != "" && f.without != "":
		return nil, usagef("a draft and --without exclude each other")
	case f.without != "" && f.id != "":
		return nil, usagef("--id is for a draft; --without names the policy itself")
	case f.without != "":
		return &policyv1.DraftPolicy{PolicyId: short(full(policiesCollection, f.without)), Mode: policyv1.Mode_MODE_DISABLED}, nil
	case f.file == "" && f.id != "":
		return nil, usagef("--id needs a draft")
	case f.file == "":
		return nil, nil
	}
	text, err := p.readPolicy(f.file)
	if err != nil {
		return nil, doingf(err, "read %s", f.file)
	}
	d := &policyv1.DraftPolicy{Text: string(text), Mode: policyv1.Mode_MODE_ENFORCE}
	if f.file != "-" || f.id != "" {
		if d.PolicyId, err = policyID(f.id, f.file); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (p *program) policyCheck() *cobra.Command {
	var as, action, agent, resource, method, dialect, source, at string
	var teams, roles []string
	var draft draftFlags
	cmd := &cobra.Command{
		Use: "check --as PRINCIPAL --action ACTION (--agent AGENT | --resource RESOURCE)", Short: "Ask whether somebody may do something, and why",
		Args: cobra.NoArgs,
		Long: `Ask whether somebody may do something, and why. The exit code is 0 when it is permitted and 3
when it is denied. Principals are key:TEAM/KEY, key:admin, user:ISSUER~SUBJECT, agent:AGENT or
anonymous; actions are invoke, discover, single operations such as SendMessage, and the
methods of management such as UpdateAgent.`,
		Example: `  signalbox policy check --as key:research/ci --action invoke --agent planner
  signalbox policy check --as user:okta~ada --role research/publisher --action UpdateAgent --agent planner
  signalbox policy check --as key:research/ci --action invoke --agent planner --draft office.cedar`,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			req := &policyv1.CheckPolicyRequest{
				Principal: principalFlag(as), Action: action, Resource: resource,
				Context: &policyv1.CheckContext{Method: method, Dialect: strings.ToUpper(dialect), SourceAddress: source},
			}
			switch {
			case agent != "" && resource != "":
				return usagef("--agent and --resource exclude each other")
			case agent != "":
				req.Resource = "agent:" + strings.TrimPrefix(agent, "agents/")
			case resource == "":
				req.Resource = "installation"
			}
			if len(teams)+len(roles) > 0 {
				req.Claims = &policyv1.CheckClaims{Teams: teams, Roles: roles}
			}
			if at != "" {
				t, err := p.parseExpiry(at)
				if err != nil {
					return usagef("--at: %s", err)
				}
				req.Context.Time = timestamppb.New(t)
			}
			var err error
			if req.Draft, err = draft.draft(p); err != nil {
				return err
			}
			x, err := m.policy.CheckPolicy(cmd.Context(), req)
			if err != nil {
				p.showMistakes(draft.file, err)
				return doingf(err, "check")
			}
			if err := p.print(x, func() table { return p.explanationTable(x, false) }); err != nil {
				return err
			}
			if !x.GetPermit() {
				return &answerError{}
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&as, "as", "", "who asks")
	must(cmd.MarkFlagRequired("as"))
	flags.StringVar(&action, "action", "invoke", "what is asked for")
	flags.StringVar(&agent, "agent", "", "the agent that it is asked for")
	must(cmd.RegisterFlagCompletionFunc("agent", p.completing(agentNames)))
	flags.StringVar(&resource, "resource", "", "what else it is asked for: team:research, policy:office, grant:g-1, installation")
	flags.StringVar(&method, "method", "", "the method as it would be called, for example message/send")
	flags.StringVar(&dialect, "dialect", "", "the dialect, for example JSONRPC/1.0")
	must(cmd.RegisterFlagCompletionFunc("dialect", fixed(dialectNames()...)))
	flags.StringVar(&source, "source-address", "", "the address of the caller")
	flags.StringVar(&at, "at", "", "when it would be asked: a time, or a duration from now; now unless given")
	flags.StringSliceVar(&teams, "team", nil, "a team that the token of the user gives it")
	flags.StringSliceVar(&roles, "role", nil, "a role that the token of the user gives it: auditor, or research/publisher in a team")
	draft.add(p, cmd, true)
	return cmd
}

// explanationTable says an answer in a line and, in detail or where it is no simple one,
// how it came about.
func (p *program) explanationTable(x *policyv1.Explanation, detail bool) table {
	t := table{rows: [][]string{{x.GetSummary()}}}
	add := func(format string, args ...any) {
		t.rows = append(t.rows, []string{"  " + fmt.Sprintf(format, args...)})
	}
	if until := x.GetUntilTime(); until != nil {
		add("until %s", p.moment(until))
	}
	if s := x.GetShadow(); s != nil {
		word := "deny"
		if s.GetPermit() {
			word = "permit"
		}
		add("with the policies in shadow: %s %s", word, strings.Join(s.GetDeciding(), ", "))
	}
	for _, f := range x.GetFailing() {
		add("%s %s could not be evaluated: %s", f.GetEffect(), f.GetStatement(), f.GetText())
	}
	for _, s := range x.GetStatements() {
		applies := s.GetResult() == policyv1.StatementResult_STATEMENT_RESULT_APPLIES
		if !detail && !applies {
			continue
		}
		mode := ""
		if s.GetMode() != "ENFORCE" {
			mode = ", in " + strings.ToLower(s.GetMode())
		}
		add("%s %s: %s%s", s.GetEffect(), s.GetStatement(), enumText(s.GetResult().String(), "STATEMENT_RESULT_"), mode)
		if s.GetSentence() != "" {
			add("  %s", s.GetSentence())
		}
		if !detail {
			continue
		}
		if s.GetFailure() != "" {
			add("  %s", s.GetFailure())
		}
		for _, v := range s.GetValues() {
			add("  %s = %s", v.GetPath(), v.GetValue())
		}
	}
	if detail {
		add("the caller is in %s", strings.Join(x.GetPrincipalGroups(), ", "))
		add("the resource is in %s", strings.Join(x.GetResourceGroups(), ", "))
	}
	return t
}

func (p *program) policyExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain DECISION", Short: "Show how the decision about a call came about", Args: cobra.ExactArgs(1),
		Long: `Show how the decision about a call came about: which statements decided, and the values that
they saw at the time. DECISION is decisions/ID as a refusal names it, or an event.`,
		Example: `  signalbox policy explain 0193f6a2-51c4-7bd0-9f25-d2a6a4b1c0de`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			name := args[0]
			if id, ok := strings.CutPrefix(name, "events/"); ok {
				name = id
			}
			d, err := m.policy.GetDecision(cmd.Context(), &policyv1.GetDecisionRequest{Name: full("decisions", name)})
			if err != nil {
				return doingf(err, "explain %s", args[0])
			}
			return p.print(d, func() table { return p.decisionTable(d) })
		}),
	}
}

func (p *program) decisionTable(d *policyv1.Decision) table {
	verdict := "denied"
	if d.GetPermitted() {
		verdict = "permitted"
	}
	t := table{rows: [][]string{
		{"decision", fmt.Sprintf("%s by %s at revision %d", verdict, orNothing(strings.Join(d.GetDeciding(), ", ")), d.GetRevision())},
		{"question", fmt.Sprintf("may %s %s %s?", d.GetPrincipal(), d.GetAction(), d.GetResource())},
		{"time", p.moment(d.GetTime())},
		{"event", d.GetEvent()},
	}}
	for _, f := range d.GetFailing() {
		t.rows = append(t.rows, []string{"failing", f.GetEffect() + " " + f.GetStatement() + ": " + f.GetText()})
	}
	if why := d.GetNotReplayable(); why != "" {
		t.rows = append(t.rows, []string{"explanation", "none: " + why})
	}
	if x := d.GetExplanation(); x != nil {
		below := p.explanationTable(x, true)
		t.below = &below
	}
	return t
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// roundSeconds is a duration as people say it.
func roundSeconds(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
