package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
)

const (
	eventsCollection = "events"
	outcomePrefix    = "OUTCOME_"
	presetEvents     = 50
)

// The planes as the user writes them. Without a choice events are those of calls of
// agents: reading the record is a management call itself, and would fill every list.
const (
	planeData       = "data"
	planeManagement = "management"
	planeAll        = "all"
)

// planeCondition finds a condition on the plane in a filter.
var planeCondition = regexp.MustCompile(`(?:^|AND)\s*plane\s*[=!:]`)

func (p *program) eventsCommand() *cobra.Command {
	cmd := parent("events", "Read the record of calls", p.eventsList(), p.eventsGet(), p.eventsTail())
	cmd.Aliases = []string{"event"}
	return cmd
}

// eventFlags say which events are wanted.
type eventFlags struct {
	filter, agent, team, caller, method, outcome, upstream, since string
	plane, resource                                               string
	management                                                    bool
}

func (f *eventFlags) add(p *program, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter, "filter", "", `conditions "field op value" joined by AND; fields: agent, team, caller, method, outcome, upstream_dialect, time, plane, resource`)
	flags.StringVar(&f.agent, "agent", "", "only calls of this agent")
	must(cmd.RegisterFlagCompletionFunc("agent", p.completing(agentNames)))
	flags.StringVar(&f.team, "team", "", "only calls by this team")
	must(cmd.RegisterFlagCompletionFunc("team", p.completing(teamNames)))
	flags.StringVar(&f.caller, "caller", "", `only calls by this caller: TEAM/KEY or "admin"`)
	flags.StringVar(&f.method, "method", "", "only calls of this method, for example SendMessage or UpdateAgent")
	flags.StringVar(&f.outcome, "outcome", "", "only calls that ended so: "+strings.Join(outcomeNames(), ", "))
	must(cmd.RegisterFlagCompletionFunc("outcome", fixed(outcomeNames()...)))
	flags.StringVar(&f.upstream, "upstream-dialect", "", "only calls for which this was spoken with the agent, for example GRPC/1.0")
	must(cmd.RegisterFlagCompletionFunc("upstream-dialect", fixed(dialectNames()...)))
}

// addPlane adds the flags that choose the plane.
func (f *eventFlags) addPlane(p *program, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.management, planeManagement, false, "management calls instead of calls of agents: who read or changed what")
	flags.StringVar(&f.plane, "plane", "", "calls of this plane: data (agents; the preset), management, or all")
	must(cmd.RegisterFlagCompletionFunc("plane", fixed(planeData, planeManagement, planeAll)))
	flags.StringVar(&f.resource, "resource", "", "only management calls about this resource, for example agents/echo or teams/demo/keys/ci")
	must(cmd.RegisterFlagCompletionFunc("resource", p.completing(func(ctx context.Context, m *management) ([]string, error) {
		names, err := agentNames(ctx, m)
		for i := range names {
			names[i] = full(agentsCollection, names[i])
		}
		return names, err
	})))
}

// chosen returns the plane that the flags choose.
func (f *eventFlags) chosen() (string, error) {
	switch {
	case f.plane != "" && f.plane != planeData && f.plane != planeManagement && f.plane != planeAll:
		return "", usagef("--plane: %q is not one of data, management, all", f.plane)
	case f.management && f.plane != "" && f.plane != planeManagement:
		return "", usagef("--management and --plane %s exclude each other", f.plane)
	case f.plane != "":
		return f.plane, nil
	case f.management, f.resource != "":
		return planeManagement, nil
	case planeCondition.MatchString(f.filter):
		return planeAll, nil
	}
	return planeData, nil
}

