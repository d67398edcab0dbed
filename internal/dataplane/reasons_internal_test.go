package dataplane

import (
	"os"
	"regexp"
	"strings"
	"testing"

	errorv1 "github.com/signalbox-dev/signalbox/gen/signalbox/error/v1"
	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// Clients decide by reason, so each that is sent must be one that they can know of.
func TestFaults_EveryReasonIsInTheContract(t *testing.T) {
	reasons := []string{
		jsonrpc.ReasonParse, jsonrpc.ReasonInvalidRequest, jsonrpc.ReasonMethodNotFound, jsonrpc.ReasonInvalidParams,
	}
	literal := regexp.MustCompile(`reason:\s+"([A-Z_]+)"|(?:unauthenticated|unavailable)\("([A-Z_]+)"`)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range literal.FindAllStringSubmatch(string(source), -1) {
			reasons = append(reasons, found[1]+found[2])
		}
	}
	if len(reasons) < 25 {
		t.Fatalf("only %d reasons were found: the test no longer sees how they are written", len(reasons))
	}
	for _, reason := range reasons {
		if _, ok := errorv1.Reason_value["REASON_"+reason]; !ok {
			t.Errorf("reason %s is not in signalbox.error.v1.Reason", reason)
		}
	}
}
