package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
	exptypes "github.com/cedar-policy/cedar-go/x/exp/types"
	"github.com/google/go-cmp/cmp"
)

// corpus is one case of the corpora that come with the module: what Cedar's reference
// implementation said about it.
type corpus struct {
	Schema   string `json:"schema"`
	Policies string `json:"policies"`
	Entities string `json:"entities"`
	Requests []struct {
		Principal types.EntityUID  `json:"principal"`
		Action    types.EntityUID  `json:"action"`
		Resource  types.EntityUID  `json:"resource"`
		Context   types.Record     `json:"context"`
		Decision  types.Decision   `json:"decision"`
		Reasons   []types.PolicyID `json:"reason"`
		Errors    []types.PolicyID `json:"errors"`
	} `json:"requests"`
}

// validation is what the reference implementation's validator said about the policies.
type validation struct {
	PolicyValidation struct {
		PerPolicy map[string]struct {
			Strict       bool     `json:"strict"`
			StrictErrors []string `json:"strictErrors"`
		} `json:"perPolicy"`
	} `json:"policyValidation"`
}

// module is where the module's files are.
func module(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cedar-policy/cedar-go").Output()
	if err != nil {
		t.Skipf("the module's files cannot be found: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// archive reads the files of a packed corpus.
func archive(t *testing.T, name string) map[string][]byte {
	t.Helper()
	packed, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// The requests of the module's corpus, decided by our index and evaluation.
func TestCorpus_RequestsAreDecidedAsByTheReferenceImplementation(t *testing.T) {
	files := archive(t, filepath.Join(module(t), "corpus-tests.tar.gz"))
	validations := archive(t, filepath.Join(module(t), "corpus-tests-validation.tar.gz"))
	cases, requests, policies := 0, 0, 0
	for name, content := range files {
		if !strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".entities.json") {
			continue
		}
		if testing.Short() && cases == 200 {
			break
		}
		var c corpus
		if err := json.Unmarshal(content, &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cases++
		base := strings.TrimSuffix(strings.TrimPrefix(name, "corpus-tests/"), ".json")
		list := checkValidation(t, base, files[c.Schema], files[c.Policies], validations["corpus-tests-validation/"+base+".validation.json"])
		policies += len(list)

		var statements []*statement
		for i, cp := range list {
			s := newStatement(Policy{ID: "policy", Mode: ModeEnforce}, cp)
			s.id = string(corpusID(i))
			s.key = corpusID(i)
			statements = append(statements, s)
		}
		x := index{}.edit(nil, statements)
		entities := corpusEntities(t, files[c.Schema], files[c.Entities])
		for i, r := range c.Requests {
			requests++
			look := &lookup{entities: &FixedEntities{entities: entities, revision: 1}}
			action := &actionModel{uid: r.Action, within: look.closure(r.Action)}
			found := x.candidates(look.closure(r.Principal), action, look.closure(r.Resource))
			got := verdict(evaluate(found, look, cedar.Request{
				Principal: r.Principal, Action: r.Action, Resource: r.Resource, Context: r.Context,
			}), func(outcome) bool { return true })

			// Ours denies when a forbid fails; the reference passes over it.
			wantPermit, failedForbid := bool(r.Decision), false
			var failing []types.PolicyID
			for _, f := range got.Failing {
				failing = append(failing, types.PolicyID(f.Statement))
				failedForbid = failedForbid || f.Effect == "forbid"
			}
			slices.Sort(failing)
			slices.Sort(r.Errors)
			if diff := cmp.Diff(append([]types.PolicyID{}, r.Errors...), append([]types.PolicyID{}, failing...)); diff != "" {
				t.Errorf("%s, request %d: failing:\n%s", base, i, diff)
			}
			if got.Permit != (wantPermit && !failedForbid) {
				t.Errorf("%s, request %d: permit %v, want %v", base, i, got.Permit, wantPermit)
			}
			if failedForbid {
				continue
			}
			slices.Sort(r.Reasons)
			slices.Sort(got.Deciding)
			deciding := []types.PolicyID{}
			for _, id := range got.Deciding {
				deciding = append(deciding, types.PolicyID(id))
			}
			if diff := cmp.Diff(append([]types.PolicyID{}, r.Reasons...), deciding); diff != "" {
				t.Errorf("%s, request %d: deciding:\n%s", base, i, diff)
			}
		}
	}
	t.Logf("%d cases, %d policies validated, %d requests decided", cases, policies, requests)
	if cases < 200 {
		t.Errorf("only %d cases were found", cases)
	}
}

func corpusID(i int) types.PolicyID { return types.PolicyID("policy" + strconv.Itoa(i)) }

func corpusEntities(t *testing.T, schemaText, content []byte) types.EntityMap {
	t.Helper()
	var s schema.Schema
	if err := s.UnmarshalCedar(schemaText); err != nil {
		t.Fatal(err)
	}
	rs, err := s.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	var entities exptypes.EntityMap
	if err := entities.UnmarshalJSONWithSchema(content, rs); err != nil {
		t.Fatal(err)
	}
	return types.EntityMap(entities)
}

// checkValidation validates the policies of a case and returns them.
func checkValidation(t *testing.T, name string, schemaText, policyText, expected []byte) cedar.PolicyList {
	t.Helper()
	var s schema.Schema
	if err := s.UnmarshalCedar(schemaText); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	rs, err := s.Resolve()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	list, err := cedar.NewPolicyListFromBytes(name, policyText)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var want validation
	if err := json.Unmarshal(expected, &want); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	v := validate.New(rs)
	for i, p := range list {
		id := string(corpusID(i))
		w, ok := want.PolicyValidation.PerPolicy[id]
		if !ok {
			t.Errorf("%s: nothing is known of %s", name, id)
			continue
		}
		got := []string{}
		if err := v.Policy(id, (*xast.Policy)(p.AST())); err != nil {
			for _, e := range flatten(err) {
				got = append(got, e.Error())
			}
		}
		// The two differ in the parentheses with which they write expressions.
		for _, list := range [][]string{got, w.StrictErrors} {
			for i, message := range list {
				list[i] = strings.NewReplacer("(", "", ")", "").Replace(message)
			}
			slices.Sort(list)
		}
		if (len(got) == 0) != w.Strict || !slices.Equal(got, w.StrictErrors) {
			t.Errorf("%s, %s: the validator says\n%s\nthe reference\n%s", name, id, strings.Join(got, "\n"), strings.Join(w.StrictErrors, "\n"))
		}
	}
	return list
}

// The module's validation corpus: each case is about one thing that a validator finds.
func TestCorpus_PoliciesAreValidatedAsByTheReferenceImplementation(t *testing.T) {
	dir := filepath.Join(module(t), "x/exp/schema/validate")
	names, err := filepath.Glob(filepath.Join(dir, "testdata/*.validation.json"))
	if err != nil || len(names) < 50 {
		t.Fatalf("%d cases: %v", len(names), err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	policies := 0
	for _, name := range names {
		base := strings.TrimSuffix(name, ".validation.json")
		var c corpus
		if err := json.Unmarshal(read(base+".json"), &c); err != nil {
			t.Fatal(err)
		}
		list := checkValidation(t, filepath.Base(base), read(filepath.Join(dir, c.Schema)), read(filepath.Join(dir, c.Policies)), read(name))
		policies += len(list)
	}
	t.Logf("%d cases, %d policies", len(names), policies)
}
