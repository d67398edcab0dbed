package cardsign_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	a2apb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signalbox-dev/signalbox/internal/cardsign"
	"github.com/signalbox-dev/signalbox/internal/signkey"
)

const (
	repository = "../.."
	// peerTimeout bounds an SDK that works, setupTimeout its installation.
	peerTimeout  = time.Minute
	setupTimeout = 5 * time.Minute
)

// peerRequest is what the programs in testdata read.
type peerRequest struct {
	JKU     string            `json:"jku"`
	JWKS    json.RawMessage   `json:"jwks"`
	Private json.RawMessage   `json:"private,omitempty"`
	Verify  []json.RawMessage `json:"verify"`
	Sign    []json.RawMessage `json:"sign"`
}

// peerAnswer is what they write.
type peerAnswer struct {
	Verified []string
	Signed   []json.RawMessage
}

// peer runs a program that has an SDK.
type peer func(t *testing.T, r peerRequest) peerAnswer

func run(t *testing.T, limit time.Duration, input []byte, env []string, argv ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.Env = bytes.NewReader(input), &stderr, append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, &stderr)
	}
	return out
}

func ask(t *testing.T, r peerRequest, env []string, argv ...string) peerAnswer {
	t.Helper()
	r.JKU = jku
	if r.Verify == nil {
		r.Verify = []json.RawMessage{}
	}
	if r.Sign == nil {
		r.Sign = []json.RawMessage{}
	}
	input, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, peerTimeout, input, env, argv...)
	var answer peerAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v said %s: %v", argv, out, err)
	}
	if len(answer.Verified) != len(r.Verify) || len(answer.Signed) != len(r.Sign) {
		t.Fatalf("%v said %s", argv, out)
	}
	return answer
}

func javascript(t *testing.T, r peerRequest) peerAnswer {
	t.Helper()
	peers := filepath.Join(repository, "internal", "gatewaytest", "peers")
	run(t, setupTimeout, nil, nil, "sh", filepath.Join(peers, "setup.sh"), "js")
	packages, err := filepath.Abs(filepath.Join(peers, "js"))
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, r, nil, "node", "testdata/verifier.mjs", packages)
}

func python(t *testing.T, r peerRequest) peerAnswer {
	t.Helper()
	return askPython(t, r, "py", "testdata/verifier.py")
}

func python03(t *testing.T, r peerRequest) peerAnswer {
	t.Helper()
	return askPython(t, r, "py03", "testdata/verifier03.py")
}

func askPython(t *testing.T, r peerRequest, kind, program string) peerAnswer {
	t.Helper()
	run(t, setupTimeout, nil, nil, "sh", filepath.Join(repository, "internal", "gatewaytest", "peers", "setup.sh"), kind)
	interpreter := filepath.Join(repository, ".cache", "venv-"+kind, "bin", "python")
	return ask(t, r, []string{"PYTHONPATH=" + pythonExtra(t, interpreter)}, interpreter, program)
}

