package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	taskv1 "github.com/signalbox-dev/signalbox/gen/signalbox/task/v1"
)

// adoptionBatch is the number of entries that one call takes.
const adoptionBatch = 1000

func (p *program) tasksCommand() *cobra.Command {
	cmd := parent("tasks", "Say whose tasks are that were begun past the gateway", p.tasksAdopt(), p.tasksOwner())
	cmd.Aliases = []string{"task"}
	return cmd
}

// adoptFlags are the flags of tasks adopt.
type adoptFlags struct {
	owner, from, endpoint string
	contexts              []string
	terminal              bool
	skip, dryRun          bool
}

func (p *program) tasksAdopt() *cobra.Command {
	var f adoptFlags
	cmd := &cobra.Command{
		Use: "adopt AGENT [TASK...] --owner OWNER", Short: "Give tasks and contexts that nobody owns to an owner", Args: cobra.MinimumNArgs(1),
		Long: `Give tasks and contexts that nobody owns to a key. Through the gateway a task is found by
the key that began it alone, so tasks that an agent had before the gateway stood in front
of it are found by nobody until they are adopted. What has an owner is never moved.

The ids are arguments, or come from a file with --from: lines "task ID [CONTEXT]" and
"context ID", or JSON as an agent's ListTasks answers, whole or a task a line. The
context of a task is adopted with it. Unless --skip is given nothing is adopted when some
ids cannot be; up to 1000 tasks are adopted at once, more one thousand after the other.

Tasks are adopted with a key of the team that owns the agent, for keys of that team, or
with the admin key.`,
		Example: `  signalbox tasks adopt planner t-1 t-2 --owner research/ci
  curl -s https://planner.internal/v1/tasks | signalbox tasks adopt planner --owner research/ci --from -`,
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			return p.adopt(cmd.Context(), m, &f, args[0], args[1:])
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.owner, "owner", "", "who they are given to: a key as TEAM/KEY, users/USER or agents/AGENT")
	must(cmd.MarkFlagRequired("owner"))
	must(cmd.RegisterFlagCompletionFunc("owner", func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return p.completing(keyNames)(cmd, nil, text) // whichever arguments there are already
	}))
	flags.StringVar(&f.from, "from", "", `file with more tasks and contexts; "-" is standard input`)
	must(cmd.MarkFlagFilename("from"))
	flags.StringArrayVar(&f.contexts, "context", nil, "context to adopt; repeat it for more")
	flags.BoolVar(&f.terminal, "terminal", false, "the tasks that are arguments have ended: forget their owner 30 days from now")
	flags.StringVar(&f.endpoint, "endpoint", "", "instance that holds them, one of the agent's URLs; needed when it has several")
	flags.BoolVar(&f.skip, "skip", false, "adopt the others when some cannot be adopted")
	flags.BoolVar(&f.dryRun, "dry-run", false, "change nothing, show what would be done")
	return cmd
}

// adopt reads what is to be adopted and has it done.
func (p *program) adopt(ctx context.Context, m *management, f *adoptFlags, agent string, tasks []string) error {
	owner, err := ownerName(f.owner)
	if err != nil {
		return err
	}
	entries := make([]*taskv1.AdoptionEntry, 0, len(tasks)+len(f.contexts))
	for _, id := range tasks {
		entries = append(entries, &taskv1.AdoptionEntry{TaskId: id, Terminal: f.terminal})
	}
	for _, id := range f.contexts {
		entries = append(entries, &taskv1.AdoptionEntry{ContextId: id})
	}
	if f.from != "" {
		read, err := p.readAdoption(f.from)
		if err != nil {
			return doingf(err, "read tasks")
		}
		entries = append(entries, read...)
	}
	if len(entries) == 0 && f.from == "" {
		return usagef("which tasks should be adopted? Name them, or give --context or --from")
	}
	if len(entries) == 0 {
		p.note("there is no task in %s", f.from)
		return nil
	}
	req := &taskv1.AdoptTasksRequest{
		Agent: full(agentsCollection, agent), Owner: owner, EndpointUrl: f.endpoint,
		ConflictMode: taskv1.ConflictMode_CONFLICT_MODE_FAIL,
	}
	if f.skip {
		req.ConflictMode = taskv1.ConflictMode_CONFLICT_MODE_SKIP
	}
	// All are looked at before the first is adopted, or a conflict of the second thousand
	// would come when the first is done.
	if f.dryRun || !f.skip {
		would, err := p.adoptAll(ctx, m, req, entries, true)
		if err != nil {
			return doingf(err, "adopt tasks of %s", agent)
		}
		stopped := would.GetOwnedByOtherCount()+would.GetInvalidCount() > 0 && !f.skip
		if f.dryRun || stopped {
			if err := p.print(would, func() table { return adoptionTable(would, true) }); err != nil || f.dryRun {
				return err
			}
			return doingf(errNotAdopted, "adopt tasks of %s", agent)
		}
	}
	done, err := p.adoptAll(ctx, m, req, entries, false)
	if err != nil {
		if n := done.GetAdoptedCount(); n > 0 {
			p.note("%d ids were adopted before the error; repeat the command to go on", n)
		}
		return doingf(err, "adopt tasks of %s", agent)
	}
	return p.print(done, func() table { return adoptionTable(done, false) })
}

