package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	auditv1 "github.com/signalbox-dev/signalbox/gen/signalbox/audit/v1"
)

// maxChangeText is how much of a value a change shows; -o json has all of it.
const maxChangeText = 160

// changeTable is what a management call changed, a line for each value, or nil when it
// changed nothing.
func changeTable(e *auditv1.Event) *table {
	if e.GetBefore() == nil && e.GetAfter() == nil {
		return nil
	}
	before, after := leaves(e.GetBefore()), leaves(e.GetAfter())
	var paths []string
	for path := range before {
		paths = append(paths, path)
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, compareNatural)
	t := &table{}
	for _, path := range paths {
		was, had := before[path]
		is, has := after[path]
		switch {
		case !had:
			t.rows = append(t.rows, []string{"+ " + path, is})
		case !has:
			t.rows = append(t.rows, []string{"- " + path, was})
		case was != is:
			t.rows = append(t.rows, []string{"~ " + path, was + " → " + is})
		}
	}
	if len(t.rows) == 0 {
		t.rows = [][]string{{"nothing was changed", "it was so already"}}
	}
	for _, row := range t.rows {
		row[0] = ellipsis(row[0], maxChangeText)
	}
	return t
}

// leaves are the values of an object by the ways to them, as JSON.
func leaves(s *structpb.Struct) map[string]string {
	all := map[string]string{}
	var walk func(path string, v *structpb.Value)
	walk = func(path string, v *structpb.Value) {
		switch kind := v.GetKind().(type) {
		case *structpb.Value_StructValue:
			fields := kind.StructValue.GetFields()
			if cut := fields["@cut"].GetStructValue().GetFields(); len(fields) == 1 && cut != nil {
				all[path] = cutText(cut)
				return
			}
			if len(fields) == 0 {
				all[path] = "{}"
			}
			for name, inner := range fields {
				walk(strings.TrimPrefix(path+"."+name, "."), inner)
			}
		case *structpb.Value_ListValue:
			if len(kind.ListValue.GetValues()) == 0 {
				all[path] = "[]"
			}
			for i, inner := range kind.ListValue.GetValues() {
				walk(path+"["+strconv.Itoa(i)+"]", inner)
			}
		case *structpb.Value_StringValue:
			all[path] = ellipsis(quoted(kind.StringValue), maxChangeText)
		case *structpb.Value_NumberValue:
			all[path] = strconv.FormatFloat(kind.NumberValue, 'g', -1, 64)
		case *structpb.Value_BoolValue:
			all[path] = strconv.FormatBool(kind.BoolValue)
		default:
			all[path] = "null"
		}
	}
	for name, v := range s.GetFields() {
		walk(name, v)
	}
	return all
}

// quoted is a text as JSON writes it, so that it stays one line.
func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(text)
}

// cutText says of what is not in the record how large it was, and enough of its hash to
// tell it from another.
func cutText(cut map[string]*structpb.Value) string {
	text := fmt.Sprintf("(%.0f bytes", cut["bytes"].GetNumberValue())
	if sum := cut["sha256"].GetStringValue(); sum != "" {
		text += ", SHA-256 " + sum[:min(12, len(sum))] + "…"
	}
	return text + ")"
}

func ellipsis(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit]) + "…"
}

// compareNatural orders names, and numbers in them by their values.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		n, m := digits(a), digits(b)
		if n > 0 && m > 0 {
			if x, y := strings.TrimLeft(a[:n], "0"), strings.TrimLeft(b[:m], "0"); x != y {
				if len(x) != len(y) {
					return len(x) - len(y)
				}
				return strings.Compare(x, y)
			}
			a, b = a[n:], b[m:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

// digits is the number of digits that a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
