package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func managementOpening() *Opening {
	return &Opening{
		Invocation: sampleOpening().Invocation, Time: sampleOpening().Time, Plane: PlaneManagement, Resource: "agents/echo",
		Caller: "teams/demo/keys/laptop", Team: "demo", Method: "signalbox.registry.v1.RegistryService/UpdateAgent", Dialect: "CONNECT",
		Decision: &Decision{Permitted: true, Rules: []string{"own-team"}, Revision: 17, Action: "write", Resource: "agents/echo"},
	}
}

func managementClosing() *Closing {
	return &Closing{
		Invocation: sampleOpening().Invocation, Duration: 12 * time.Millisecond, Outcome: Succeeded, HTTPStatus: 200,
		Management: &ManagementEnd{
			Resource: "agents/echo", Revision: 18, Before: []byte(`{"displayName":"a","tags":["\u0000é"]}`), After: []byte(`{"displayName":"b"}`),
			Decision: &Decision{Action: "later"},
		},
	}
}

// As those of calls, these files never change.
func TestEntry_OfManagementIsWrittenAsEverAndReadAgain(t *testing.T) {
	at := sampleOpening().Time.Add(12 * time.Millisecond)
	refused := &Closing{Invocation: sampleOpening().Invocation, Outcome: Refused, Error: &CallError{Code: 7, Reason: "PERMISSION_DENIED"}}
	tests := map[string]struct {
		data []byte
		want Entry
	}{
		"opened": {appendOpened(nil, managementOpening()), Entry{Kind: KindOpened, Time: sampleOpening().Time, Opening: *managementOpening()}},
		"closed": {appendClosed(nil, managementClosing(), at), Entry{Kind: KindClosed, Time: at, Closing: *managementClosing()}},
		"refused": {
			appendRefused(nil, managementOpening(), refused),
			Entry{Kind: KindRefused, Time: sampleOpening().Time, Opening: *managementOpening(), Closing: *refused},
		},
		"summary": {appendSummary(nil, uuid.Max, PlaneManagement, sampleRefusals()), Entry{
			Kind: KindSummary, Time: sampleRefusals().From, Opening: Opening{Invocation: uuid.Max, Plane: PlaneManagement}, Refusals: *sampleRefusals(),
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "entry", "management-"+name+".json")
			if *update {
				if err := os.WriteFile(file, append(bytes.Clone(tc.data), '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(tc.data)+"\n"); diff != "" {
				t.Errorf("entry (-golden +written):\n%s", diff)
			}
			got, err := DecodeEntry(tc.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("DecodeEntry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntry_WhatIsNoDocumentDoesNotSpoilIt(t *testing.T) {
	for name, document := range map[string]string{
		"too large":         `{"a":"` + strings.Repeat("x", MaxDocument) + `"}`,
		"no object":         `["a"]`,
		"no JSON":           `{"a":`,
		"two objects":       `{}{}`,
		"a name twice":      `{"a":1,"a":2}`,
		"no UTF-8":          "{\"a\":\"\xff\"}",
		"more than compact": `{"a": 1}`,
		"a way out":         `{"a":1},"caller":{"b":2}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := managementClosing()
			c.Management.Before = []byte(document)
			got, err := DecodeEntry(appendClosed(nil, c, sampleOpening().Time))
			if err != nil {
				t.Fatal(err)
			}
			if text := string(got.Closing.Management.Before); !strings.HasPrefix(text, `{"@cut":{"bytes":`) {
				t.Errorf("the document became %.100s, want a mark", text)
			}
			if diff := cmp.Diff(managementClosing().Management.After, got.Closing.Management.After); diff != "" {
				t.Errorf("the other document (-want +got):\n%s", diff)
			}
		})
	}
}
