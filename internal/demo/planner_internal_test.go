package demo

import (
	"testing"

	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/google/go-cmp/cmp"
)

func TestSplit_MakesTwoQuestionsOfAnything(t *testing.T) {
	tests := map[string][]string{
		"compare trains and planes":        {"trains", "planes"},
		"Compare trains vs. planes!":       {"trains", "planes"},
		"trains,planes and cars":           {"trains", "planes and cars"},
		"  a trip\nto Rome; with children": {"a trip to Rome", "with children"},
		"plan a conference":                {"the history of a conference", "the cost of a conference"},
		"sandstone":                        {"the history of sandstone", "the cost of sandstone"},
		"and":                              {"the history of and", "the cost of and"},
		", x":                              {"the history of , x", "the cost of , x"},
		"?":                                {"the history of planning", "the cost of planning"},
	}
	for text, want := range tests {
		if diff := cmp.Diff(want, split(text)); diff != "" {
			t.Errorf("split(%q) (-want +got):\n%s", text, diff)
		}
	}
}

func TestFindings_AreTheSameEachTimeAndNoneTwice(t *testing.T) {
	for _, topic := range []string{"a", "trains", "Trains", "the cost of sandstone"} {
		got := findings(topic)
		if diff := cmp.Diff(findings(topic), got); diff != "" {
			t.Errorf("findings(%q) differ (-first +second):\n%s", topic, diff)
		}
		seen := map[string]bool{}
		for _, f := range got {
			seen[f] = true
		}
		if len(seen) != findingCount {
			t.Errorf("findings(%q) = %q, want %d different ones", topic, got, findingCount)
		}
	}
}

func TestCarried_GoesOnWithTraceAndGatewayHeadersOnly(t *testing.T) {
	got := carried(a2asrv.NewServiceParams(map[string][]string{
		"Traceparent": {"tp"}, "Tracestate": {"ts"}, "Signalbox-Delegation": {"d"},
		"Authorization": {"secret"}, "Cookie": {"c"}, "X-Signalbox-Session": {"s"}, "A2A-Version": {"1.0"},
	}))
	want := map[string][]string{"traceparent": {"tp"}, "tracestate": {"ts"}, "signalbox-delegation": {"d"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}
