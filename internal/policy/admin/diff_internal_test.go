package admin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnifiedDiff_ShowsWhatDiffersWithItsSurroundings(t *testing.T) {
	numbers := func(skip ...string) string {
		var b strings.Builder
		for n := range strings.FieldsSeq("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen") {
			changed := false
			for _, s := range skip {
				changed = changed || s == n
			}
			if changed {
				n = strings.ToUpper(n)
			}
			b.WriteString(n + "\n")
		}
		return b.String()
	}
	for _, tt := range []struct{ name, was, is, want string }{
		{"equal", "a\n", "a\n", ""},
		{"one of one", "a\n", "b\n", "@@ -1,1 +1,1 @@\n-a\n+b\n"},
		{"from nothing", "", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"to nothing", "a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
		{"without an end", "a", "a\n", "@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"in the middle", numbers(), numbers("seven"), "@@ -4,7 +4,7 @@\n four\n five\n six\n-seven\n+SEVEN\n eight\n nine\n ten\n"},
		{
			"near each other", numbers(), numbers("five", "eight"),
			"@@ -2,10 +2,10 @@\n two\n three\n four\n-five\n+FIVE\n six\n seven\n-eight\n+EIGHT\n nine\n ten\n eleven\n",
		},
		{
			"far from each other", numbers(), numbers("two", "fourteen"),
			"@@ -1,5 +1,5 @@\n one\n-two\n+TWO\n three\n four\n five\n@@ -11,5 +11,5 @@\n eleven\n twelve\n thirteen\n-fourteen\n+FOURTEEN\n fifteen\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want != "" {
				want = "--- old\n+++ new\n" + want
			}
			got := unifiedDiff("old", "new", tt.was, tt.is)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("diff (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnifiedDiff_IsWhatPatchTakes(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("there is no patch on this machine")
	}
	texts := []string{
		"", "a\n", "a\nb\nc\nd\ne\nf\ng\nh\n", "a\nb\nX\nd\ne\nf\ng\nh", "Y\na\nb\nc\nd\ne\nf\ng\nh\nZ\n", strings.Repeat("same\n", 30) + "end\n",
		strings.Repeat("same\n", 12) + "mid\n" + strings.Repeat("same\n", 18) + "end\n", "h\ng\nf\ne\nd\nc\nb\na\n",
	}
	for _, was := range texts {
		for _, is := range texts {
			if was == is {
				continue
			}
			file := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(file, []byte(was), 0o600); err != nil {
				t.Fatal(err)
			}
			diff := unifiedDiff("f", "f", was, is)
			cmd := exec.CommandContext(t.Context(), patch, "--quiet", "--posix", file)
			cmd.Stdin = strings.NewReader(diff)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, out, diff)
			}
			got, err := os.ReadFile(file)
			if err != nil && is != "" {
				t.Fatal(err)
			}
			if string(got) != is {
				t.Errorf("from %q to %q came %q by\n%s", was, is, got, diff)
			}
		}
	}
}

func TestUnifiedDiff_OfVeryLongTextsTakesLittle(t *testing.T) {
	was, is := strings.Repeat("a\nb\n", 10_000), strings.Repeat("c\nd\n", 10_000)
	if got := unifiedDiff("old", "new", was, is); strings.Count(got, "\n-") < 20_000-1 || strings.Count(got, "\n+") < 20_000 {
		t.Error("lines are missing")
	}
}
