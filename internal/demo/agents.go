package demo

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
)

// streamPause lets a person see that an answer comes in pieces.
const streamPause = 120 * time.Millisecond

// agents are the three, those first that others call.
func agents(gatewayURL, plannerKey string, client *http.Client) []agentSpec {
	return []agentSpec{
		{
			id: agentEcho, name: "Echo",
			description: `Says it again. "stream …" comes word by word, "slow …" takes until it is cancelled.`,
			skills: []a2a.AgentSkill{{
				ID: "echo", Name: "Echo", Description: "Says it again.", Tags: []string{"demo"},
				Examples: []string{"hello", "stream one two three", "slow work"},
			}},
			work: echo,
		},
		{
			id: agentResearcher, name: "Researcher",
			description: "Finds out a few things about a topic, one after the other. It knows nothing and makes no secret of it.",
			skills: []a2a.AgentSkill{{
				ID: "research", Name: "Research", Description: "Findings about a topic.", Tags: []string{"demo", "research"},
				Examples: []string{"night trains"},
			}},
			work: research,
		},
		{
			id: agentPlanner, name: "Planner",
			description: "Splits a request into two questions, asks the researcher through the gateway, and puts the answers together.",
			skills: []a2a.AgentSkill{{
				ID: "plan", Name: "Plan", Description: "A plan from two answers.", Tags: []string{"demo", "planning"},
				Examples: []string{"compare trains and planes"},
			}},
			work: (&planner{gateway: gatewayURL, key: plannerKey, client: client}).work,
		},
	}
}

// echo says it again.
func echo(ctx context.Context, ec *a2asrv.ExecutorContext, text string, say func(a2a.Event) bool) {
	out := newAnswer(ec, "echo", say)
	verb, rest, _ := strings.Cut(text, " ")
	switch verb {
	case "slow":
		out.add("working on "+rest+" until this task is cancelled\n", false)
		<-ctx.Done()
		return
	case "stream":
		words := strings.Fields(rest)
		for i, word := range words {
			if i > 0 && !pause(ctx, streamPause) {
				return
			}
			if i < len(words)-1 {
				word += " "
			}
			if !out.add(word, i == len(words)-1) {
				return
			}
		}
	default:
		if !out.add(text, true) {
			return
		}
	}
	finish(ec, say)
}

// findingCount is how many findings there are about a topic.
const findingCount = 3

// research finds a few things out. The same topic always gives the same findings.
func research(ctx context.Context, ec *a2asrv.ExecutorContext, topic string, say func(a2a.Event) bool) {
	topic = strings.Join(strings.Fields(topic), " ")
	if topic == "" {
		say(a2a.NewStatusUpdateEvent(ec, a2a.TaskStateRejected,
			a2a.NewMessageForTask(a2a.MessageRoleAgent, ec, a2a.NewTextPart("what should I find out about? Send a topic."))))
		return
	}
	out := newAnswer(ec, "findings", say)
	all := findings(topic)
	for i, f := range all {
		if i > 0 && !pause(ctx, streamPause) {
			return
		}
		if !out.add(fmt.Sprintf("%d. %s\n", i+1, f), i == len(all)-1) {
			return
		}
	}
	finish(ec, say)
}

// findings picks what is found out by the letters of the topic.
func findings(topic string) []string {
	angles := []string{
		"Most of what is written about %s repeats three older sources.",
		"Those who work with %s every day name cost as the first question.",
		"The word for %s has changed its meaning twice in twenty years.",
		"Nobody has measured %s over more than one winter.",
		"There are two schools of thought on %s, and they do not cite each other.",
		"The best introduction to %s is a book that is out of print.",
		"What fails about %s fails at the points where two organisations meet.",
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(topic))) // it never fails
	first := int(h.Sum32() % uint32(len(angles)))
	found := make([]string, findingCount)
	for i := range found {
		// Two is coprime to seven, so that no angle comes twice.
		found[i] = fmt.Sprintf(angles[(first+2*i)%len(angles)], topic)
	}
	return found
}