// text is the filter that the flags mean together.
func (f *eventFlags) text(p *program) (string, error) {
	all := []string{}
	if f.filter != "" {
		all = append(all, f.filter)
	}
	plane, err := f.chosen()
	if err != nil {
		return "", err
	}
	if plane != planeAll {
		all = append(all, condition("plane", "=", strings.ToUpper(plane)))
	}
	if f.resource != "" {
		all = append(all, condition("resource", "=", f.resource))
	}
	if f.agent != "" {
		all = append(all, condition("agent", "=", full(agentsCollection, f.agent)))
	}
	if f.team != "" {
		all = append(all, condition("team", "=", full(teamsCollection, f.team)))
	}
	if f.caller != "" {
		caller := f.caller
		if name, err := keyName(caller, ""); err == nil {
			caller = name
		}
		all = append(all, condition("caller", "=", caller))
	}
	switch {
	case f.method == "":
	case plane == planeManagement && !strings.Contains(f.method, "/"):
		all = append(all, condition("method", ":", "/"+f.method))
	default:
		all = append(all, condition("method", "=", f.method))
	}
	if f.outcome != "" {
		name := strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(f.outcome, "-", "_")), outcomePrefix)
		if auditv1.Outcome_value[outcomePrefix+name] == 0 {
			return "", usagef("--outcome: %q is not one of %s", f.outcome, strings.Join(outcomeNames(), ", "))
		}
		all = append(all, condition("outcome", "=", name))
	}
	if f.upstream != "" {
		all = append(all, condition("upstream_dialect", "=", strings.ToUpper(f.upstream)))
	}
	if f.since != "" {
		t, err := p.parseAge(f.since)
		if err != nil {
			return "", usagef("--since: %s", err)
		}
		all = append(all, condition("time", ">=", t.UTC().Format(time.RFC3339Nano)))
	}
	return and(all...), nil
}

func (p *program) eventsList() *cobra.Command {
	var f eventFlags
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List events, the newest first", Args: cobra.NoArgs,
		Example: `  signalbox events list --agent echo --since 1h
  signalbox events list --management --resource agents/echo
  signalbox events list --filter 'outcome != "SUCCEEDED" AND time >= "2027-01-31T08:00:00Z"' -o json`,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			filter, err := f.text(p)
			if err != nil {
				return err
			}
			events, err := listEvents(cmd.Context(), m, filter, limit)
			if err != nil {
				return doingf(err, "list events")
			}
			return p.print(&auditv1.ListEventsResponse{Events: events}, func() table {
				t := table{header: f.header(), empty: "there is no such event that this key may see; the event of a call appears within a second"}
				for _, e := range events {
					t.rows = append(t.rows, p.eventRow(e))
				}
				return t
			})
		}),
	}
	f.add(p, cmd)
	f.addPlane(p, cmd)
	cmd.Flags().StringVar(&f.since, "since", "", "only calls that began after this: a duration before now such as 10m or 7d, or a time")
	addLimit(cmd, &limit, presetEvents)
	return cmd
}

func (p *program) eventsGet() *cobra.Command {
	return &cobra.Command{
		Use: "get EVENT", Aliases: []string{"show"}, Short: "Show an event in full", Args: cobra.ExactArgs(1),
		Long: `Show an event in full. What a management call changed follows line by line: "+" is a value
that is new, "-" one that is gone, "~" one that is another. -o json has the whole resource
before and after.`,
		RunE: p.managed(func(cmd *cobra.Command, args []string, m *management) error {
			event, err := m.audit.GetEvent(cmd.Context(), &auditv1.GetEventRequest{Name: full(eventsCollection, args[0])})
			if err != nil {
				return doingf(err, "get event %s", args[0])
			}
			return p.print(event, func() table {
				t := p.eventDetail(event)
				t.below = changeTable(event)
				return t
			})
		}),
	}
}

func (p *program) eventsTail() *cobra.Command {
	var f eventFlags
	var after int64
	cmd := &cobra.Command{
		Use: "tail", Short: "Print events as they come, until interrupted", Args: cobra.NoArgs,
		RunE: p.managed(func(cmd *cobra.Command, _ []string, m *management) error {
			filter, err := f.text(p)
			if err != nil {
				return err
			}
			req := &auditv1.TailEventsRequest{Filter: filter}
			if cmd.Flags().Changed("after") {
				req.AfterSequence = &after
			}
			return doingf(p.tail(cmd.Context(), m, req, f.header()), "tail events")
		}),
	}
	f.add(p, cmd)
	f.addPlane(p, cmd)
	cmd.Flags().Int64Var(&after, "after", 0, "begin after the event with this sequence; with the next event unless given")
	return cmd
}

