package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
)

// hostile is JSON with all that a terminal could obey: DEL, NEL, CSI, the first and the
// last of C1, in a name too, and a byte that is CSI to terminals without UTF-8.
const hostile = "{\"a\u009b2J\":\"x\u007f\u0080\u0085\u009b31m\u009fy\",\r\n\"b\":\"\xe9\u00e9\u00a0\U0001f600\",\"c\":\"\x9b\"}"

// obeyed returns the first character that a terminal would obey.
func obeyed(text string) string {
	for i, r := range text {
		if r != '\n' && r != '\t' && r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' && !strings.HasPrefix(text[i:], "\ufffd") {
			return text[max(0, i-10):min(len(text), i+10)]
		}
	}
	return ""
}

func TestJSON_OfOthersMovesNoCursor(t *testing.T) {
	agent := &registryv1.Agent{Name: "agents/a", DisplayName: "x\u009b2J\u007f\u0085y"}
	tests := map[string]func(p *program) error{
		"value":   func(p *program) error { return p.printJSON([]byte(hostile)) },
		"record":  func(p *program) error { return p.printRecord([]byte(hostile)) },
		"message": func(p *program) error { return p.print(agent, nil) },
		"data part": func(p *program) error {
			text, err := part{Data: json.RawMessage(hostile)}.describe()
			if err != nil {
				return err
			}
			return p.line(text)
		},
	}
	for name, show := range tests {
		for _, format := range []output{outputJSON, outputYAML} {
			p, out, _ := quiet(format)
			if err := show(p); err != nil {
				t.Errorf("%s as %s: %v", name, format, err)
			}
			if bad := obeyed(out.String()); bad != "" {
				t.Errorf("%s as %s has %q in it:\n%q", name, format, bad, out)
			}
			if !strings.Contains(strings.ToLower(out.String()), "9b") {
				t.Errorf("%s as %s lost a character:\n%q", name, format, out)
			}
		}
	}
}

func TestEscapeControls_KeepsTheValue(t *testing.T) {
	var before, after any
	if err := json.Unmarshal([]byte(hostile), &before); err != nil {
		t.Fatal(err)
	}
	escaped := escapeControls([]byte(hostile))
	if err := json.Unmarshal(escaped, &after); err != nil {
		t.Fatalf("escaped it is no JSON: %v: %s", err, escaped)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("value (-before +after):\n%s", diff)
	}
	if !strings.Contains(string(escaped), `"a\u009b2J":"x\u007f\u0080\u0085\u009b31m\u009fy"`) {
		t.Errorf("escaped: %s", escaped)
	}
	const harmless = "{\n\t\"a\": \"é\u00a0\\u001b \U0001f600\ufffd\"\n}"
	if got := string(escapeControls([]byte(harmless))); got != harmless {
		t.Errorf("%q became %q", harmless, got)
	}
}

func TestReplies_AreByteForByteUnlessToATerminal(t *testing.T) {
	reply := `{"jsonrpc":"2.0","id":"1","result":` + hostile + `}`
	for _, terminal := range []bool{false, true} {
		p, out, _ := quiet(outputTable)
		p.terminal = terminal
		show := newReplyPrinter(p, "echo", dialectOf(version10), callFlags{raw: true})
		if err := show.reply([]byte(reply), json.RawMessage(hostile), false); err != nil {
			t.Fatal(err)
		}
		if !terminal && out.String() != reply+"\n" {
			t.Errorf("a program got %q, want the reply as it came", out)
		}
		if bad := obeyed(out.String()); terminal && (bad != "" || !json.Valid(out.Bytes())) {
			t.Errorf("a terminal got %q in %q", bad, out)
		}
	}
}

func TestErrors_MoveNoCursor(t *testing.T) {
	p, _, errs := quiet(outputTable)
	e := &replyError{
		code: -32000, message: "m\u009b2J", reason: "R\u009b2J", fields: []string{"f\x1b[2J"},
		metadata: map[string]string{"setting": "s\u009b2J", "n\u007f": "v\x1b[2J"},
	}
	p.report(nil, &failure{err: e})
	p.report(p.root(), usagef("no\x1b[2J\u009b such command"))
	if bad := obeyed(errs.String()); bad != "" {
		t.Errorf("the error has %q in it:\n%q", bad, errs)
	}
}

func TestIsTerminal_FilesAndMemoryAreNone(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	if isTerminal(file) || isTerminal(w) || isTerminal(&strings.Builder{}) {
		t.Error("a file, a pipe or memory counts as a terminal")
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal can be had here: %v", err)
	}
	defer func() { _ = tty.Close() }()
	if !isTerminal(tty) {
		t.Error("a terminal does not count as one")
	}
}

func TestJSONToYAML_TakesEveryStringOfJSON(t *testing.T) {
	for given, want := range map[string]string{
		`{"a":"\ud83d\ude00"}`:   "a: \"\\U0001F600\"\n",
		`{"a":"x\/y \"\\\" z"}`:  "a: x/y \"\\\" z\n",
		"{\"a\":\"\uffff\"}":     "a: \"\\uFFFF\"\n",
		"{\"a\":\"x\u0085y\"}":   "a: \"x\\Ny\"\n",
		`{"a":"\ud83d"}`:         "a: \ufffd\n",
		"{\n\t\"\\\\\": [1.50]}": "\\:\n  - 1.50\n",
	} {
		got, err := jsonToYAML([]byte(given))
		if err != nil || string(got) != want {
			t.Errorf("jsonToYAML(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
	if got, err := jsonToYAML([]byte(`{"a":"b`)); err == nil {
		t.Errorf("half a value became %q", got)
	}
}