var errNotAdopted = errors.New("nothing was adopted, because some cannot be; --skip adopts the others")

// adoptAll sends entries a batch at a time and returns what became of all.
func (p *program) adoptAll(
	ctx context.Context, m *management, req *taskv1.AdoptTasksRequest, entries []*taskv1.AdoptionEntry, validateOnly bool,
) (*taskv1.AdoptTasksResponse, error) {
	all := &taskv1.AdoptTasksResponse{}
	for batch := range slices.Chunk(entries, adoptionBatch) {
		res, err := m.tasks.AdoptTasks(ctx, &taskv1.AdoptTasksRequest{
			Agent: req.GetAgent(), Owner: req.GetOwner(), Entries: batch, EndpointUrl: req.GetEndpointUrl(),
			ConflictMode: req.GetConflictMode(), ValidateOnly: validateOnly,
		})
		if err != nil {
			return all, err
		}
		all.AdoptedCount += res.GetAdoptedCount()
		all.AlreadyOwnedCount += res.GetAlreadyOwnedCount()
		all.OwnedByOtherCount += res.GetOwnedByOtherCount()
		all.InvalidCount += res.GetInvalidCount()
		all.Results = append(all.Results, res.GetResults()...)
	}
	return all, nil
}

// adoptionTable shows counts, and each id that cannot be adopted.
func adoptionTable(res *taskv1.AdoptTasksResponse, would bool) table {
	count := func(n int32) string { return strconv.Itoa(int(n)) }
	adopted := "adopted"
	if would {
		adopted = "to adopt"
	}
	t := table{rows: [][]string{
		{adopted, count(res.GetAdoptedCount())},
		{"already the owner's", count(res.GetAlreadyOwnedCount())},
		{"owned by others", count(res.GetOwnedByOtherCount())},
		{"invalid", count(res.GetInvalidCount())},
	}}
	below := table{header: []string{"KIND", "ID", "PROBLEM"}}
	for _, r := range res.GetResults() {
		problem := ""
		switch r.GetOutcome() {
		case taskv1.AdoptionOutcome_ADOPTION_OUTCOME_OWNED_BY_OTHER:
			problem = "it belongs to another"
		case taskv1.AdoptionOutcome_ADOPTION_OUTCOME_INVALID:
			problem = r.GetProblem()
		case taskv1.AdoptionOutcome_ADOPTION_OUTCOME_UNSPECIFIED, taskv1.AdoptionOutcome_ADOPTION_OUTCOME_ADOPTED,
			taskv1.AdoptionOutcome_ADOPTION_OUTCOME_ALREADY_OWNED:
			continue
		}
		kind, id := "task", r.GetTaskId()
		if _, ok := r.GetId().(*taskv1.AdoptionResult_ContextId); ok {
			kind, id = "context", r.GetContextId()
		}
		below.rows = append(below.rows, []string{kind, shortened(id), problem})
	}
	if len(below.rows) > 0 {
		t.below = &below
	}
	return t
}

// shortened makes an id fit a line; what is no id can be long.
func shortened(id string) string {
	const most = 100
	if r := []rune(id); len(r) > most {
		return fmt.Sprintf("%s… (%d bytes)", string(r[:most]), len(id))
	}
	return id
}

func (p *program) tasksOwner() *cobra.Command {
	var isContext bool
	cmd := &cobra.Command{
		Use: "owner AGENT ID", Short: "Show whose a task or context is", Args: cobra.ExactArgs(2),
		ValidArgsFunction: p.completing(agentNames),
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			req := &taskv1.GetOwnerRequest{Agent: full(agentsCollection, args[0])}
			if isContext {
				req.Id = &taskv1.GetOwnerRequest_ContextId{ContextId: args[1]}
			} else {
				req.Id = &taskv1.GetOwnerRequest_TaskId{TaskId: args[1]}
			}
			o, err := m.tasks.GetOwner(cmd.Context(), req)
			if err != nil {
				return doingf(err, "look up the owner of %s", args[1])
			}
			return p.print(o, func() table {
				owner, ended := shortKey(o.GetOwner()), ""
				if owner == "" {
					owner = "another, which this key may not see"
				}
				if o.GetTerminal() {
					ended = "yes"
				}
				return table{rows: [][]string{
					{"owner", owner},
					{"agent", o.GetAgent()},
					{"task", o.GetTaskId()},
					{"context", o.GetContextId()},
					{"endpoint", o.GetEndpointUrl()},
					{"ended", ended},
				}}
			})
		}),
	}
	cmd.Flags().BoolVar(&isContext, "context", false, "ID is that of a context")
	return cmd
}

// ownerName returns the resource name of a principal: users and agents by theirs, keys as
// TEAM/KEY too.
func ownerName(text string) (string, error) {
	if strings.HasPrefix(text, "users/") || strings.HasPrefix(text, "agents/") {
		return text, nil
	}
	return keyName(text, "")
}
