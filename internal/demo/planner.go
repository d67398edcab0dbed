package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
)

// headerPrefix begins the names of the gateway's own headers. An agent sends them back
// unread on the calls that it makes for a caller, so that the chain can be seen.
const headerPrefix = "signalbox-"

var errNotAnswered = errors.New("the researcher did not answer")

// planner asks the researcher.
type planner struct {
	gateway string
	key     string
	client  *http.Client
}

// work makes a plan from two answers.
func (p *planner) work(ctx context.Context, ec *a2asrv.ExecutorContext, text string, say func(a2a.Event) bool) {
	questions := split(text)
	out := newAnswer(ec, "plan", say)
	if !out.add(fmt.Sprintf("Plan for: %s\n", oneLine(text)), false) {
		return
	}
	colleague, err := p.connect(ctx, ec)
	if err != nil {
		p.fail(ctx, ec, err, say)
		return
	}
	for i, q := range questions {
		findings, err := colleague.ask(ctx, q)
		if err != nil {
			p.fail(ctx, ec, fmt.Errorf("ask the researcher about %q: %w", q, err), say)
			return
		}
		if !out.add(fmt.Sprintf("\nStep %d, %s:\n%s", i+1, q, findings), false) {
			return
		}
	}
	if out.add("\nThen decide.\n", true) {
		finish(ec, say)
	}
}

// fail says why the task cannot be done. A task that was cancelled has said its end.
func (*planner) fail(ctx context.Context, ec *a2asrv.ExecutorContext, err error, say func(a2a.Event) bool) {
	if ctx.Err() != nil {
		return
	}
	say(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateFailed,
		a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart(err.Error()))))
}

// colleague is another agent, as it is called on behalf of one task.
type colleague struct {
	client *a2aclient.Client
	params a2aclient.ServiceParams
}

// connect finds the researcher by its card at the gateway.
func (p *planner) connect(ctx context.Context, ec *a2asrv.ExecutorContext) (*colleague, error) {
	bearer := "Bearer " + p.key
	options := []agentcard.ResolveOption{agentcard.WithRequestHeader("Authorization", bearer)}
	params := a2aclient.ServiceParams{"Authorization": {bearer}}
	for name, values := range carried(ec.ServiceParams) {
		params[name] = values
		options = append(options, agentcard.WithRequestHeader(name, values[0]))
	}
	card, err := agentcard.NewResolver(p.client).Resolve(ctx, p.gateway+"/a2a/"+agentResearcher, options...)
	if err != nil {
		return nil, fmt.Errorf("find the researcher: %w", err)
	}
	client, err := a2aclient.NewFromCard(ctx, card, a2aclient.WithJSONRPCTransport(p.client))
	if err != nil {
		return nil, fmt.Errorf("connect to the researcher: %w", err)
	}
	return &colleague{client: client, params: params}, nil
}

// carried are the headers of a call that go on with the calls made for it.
func carried(given *a2asrv.ServiceParams) map[string][]string {
	headers := map[string][]string{}
	for name, values := range given.List() {
		lower := strings.ToLower(name)
		if len(values) > 0 && (lower == "traceparent" || lower == "tracestate" || strings.HasPrefix(lower, headerPrefix)) {
			headers[name] = values
		}
	}
	return headers
}

// ask returns the findings about a topic.
func (c *colleague) ask(ctx context.Context, topic string) (string, error) {
	ctx = a2aclient.AttachServiceParams(ctx, c.params)
	result, err := c.client.SendMessage(ctx, &a2a.SendMessageRequest{
		Message: a2a.NewMessage(a2a.MessageRoleUser, a2a.NewTextPart(topic)),
	})
	if err != nil {
		return "", err
	}
	task, ok := result.(*a2a.Task)
	if !ok || task.Status.State != a2a.TaskStateCompleted {
		return "", errNotAnswered
	}
	var b strings.Builder
	for _, artifact := range task.Artifacts {
		b.WriteString(textOf(artifact.Parts))
	}
	return b.String(), nil
}

// conjunction is where a request has two halves.
var conjunction = regexp.MustCompile(`(?i)\s+(?:and|versus|vs\.?|or)\s+|\s*[,;]\s*`)

// verbs are first words that say what to do and not what about.
func verbs() []string {
	return []string{"compare", "plan", "research", "find", "investigate", "explain"}
}

// split makes two questions of a request.
func split(text string) []string {
	text = strings.TrimRight(oneLine(text), " .?!")
	first, rest, _ := strings.Cut(text, " ")
	for _, v := range verbs() {
		if strings.EqualFold(first, v) && rest != "" {
			text = rest
		}
	}
	if halves := conjunction.Split(text, 2); len(halves) == 2 && halves[0] != "" && halves[1] != "" {
		return halves
	}
	if text == "" {
		text = "planning"
	}
	return []string{"the history of " + text, "the cost of " + text}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