func (p *program) tail(ctx context.Context, m *management, req *auditv1.TailEventsRequest, header []string) error {
	stream, err := m.audit.TailEvents(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // what it says, Err has said
	first := true
	for stream.Receive() {
		event := stream.Msg().GetEvent()
		if event == nil {
			continue // a sign of life
		}
		if p.flags.output == outputTable {
			row := fixedRow(p.eventRow(event))
			if first {
				row = fixedRow(header) + "\n" + row
			}
			first = false
			err = p.line(row)
		} else {
			var data []byte
			if data, err = protojson.Marshal(event); err == nil {
				err = p.printRecord(data)
			}
		}
		if err != nil {
			return err
		}
	}
	err = stream.Err()
	if ctx.Err() != nil && (err == nil || connect.CodeOf(err) == connect.CodeCanceled) {
		return nil // interrupting is how a tail ends
	}
	if err == nil {
		return errTailEnded
	}
	return err
}

var errTailEnded = errors.New("the gateway ended the stream")

func eventHeader() []string {
	return []string{"TIME", "AGENT", "METHOD", "CALLER", "OUTCOME", "TOOK", "EVENT"}
}

// header is that of the plane that the flags choose.
func (f *eventFlags) header() []string {
	header := eventHeader()
	if plane, err := f.chosen(); err == nil && plane != planeData {
		header[1] = "RESOURCE"
	}
	return header
}

func (p *program) eventRow(e *auditv1.Event) []string {
	outcome := enumText(e.GetOutcome().String(), outcomePrefix)
	if r := e.GetError().GetReason(); r != "" {
		if enumText(r, "") != outcome {
			outcome += " " + r
		}
	} else if c := e.GetError().GetCode(); c != 0 {
		outcome += " " + strconv.Itoa(int(c))
	}
	if e.GetCount() > 1 {
		outcome += fmt.Sprintf(" (%d calls)", e.GetCount())
	}
	about, method := short(e.GetAgent()), e.GetMethod()
	if e.GetPlane() == auditv1.Plane_PLANE_MANAGEMENT {
		about, method = e.GetResource(), method[strings.LastIndexByte(method, '/')+1:]
	}
	return []string{
		p.when(e.GetTime()), about, method, shortKey(e.GetCaller()), outcome,
		took(e.GetDuration()), short(e.GetName()),
	}
}

// fixedRow aligns rows of which the next ones are not known yet.
func fixedRow(cells []string) string {
	widths := []int{19, 18, 22, 22, 26, 9, 0}
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		if c == "" {
			c = "-"
		}
		fmt.Fprintf(&b, "%-*s", widths[i], printable(c))
	}
	return b.String()
}

