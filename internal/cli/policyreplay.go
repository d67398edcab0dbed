package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/signalbox-dev/signalbox/gen/signalbox/policy/v1"
)

func (p *program) policyReplay() *cobra.Command {
	var draft draftFlags
	var since, until, filter, entities, show string
	cmd := &cobra.Command{
		Use: "replay [FILE]", Short: "See what a policy would have changed, had it been in force", Args: cobra.MaximumNArgs(1),
		Long: `See what a policy would have changed: recorded decisions are made again with the file (or
without the policy of --without) and the other policies as they are now. Teams, keys, users
and agents are those of the time, unless --entities is now. Nothing is changed. The report is
kept; "policy apply" and "policy enforce" can name it with --replay.

Without a file and --without the policies are tried as they are.`,
		Example: `  signalbox policy replay draft.cedar --since 7d
  signalbox policy replay --without visible-agent --since 24h
  signalbox policy replay --show replays/0193f6a2-51c4-7bd0-9f25-d2a6a4b1c0de`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			if show != "" {
				if len(args) > 0 {
					return usagef("--show is of a replay that was made before, and takes no file")
				}
				r, err := m.policy.GetReplay(cmd.Context(), &policyv1.GetReplayRequest{Name: fullReplay(show)})
				if err != nil {
					return doingf(err, "get replay %s", show)
				}
				return p.printReplay(r)
			}
			if len(args) == 1 {
				draft.file = args[0]
			}
			req := &policyv1.ReplayPolicyRequest{Filter: filter}
			switch entities {
			case "recorded":
				req.Entities = policyv1.ReplayEntities_REPLAY_ENTITIES_RECORDED
			case "now":
				req.Entities = policyv1.ReplayEntities_REPLAY_ENTITIES_NOW
			default:
				return usagef("--entities: %q is not one of recorded, now", entities)
			}
			var err error
			if req.Draft, err = draft.draft(p); err != nil {
				return err
			}
			for _, bound := range []struct {
				flag, text string
				to         **timestamppb.Timestamp
			}{{"since", since, &req.SinceTime}, {"until", until, &req.UntilTime}} {
				if bound.text == "" {
					continue
				}
				t, err := p.parseAge(bound.text)
				if err != nil {
					return usagef("--%s: %s", bound.flag, err)
				}
				*bound.to = timestamppb.New(t)
			}
			r, err := p.replay(cmd.Context(), m, req)
			if err != nil {
				p.showMistakes(draft.file, err)
				return doingf(err, "replay")
			}
			return p.printReplay(r)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "only decisions after this: a duration before now such as 7d, or a time; all unless given")
	flags.StringVar(&until, "until", "", "only decisions before this, in the same forms")
	flags.StringVar(&filter, "filter", "", "only decisions about calls whose events this filter finds, as of events list")
	flags.StringVar(&entities, "entities", "recorded", "teams, keys, users, roles and agents as they were (recorded) or as they are (now)")
	must(cmd.RegisterFlagCompletionFunc("entities", fixed("recorded", "now")))
	flags.StringVar(&show, "show", "", "show the report of a replay that was made before")
	draft.add(p, cmd, false)
	for _, flag := range []string{"since", "until", "filter", "entities", "id", "without"} {
		cmd.MarkFlagsMutuallyExclusive("show", flag)
	}
	return cmd
}

var errReplayEnded = errors.New("the gateway ended the replay")

// replay makes a replay and shows how far it has come.
func (p *program) replay(ctx context.Context, m *management, req *policyv1.ReplayPolicyRequest) (*policyv1.Replay, error) {
	stream, err := m.policy.ReplayPolicy(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }() // what it says, Err has said
	watched := isTerminal(p.err)
	for stream.Receive() {
		if r := stream.Msg().GetResult(); r != nil {
			if watched {
				_, _ = fmt.Fprint(p.err, "\r\x1b[K")
			}
			return r, nil
		}
		if s := stream.Msg().GetProgress(); s != nil && watched {
			_, _ = fmt.Fprintf(p.err, "\r\x1b[K%s of %s events read, %s decisions replayed", grouped(s.GetEventsRead()), grouped(s.GetEventsTotal()), grouped(s.GetReplayed()))
		}
	}
	if watched {
		_, _ = fmt.Fprint(p.err, "\r\x1b[K")
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return nil, errReplayEnded
}

// grouped is a number with a space between its thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

func (p *program) printReplay(r *policyv1.Replay) error {
	return p.print(r, func() table { return p.replayTable(r) })
}

func (p *program) replayTable(r *policyv1.Replay) table {
	head := table{rows: [][]string{{grouped(r.GetReplayed()) + " decisions replayed in " + roundSeconds(r.GetElapsed().AsDuration())}}}
	t := table{}
	for _, change := range []struct {
		word  string
		is    policyv1.ReplayChange
		count int64
	}{
		{"newly denied", policyv1.ReplayChange_REPLAY_CHANGE_NEWLY_DENIED, r.GetNewlyDenied()},
		{"newly allowed", policyv1.ReplayChange_REPLAY_CHANGE_NEWLY_ALLOWED, r.GetNewlyAllowed()},
	} {
		if change.count == 0 {
			t.rows = append(t.rows, []string{change.word, "0"})
		}
		for _, g := range r.GetGroups() {
			if g.GetChange() != change.is {
				continue
			}
			note := ""
			if g.GetChangedAlready() > 0 {
				note = fmt.Sprintf("(%s of them without this change, too)", grouped(g.GetChangedAlready()))
			}
			t.rows = append(t.rows, []string{
				change.word, grouped(g.GetCount()), spoken(g.GetCaller()) + " → " + spoken(g.GetResource()), g.GetAction(),
				"first seen " + g.GetFirstTime().AsTime().In(p.location).Format("2006-01-02 15:04"),
				"(show: events list --filter '" + g.GetFilter() + "')", note,
			})
		}
	}
	if n := r.GetUngrouped(); n > 0 {
		t.rows = append(t.rows, []string{"further", grouped(n), "changes of other kinds"})
	}
	for _, c := range r.GetNotReplayableCauses() {
		t.rows = append(t.rows, []string{"not replayable", grouped(c.GetCount()), c.GetCause()})
	}
	t.rows = append(t.rows, []string{"report", r.GetName()})
	// One below the other, without the empty line that stands between tables.
	head.rows = append(head.rows, alignedRows(t.rows)...)
	return head
}

// alignedRows puts the cells of each row into one, in columns.
func alignedRows(rows [][]string) [][]string {
	widths := []int{0, 0, 0, 0}
	for _, row := range rows {
		for i := range min(len(widths), len(row)-1) {
			widths[i] = max(widths[i], len([]rune(row[i])))
		}
	}
	out := make([][]string, len(rows))
	for i, row := range rows {
		var b strings.Builder
		for j, cell := range row {
			if j > 0 {
				b.WriteString("   ")
			}
			b.WriteString(cell)
			if j < len(widths) && j < len(row)-1 {
				b.WriteString(strings.Repeat(" ", max(widths[j]-len([]rune(cell)), 0)))
			}
		}
		out[i] = []string{strings.TrimRight("  "+b.String(), " ")}
	}
	return out
}

// spoken is a name as people say it: "team support".
func spoken(name string) string { return strings.Replace(name, ":", " ", 1) }