// pythonExtra installs what the SDK needs beside its own requirements for signatures, and
// returns the folder.
func pythonExtra(t *testing.T, interpreter string) string {
	t.Helper()
	cache, err := filepath.Abs(filepath.Join(repository, ".cache"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "cardsign-py")
	installed := filepath.Join(dir, ".installed")
	if got, err := os.ReadFile(installed); err == nil && bytes.Equal(got, want) {
		return dir
	}
	// Another test process may do the same: each in a folder of its own, the last one stays.
	fresh := filepath.Join(cache, "cardsign-py-"+rand.Text())
	run(t, setupTimeout, nil, nil, interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--target", fresh, "-r", "testdata/requirements.txt")
	if err := errors.Join(os.WriteFile(filepath.Join(fresh, ".installed"), want, 0o600), os.RemoveAll(dir), os.Rename(fresh, dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// golang verifies as a client of a2a-go would have to, which has no verifier: over the
// SDK's own types and what they write, with the standard library's ECDSA and no code of
// this package.
func golang(t *testing.T, r peerRequest) peerAnswer {
	t.Helper()
	var answer peerAnswer
	for _, text := range r.Verify {
		answer.Verified = append(answer.Verified, golangVerdict(t, text, r.JWKS))
	}
	if len(r.Sign) > 0 {
		t.Fatal("a2a-go has no signer")
	}
	return answer
}

func golangVerdict(t *testing.T, text, jwks []byte) string {
	t.Helper()
	var message a2apb.AgentCard
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &message); err != nil {
		return err.Error()
	}
	signatures := message.GetSignatures()
	message.Signatures = nil
	again, err := protojson.Marshal(&message)
	if err != nil {
		return err.Error()
	}
	var members any
	if err := json.Unmarshal(again, &members); err != nil {
		return err.Error()
	}
	filled, err := json.Marshal(withoutEmpty(members))
	if err != nil {
		return err.Error()
	}
	payload := jsontext.Value(filled)
	if err := payload.Canonicalize(); err != nil {
		return err.Error()
	}
	var set struct{ Keys []struct{ Kid, X, Y string } }
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	for _, s := range signatures {
		var header struct{ Kid, Alg, JKU string }
		protected, err := base64.RawURLEncoding.DecodeString(s.GetProtected())
		if err != nil {
			return err.Error()
		}
		if err := json.Unmarshal(protected, &header); err != nil || header.Alg != "ES256" || header.JKU != jku {
			return "header " + string(protected)
		}
		raw, err := base64.RawURLEncoding.DecodeString(s.GetSignature())
		if err != nil || len(raw) != 64 {
			return "signature " + s.GetSignature()
		}
		digest := sha256.Sum256([]byte(s.GetProtected() + "." + base64.RawURLEncoding.EncodeToString(payload)))
		for _, key := range set.Keys {
			point := slices.Concat([]byte{4}, decode(t, key.X), decode(t, key.Y))
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
			if err != nil {
				t.Fatal(err)
			}
			if key.Kid == header.Kid && ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
				return ""
			}
		}
	}
	return "no valid signature over " + string(payload)
}

// withoutEmpty does what the Python and JavaScript SDKs do before they make a card
// canonical.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, member := range v {
			if member = withoutEmpty(member); member != nil {
				kept[name] = member
			}
		}
		if len(kept) > 0 {
			return kept
		}
	case []any:
		var kept []any
		for _, element := range v {
			if element = withoutEmpty(element); element != nil {
				kept = append(kept, element)
			}
		}
		if len(kept) > 0 {
			return kept
		}
	case string:
		if v != "" {
			return v
		}
	default:
		return v
	}
	return nil
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSign_SDKsVerifyTheCardsAndNoticeEveryChange(t *testing.T) {
	keys := openKeys(t, signkey.Config{})
	signer := newSigner(t, keys)
	for _, sdk := range []struct {
		name   string
		verify peer
		cards  []string
	}{
		{"a2a-python", python, []string{"plain", "rich", "union"}},
		{"a2a-js", javascript, []string{"plain", "rich", "union"}},
		{"a2a-go", golang, []string{"plain", "rich", "union"}},
		{"a2a-python 0.3", python03, []string{"old", "union"}},
	} {
		t.Run(sdk.name, func(t *testing.T) {
			names, request := slices.Clone(sdk.cards), peerRequest{JWKS: keys.JWKS()}
			for _, name := range sdk.cards {
				request.Verify = append(request.Verify, sign(t, signer, card(t, name)))
			}
			good := len(names)
			for i, signed := range request.Verify[:good] {
				for change, text := range tampered(signed) {
					if sdk.name == "a2a-python 0.3" && change == "version" {
						continue // of what it does not read
					}
					names, request.Verify = append(names, names[i]+" with another "+change), append(request.Verify, text)
				}
			}
			for i, verdict := range sdk.verify(t, request).Verified {
				if (verdict == "") != (i < good) {
					t.Errorf("%s: %q", names[i], verdict)
				}
			}
		})
	}
}

func TestVerify_TakesCardsThatSDKsSigned(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "agent", Algorithm: string(jose.ES256), Use: "sig"}
	jwks := publish(t, key)
	secret, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, sdk := range []struct {
		name  string
		sign  peer
		cards []string
	}{
		{"a2a-python", python, []string{"plain", "rich"}},
		{"a2a-js", javascript, []string{"plain", "rich"}},
		{"a2a-python 0.3", python03, []string{"old"}},
	} {
		t.Run(sdk.name, func(t *testing.T) {
			request := peerRequest{JWKS: jwks, Private: secret}
			for _, name := range sdk.cards {
				request.Sign = append(request.Sign, card(t, name))
			}
			for i, signed := range sdk.sign(t, request).Signed {
				if kid, err := cardsign.Verify(signed, jwks); err != nil || kid != "agent" {
					t.Errorf("%s: %q, %v\n%s", sdk.cards[i], kid, err, signed)
					continue
				}
				for change, text := range tampered(signed) {
					if kid, err := cardsign.Verify(text, jwks); !errors.Is(err, cardsign.ErrInvalid) {
						t.Errorf("%s with another %s: %q, %v, want ErrInvalid", sdk.cards[i], change, kid, err)
					}
				}
			}
		})
	}
}