func (p *program) eventDetail(e *auditv1.Event) table {
	t := table{}
	add := func(name, value string) {
		if value != "" {
			t.rows = append(t.rows, []string{name, value})
		}
	}
	number := func(name string, n int64, unit string) {
		if n != 0 {
			add(name, strconv.FormatInt(n, 10)+unit)
		}
	}
	add("name", e.GetName())
	add("time", p.moment(e.GetTime()))
	add("outcome", enumText(e.GetOutcome().String(), outcomePrefix))
	if err := e.GetError(); err != nil {
		code := ""
		if c := err.GetCode(); c != 0 {
			code = strconv.Itoa(int(c))
		}
		add("error", oneLine(code+" "+err.GetReason()+" "+err.GetMessage()))
	}
	if e.GetCount() > 1 {
		number("stands for", e.GetCount(), " calls")
	}
	if r := e.GetRefusals(); r != nil {
		more := ""
		if r.GetSourcesCapped() {
			more = "more than "
		}
		add("sources", fmt.Sprintf("%s%d", more, r.GetSources()))
		number("verified", r.GetAuthenticated(), " of them had a valid key")
		for _, c := range r.GetReasons() {
			add("counted", fmt.Sprintf("%d %s", c.GetCount(), c.GetReason()))
		}
	}
	if e.GetCallerLeft() {
		add("caller left", "before the end")
	}
	if e.GetIdConflict() {
		add("id conflict", "an id in the answer belongs to another caller")
	}
	add("took", took(e.GetDuration()))
	add("first byte", took(e.GetTimeToFirstByte()))
	add("caller", e.GetCaller())
	add("team", e.GetTeam())
	add("from", oneLine(e.GetSourceAddress()+" "+e.GetUserAgent()))
	add("agent", e.GetAgent())
	add("endpoint", e.GetEndpoint())
	add("resource", e.GetResource())
	number("revision", e.GetRevision(), "")
	add("method", e.GetMethod())
	add("dialect", dialectText(e))
	add("request", e.GetRequestId())
	add("message", e.GetMessageId())
	add("task", oneLine(e.GetTaskId()+" "+e.GetTaskState()))
	add("context", e.GetContextId())
	add("trace", e.GetTraceId())
	add("span", e.GetSpanId())
	add("parent span", e.GetParentSpanId())
	addDecision(add, e.GetDecision())
	number("request", e.GetRequestBytes(), " bytes")
	number("reply", e.GetResponseBytes(), " bytes")
	number("events", e.GetStreamEvents(), " in the stream")
	number("status", int64(e.GetHttpStatus()), "")
	number("sequence", e.GetSequence(), "")
	add("recorded", p.moment(e.GetIngestTime()))
	add("replica", e.GetReplica())
	return t
}

// addDecision adds what was decided, what it rested on besides the configuration, and what
// whoever writes policies must know of it.
func addDecision(add func(name, value string), d *auditv1.Decision) {
	if d == nil {
		return
	}
	verdict := func(permitted bool, rules []string, where string) string {
		switch {
		case permitted:
			return "permitted by " + strings.Join(rules, ", ") + where
		case len(rules) == 0:
			return "denied" + where + ": nothing permits it"
		default:
			return "forbidden by " + strings.Join(rules, ", ") + where
		}
	}
	add("decision", verdict(d.GetPermitted(), d.GetRules(), fmt.Sprintf(" at revision %d", d.GetRevision())))
	add("", fmt.Sprintf("%s may %s %s?", d.GetPrincipal(), d.GetAction(), d.GetResource()))
	add("", d.GetId())
	failing := func(all []*auditv1.DecisionFailure) {
		for _, f := range all {
			add("", fmt.Sprintf("%s %s cannot be evaluated: %s", f.GetEffect(), f.GetStatement(), f.GetText()))
		}
	}
	failing(d.GetFailing())
	add("token gives", strings.Join(slices.Concat(d.GetClaimedTeams(), d.GetClaimedRoles()), ", "))
	if s := d.GetShadow(); s != nil {
		add("in shadow", verdict(s.GetPermitted(), s.GetRules(), ""))
		failing(s.GetFailing())
	}
}

// dialectText is what the caller spoke and, where that is another, what the agent was
// spoken to in.
func dialectText(e *auditv1.Event) string {
	text := e.GetDialect()
	if up := e.GetUpstreamDialect(); up != "" && up != text {
		text = oneLine(text + ", translated to " + up)
	}
	return text
}

func listEvents(ctx context.Context, m *management, filter string, limit int) ([]*auditv1.Event, error) {
	return pages(limit, func(size uint32, token string) ([]*auditv1.Event, string, error) {
		r, err := m.audit.ListEvents(ctx, &auditv1.ListEventsRequest{Filter: filter, PageSize: size, PageToken: token})
		return r.GetEvents(), r.GetNextPageToken(), err
	})
}

// outcomeNames are the outcomes as the user writes them.
func outcomeNames() []string {
	var names []string
	for n := int32(1); ; n++ {
		name, ok := auditv1.Outcome_name[n]
		if !ok {
			return names
		}
		names = append(names, enumText(name, outcomePrefix))
	}
}

// condition is one condition of a filter; the value may hold anything.
func condition(field, op, value string) string {
	return field + " " + op + " " + strconv.Quote(value)
}

func and(conditions ...string) string {
	return strings.Join(slices.DeleteFunc(conditions, func(c string) bool { return c == "" }), " AND ")
}
