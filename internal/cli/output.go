package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// output is a way to print results.
type output string

const (
	outputTable output = "table"
	outputJSON  output = "json"
	outputYAML  output = "yaml"
)

func outputs() []string {
	return []string{string(outputTable), string(outputJSON), string(outputYAML)}
}

// String returns the name of the format.
func (o *output) String() string { return string(*o) }

// Set takes the name of a format.
func (o *output) Set(text string) error {
	if !slices.Contains(outputs(), text) {
		return fmt.Errorf("it is one of %s", strings.Join(outputs(), ", "))
	}
	*o = output(text)
	return nil
}

// Type names the type in the help.
func (o *output) Type() string { return "format" }

// table is a result for people. Without a header it is a list of properties.
type table struct {
	header []string
	rows   [][]string
	// below follows after an empty line.
	below *table
	// empty is what is said on standard error when there are no rows.
	empty string
}

// print prints a message in the chosen format; show makes the table of it.
func (p *program) print(msg proto.Message, show func() table) error {
	if p.flags.output == outputTable {
		return p.printTable(show())
	}
	data, err := protojson.Marshal(msg)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	return p.printJSON(data)
}

// printJSON prints a JSON value as indented JSON or as YAML.
func (p *program) printJSON(data []byte) error {
	text, err := indentJSON(data)
	if p.flags.output == outputYAML {
		text, err = jsonToYAML(data)
	}
	if err != nil {
		return err
	}
	return p.write(text)
}

// printRecord prints one of many results that come one after the other: JSON on a line
// of its own, YAML as a document of its own.
func (p *program) printRecord(data []byte) error {
	var text bytes.Buffer
	if p.flags.output == outputYAML {
		doc, err := jsonToYAML(data)
		if err != nil {
			return err
		}
		text.WriteString("---\n")
		text.Write(doc)
		return p.write(text.Bytes())
	}
	// The encoder of messages puts spaces where it likes.
	if err := json.Compact(&text, data); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	text.WriteByte('\n')
	return p.write(escapeControls(text.Bytes()))
}

func (p *program) printTable(t table) error {
	if len(t.rows) == 0 && t.empty != "" {
		p.note("%s", t.empty)
		return nil
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	rows := t.rows
	if t.header != nil {
		rows = append([][]string{t.header}, rows...)
	}
	for _, row := range rows {
		if t.header == nil && len(row) == 2 && row[1] == "" {
			continue // a property that is not set
		}
		for i, cell := range row {
			if t.header != nil && cell == "" {
				cell = "-"
			}
			if i > 0 {
				_, _ = io.WriteString(w, "\t") // to memory
			}
			_, _ = io.WriteString(w, printable(cell))
		}
		_, _ = io.WriteString(w, "\n")
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	if err := p.write(trimLines(text.Bytes())); err != nil || t.below == nil {
		return err
	}
	if err := p.line(""); err != nil {
		return err
	}
	return p.printTable(*t.below)
}

// trimLines removes the padding of last columns that are shorter than others.
func trimLines(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	for i, line := range lines {
		if rest, ok := bytes.CutSuffix(line, []byte("\n")); ok {
			lines[i] = append(bytes.TrimRight(rest, " "), '\n')
		}
	}
	return bytes.Join(lines, nil)
}

// printable takes what could move a terminal's cursor out of a text that somebody else
// wrote.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || (r >= 0x7f && r < 0xa0):
			return -1
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // these turn text around
			return -1
		}
		return r
	}, s)
}

func (p *program) write(text []byte) error {
	if _, err := p.out.Write(text); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func (p *program) line(text string) error { return p.write([]byte(text + "\n")) }

// note tells the user something that is no result.
func (p *program) note(format string, args ...any) {
	_, _ = fmt.Fprintf(p.err, format+"\n", args...) // nobody is left to be told
}

func indentJSON(data []byte) ([]byte, error) {
	var text bytes.Buffer
	if err := json.Indent(&text, bytes.TrimSpace(data), "", "  "); err != nil {
		return nil, fmt.Errorf("print JSON: %w", err)
	}
	text.WriteByte('\n')
	return escapeControls(text.Bytes()), nil
}

// escapeControls writes as \u escapes what JSON lets stand in strings although terminals
// obey it, U+007F to U+009F, and what is no UTF-8 as the character for that. The value
// stays the same. JSON has no other control character but the carriage return between
// its tokens, which is left out.
func escapeControls(data []byte) []byte {
	safe := make([]byte, 0, len(data))
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			safe = append(safe, `\ufffd`...)
		case r >= 0x7f && r < 0xa0:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		case r >= ' ' || r == '\n' || r == '\t':
			safe = append(safe, data[:size]...)
		}
		data = data[size:]
	}
	return safe
}

// forTerminal makes JSON that is printed byte for byte safe to be looked at. Programs and
// files get the bytes.
func (p *program) forTerminal(data []byte) []byte {
	if p.terminal {
		return escapeControls(data)
	}
	return data
}

// isTerminal tells whether a person sees what is written. Other devices, such as the
// null one, count as terminals: what they are given does not matter.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// jsonToYAML keeps the order of members and the text of numbers: JSON is read as the
// YAML that it is, and only its style is changed.
func jsonToYAML(data []byte) ([]byte, error) {
	data, err := yamlStrings(data)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("print YAML: %w", err)
	}
	plain(&doc)
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("print YAML: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("print YAML: %w", err)
	}
	return text.Bytes(), nil
}

// yamlStrings writes the strings of a JSON value so that a reader of YAML takes them: it
// knows neither pairs of surrogates nor \/, and refuses some characters unless they are
// escaped.
func yamlStrings(data []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, fmt.Errorf("print YAML: %w", err)
	}
	var out []byte
	for rest := compact.Bytes(); len(rest) > 0; {
		if rest[0] != '"' {
			out, rest = append(out, rest[0]), rest[1:]
			continue
		}
		end := 1
		for rest[end] != '"' { // there is one: it is JSON
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		var value string
		if err := json.Unmarshal(rest[:end+1], &value); err != nil {
			return nil, fmt.Errorf("print YAML: %w", err)
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("print YAML: %w", err)
		}
		text = bytes.ReplaceAll(text, []byte("\uffff"), []byte(`\uffff`))
		text = bytes.ReplaceAll(text, []byte("\ufffe"), []byte(`\ufffe`))
		out, rest = append(out, escapeControls(text)...), rest[end+1:]
	}
	return out, nil
}

func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		// A string such as yes or 12:30:00 is something else to older readers.
		// Only the encoder of Go values knows them all.
		if text, err := yaml.Marshal(n.Value); err == nil && text[0] == '"' {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for _, child := range n.Content {
		plain(child)
	}
}
