package gatewaytest_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest/peers"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

var update = flag.Bool("update", false, "write the table of the matrix into docs/translation.md")

const (
	translationDoc = "../../docs/translation.md"
	matrixBegin    = "<!-- matrix: begin, written by go test -run Matrix -update ./internal/gatewaytest -->\n"
	matrixEnd      = "<!-- matrix: end -->\n"
)

// checkMatrixTable compares the table in the documents with a whole run, or writes it.
func checkMatrixTable(t *testing.T, results *matrixResults) {
	t.Helper()
	rows := peers.Rows()
	for _, c := range cells() {
		// A run of some cells says nothing about the table.
		if len(results.cells[c]) < len(rows) {
			if *update {
				t.Errorf("the table is not written: not all rows of %s with %s have run", c.client, c.agent)
			}
			return
		}
	}
	table := matrixTable(results)
	doc, err := os.ReadFile(translationDoc)
	if err != nil && (!*update || !os.IsNotExist(err)) {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(doc), matrixBegin)
	old, after, ended := strings.Cut(rest, matrixEnd)
	if found != ended {
		t.Fatalf("%s has one of the table's two marks only", translationDoc)
	}
	if old == table {
		return
	}
	if !*update {
		t.Errorf("the table in docs/translation.md is not that of this run; go test -run Matrix -update writes it:\n%s", table)
		return
	}
	if !found && before != "" && !strings.HasSuffix(before, "\n\n") {
		before += "\n"
	}
	if err := os.WriteFile(translationDoc, []byte(before+matrixBegin+table+matrixEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// matrixTable writes the results: a line for each client, a column for each agent.
func matrixTable(results *matrixResults) string {
	var b strings.Builder
	b.WriteString("| client ↓ agent → |")
	for _, d := range a2a.Dialects {
		fmt.Fprintf(&b, " %s |", d)
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(a2a.Dialects)) + "\n")
	rows, noted := peers.Rows(), []string{}
	for _, client := range a2a.Dialects {
		fmt.Fprintf(&b, "| **%s** |", client)
		for _, agent := range a2a.Dialects {
			done, marks, failed := 0, []string{}, []string{}
			for _, row := range rows {
				switch r := results.cells[cell{client, agent}][row.Name]; {
				case !r.ok:
					failed = append(failed, row.Name)
				case r.note != "":
					marks = append(marks, r.note)
				default:
					done++
				}
			}
			slices.Sort(marks)
			marks = slices.Compact(marks)
			noted = append(noted, marks...)
			text := fmt.Sprintf("%d", done)
			if len(marks) > 0 {
				text += " " + strings.Join(marks, " ")
			}
			if len(failed) > 0 {
				text += " **fails: " + strings.Join(failed, ", ") + "**"
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	names := make([]string, len(rows))
	for i, row := range rows {
		names[i] = row.Name
	}
	fmt.Fprintf(&b, "\nEach number is how many of these %d rows give a client what an agent of its own dialect gives it: %s.\n", len(rows), strings.Join(names, ", "))
	b.WriteString("A letter is a row that ends as the line below says:\n\n")
	for _, note := range notes() {
		if mark, _, _ := strings.Cut(note, ":"); slices.Contains(noted, mark) {
			b.WriteString("- " + note + "\n")
		}
	}
	return b.String()
}
