package filter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/filter"
)

func fields() filter.Fields {
	return filter.Fields{
		"agent":   {Type: filter.String},
		"id":      {Type: filter.String, Ops: []filter.Op{filter.Equal}},
		"outcome": {Type: filter.Enum, Values: []string{"SUCCEEDED", "FAILED"}},
		"size":    {Type: filter.Int},
		"tags":    {Type: filter.List},
		"time":    {Type: filter.Time},
	}
}

func TestParse_ReadsConditions(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		in   string
		want []filter.Condition
	}{
		"nothing":  {"", nil},
		"spaces":   {" \t ", nil},
		"quoted":   {`agent="agents/echo"`, []filter.Condition{{Field: "agent", Op: filter.Equal, Value: "agents/echo", Pos: 1}}},
		"bare":     {`agent = agents/echo`, []filter.Condition{{Field: "agent", Op: filter.Equal, Value: "agents/echo", Pos: 1}}},
		"escapes":  {`agent != "a \"b\" \\ AND c"`, []filter.Condition{{Field: "agent", Op: filter.NotEqual, Value: `a "b" \ AND c`, Pos: 1}}},
		"empty":    {`agent=""`, []filter.Condition{{Field: "agent", Op: filter.Equal, Pos: 1}}},
		"contains": {`agent:ech`, []filter.Condition{{Field: "agent", Op: filter.Has, Value: "ech", Pos: 1}}},
		"several, one field twice": {
			` time>=2026-03-01T12:00:00Z AND time < "2026-03-01T13:00:00+01:00" AND size <= -5  AND tags:x AND outcome=FAILED `,
			[]filter.Condition{
				{Field: "time", Op: filter.GreaterOrEqual, Value: "2026-03-01T12:00:00Z", Time: noon, Pos: 2},
				{Field: "time", Op: filter.Less, Value: "2026-03-01T13:00:00+01:00", Time: noon, Pos: 33},
				{Field: "size", Op: filter.LessOrEqual, Value: "-5", Int: -5, Pos: 72},
				{Field: "tags", Op: filter.Has, Value: "x", Pos: 88},
				{Field: "outcome", Op: filter.Equal, Value: "FAILED", Pos: 99},
			},
		},
		"positions count characters": {`agent=é AND id=x`, []filter.Condition{
			{Field: "agent", Op: filter.Equal, Value: "é", Pos: 1},
			{Field: "id", Op: filter.Equal, Value: "x", Pos: 13},
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := filter.Parse(tc.in, fields())
			if err != nil {
				t.Fatalf("Parse(%q): %v", tc.in, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tc.in, diff)
			}
		})
	}
}

func TestParse_FaultNamesPositionFieldAndWhatIsAllowed(t *testing.T) {
	tests := map[string]struct {
		in    string
		pos   int
		field string
		text  string
	}{
		"unknown field":       {`agnet=x`, 1, "agnet", `there is no field "agnet"; allowed: agent, id, outcome, size, tags, time`},
		"no field":            {`=x`, 1, "", `expected the name of a field, found "="; allowed: agent`},
		"parenthesis":         {`(agent=x)`, 1, "", `expected the name of a field, found "("`},
		"no operator":         {`agent`, 6, "agent", `expected an operator after "agent"; allowed: =, !=, :`},
		"operator of others":  {`agent > x`, 7, "agent", `does not take the operator ">"; allowed: =, !=, :`},
		"operator of schema":  {`id:x`, 3, "id", `does not take the operator ":"; allowed: =`},
		"list with equal":     {`tags=x`, 5, "tags", `allowed: :`},
		"no value":            {`agent=`, 7, "agent", `expected a value for "agent"`},
		"AND for a value":     {`agent= AND id=x`, 8, "agent", `found AND`},
		"lower case and":      {`agent=x and id=x`, 9, "", `expected AND between two conditions, found "and"`},
		"OR":                  {`agent=x OR id=x`, 9, "", `found "OR"`},
		"nothing after AND":   {`agent=x AND `, 13, "", `a condition must follow AND`},
		"quotes not closed":   {`agent="x`, 7, "agent", `not closed`},
		"ends in a backslash": {`agent="x\`, 7, "agent", `not closed`},
		"unknown escape":      {`agent="x\n"`, 9, "agent", `unknown escape`},
		"control character":   {"agent=\"x\x00\"", 9, "agent", `control character`},
		"no time":             {`time>yesterday`, 6, "time", `"yesterday" is no time for "time"; allowed: RFC 3339`},
		"no number":           {`size=1.5`, 6, "size", `no whole number`},
		"number too large":    {`size=9223372036854775808`, 6, "size", `no whole number`},
		"no such value":       {`outcome=failed`, 9, "outcome", `"failed" is no value of "outcome"; allowed: SUCCEEDED, FAILED`},
		"value joined":        {`agent=x"y"`, 8, "", `expected AND`},
		"not UTF-8":           {"agent=\xff", 1, "", `not valid UTF-8`},
		"too long":            {strings.Repeat(" ", filter.MaxLength+1), 1, "", `longer than`},
		"too many":            {strings.Repeat("id=x AND ", filter.MaxConditions) + "id=x", 289, "", `at most 32 conditions`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := filter.Parse(tc.in, fields())
			e, ok := errors.AsType[*filter.Error](err)
			if !ok {
				t.Fatalf("Parse(%q) = %v, want a *filter.Error", tc.in, err)
			}
			if e.Pos != tc.pos || e.Field != tc.field || !strings.Contains(e.Error(), tc.text) {
				t.Errorf("Parse(%q) = position %d, field %q, %q; want position %d, field %q, text with %q",
					tc.in, e.Pos, e.Field, e, tc.pos, tc.field, tc.text)
			}
		})
	}
}

// What Parse accepts is bounded, and reads the same after it was written anew.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", `agent="agents/echo"`, `time>=2026-03-01T12:00:00Z AND size<5`, `tags:"a\\b" AND outcome != FAILED`, `agent=x AND`, `id="\"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		conditions, err := filter.Parse(s, fields())
		if err != nil {
			if _, ok := errors.AsType[*filter.Error](err); !ok {
				t.Fatalf("Parse(%q) = %v, want a *filter.Error", s, err)
			}
			return
		}
		texts := make([]string, len(conditions))
		for i, c := range conditions {
			if strings.ContainsRune(c.Value, 0) {
				t.Errorf("Parse(%q): value %q has a NUL, which Postgres refuses", s, c.Value)
			}
			texts[i] = c.String()
			conditions[i].Pos = 0
		}
		text := strings.Join(texts, " AND ")
		if len(text) > filter.MaxLength {
			return
		}
		again, err := filter.Parse(text, fields())
		if err != nil {
			t.Fatalf("Parse(%q), written from %q: %v", text, s, err)
		}
		for i := range again {
			again[i].Pos = 0
		}
		if diff := cmp.Diff(conditions, again); diff != "" {
			t.Errorf("%q reads differently as %q (-first +again):\n%s", s, text, diff)
		}
	})
}
