package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	identityv1 "github.com/signalbox-dev/signalbox/gen/signalbox/identity/v1"
	registryv1 "github.com/signalbox-dev/signalbox/gen/signalbox/registry/v1"
	"github.com/signalbox-dev/signalbox/internal/audit"
)

// smell is what the name of a field that may hold a secret looks like: far more than
// what does.
var smell = regexp.MustCompile(`secret|passw|passphrase|token|credential|assertion|private|cookie|authorization|key_json|(api|client|access|signing)_key`)

// harmless are fields that smell, and hold no secret. Whoever adds one here has made sure
// of that.
var harmless = []string{
	"signalbox.identity.v1.Key.secret_hint",
	"signalbox.registry.v1.OAuth2ClientCredentials.token_url",
	"signalbox.registry.v1.GoogleServiceAccount.private_key_id",
	"signalbox.registry.v1.GoogleServiceAccount.token_url",
	"signalbox.registry.v1.TokenExchange.token_url",
	"signalbox.registry.v1.AwsSigV4.access_key_id",
}

// ownMessages calls f with every message of the gateway's own schemas.
func ownMessages(f func(protoreflect.MessageDescriptor)) {
	var each func(list protoreflect.MessageDescriptors)
	each = func(list protoreflect.MessageDescriptors) {
		for i := range list.Len() {
			if !list.Get(i).IsMapEntry() {
				f(list.Get(i))
			}
			each(list.Get(i).Messages())
		}
	}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "signalbox.") {
			each(file.Messages())
		}
		return true
	})
}

const hidden = "hidden-canary"

// filled returns a message with a text in each of its fields, at every level: hidden
// where a secret may be.
func filled(d protoreflect.MessageDescriptor, depth int) protoreflect.Message {
	m := dynamicpb.NewMessage(d)
	text := func(f protoreflect.FieldDescriptor) protoreflect.Value {
		value := "shown"
		if marked(f) || smell.MatchString(string(f.Name())) && !slices.Contains(harmless, string(f.FullName())) {
			value = hidden
		}
		if f.Kind() == protoreflect.BytesKind {
			return protoreflect.ValueOfBytes([]byte(value))
		}
		return protoreflect.ValueOfString(value)
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		one := func() (protoreflect.Value, bool) {
			switch {
			case f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind:
				return text(f), true
			case f.Message() != nil && depth > 0 && strings.HasPrefix(string(f.Message().FullName()), "signalbox."):
				return protoreflect.ValueOfMessage(filled(f.Message(), depth-1)), true
			}
			return protoreflect.Value{}, false
		}
		switch {
		case f.IsMap():
			// A secret among the values of a map would need a message of its own.
			if f.MapValue().Message() != nil && depth > 0 && strings.HasPrefix(string(f.MapValue().Message().FullName()), "signalbox.") &&
				f.MapKey().Kind() == protoreflect.StringKind {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfMessage(filled(f.MapValue().Message(), depth-1)))
			} else if f.MapValue().Kind() == protoreflect.StringKind && f.MapKey().Kind() == protoreflect.StringKind {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), text(f))
			}
		case f.IsList():
			if v, ok := one(); ok {
				m.Mutable(f).List().Append(v)
			}
		default:
			if v, ok := one(); ok {
				m.Set(f, v)
			}
		}
	}
	return m
}

func marked(f protoreflect.FieldDescriptor) bool {
	options, ok := f.Options().(*descriptorpb.FieldOptions)
	return ok && options.GetDebugRedact()
}

func TestDocument_OfNoMessageThereIsHasASecret(t *testing.T) {
	messages, secrets := 0, 0
	ownMessages(func(d protoreflect.MessageDescriptor) {
		messages++
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if f.Kind() != protoreflect.StringKind && f.Kind() != protoreflect.BytesKind {
				continue
			}
			smells := marked(f) || smell.MatchString(string(f.Name()))
			if isSecret(f) {
				secrets++
			}
			if known := slices.Contains(harmless, string(f.FullName())); smells && isSecret(f) == known {
				t.Errorf("%s: taken for a secret %t, known to be harmless %t; mark it debug_redact, or add it to the harmless ones",
					f.FullName(), isSecret(f), known)
			}
		}
		// Members of a oneof take each other's place, so each is tried alone.
		m := filled(d, 4)
		try := func(m protoreflect.Message) {
			if text := document(m.Interface()); strings.Contains(string(text), hidden) || strings.Contains(string(text), "aGlkZGVuLWNhbmFyeQ") {
				t.Errorf("%s: %s", d.FullName(), text)
			}
		}
		try(m)
		for i := range d.Oneofs().Len() {
			fields := d.Oneofs().Get(i).Fields()
			for j := range fields.Len() {
				whole := filled(d, 4)
				alone := dynamicpb.NewMessage(d)
				f := fields.Get(j)
				if f.Message() != nil && strings.HasPrefix(string(f.Message().FullName()), "signalbox.") {
					alone.Set(f, protoreflect.ValueOfMessage(filled(f.Message(), 4)))
					try(alone)
				} else if whole.Has(f) {
					alone.Set(f, whole.Get(f))
					try(alone)
				}
			}
		}
	})
	if messages < 40 || secrets < 2 {
		t.Errorf("%d messages with %d secrets were looked at", messages, secrets)
	}
	text := string(document(&identityv1.CreateKeyResponse{Key: &identityv1.Key{Name: "teams/a/keys/k", SecretHint: "sb_abcd"}, Secret: "sb_all"}))
	if want := `{"key":{"name":"teams/a/keys/k","secretHint":"sb_abcd"},"secret":"[redacted]"}`; text != want {
		t.Errorf("document = %s, want %s", text, want)
	}
}

func TestDocument_HasSmallCardsAsJSONAndTheHashOfOthers(t *testing.T) {
	large := `{"name":"` + strings.Repeat("x", maxRecordedCard) + `"}`
	for name, tc := range map[string]struct{ card, want string }{
		"small":           {`{"name" : "E", "n": 12345678901234567890, "z":1, "a":{}}`, `{"name":"E","n":12345678901234567890,"z":1,"a":{}}`},
		"large":           {large, `{"@cut":{"bytes":4107,"sha256":"`},
		"no object":       {`[1]`, `{"@cut":{"bytes":3,"sha256":"`},
		"a member twice":  {`{"a":1,"a":2}`, `{"@cut":{"bytes":13,`},
		"a large number":  {`{"a":1e999}`, `{"@cut":{"bytes":11,`},
		"a broken string": {`{"a":"\ud800"}`, `{"@cut":{"bytes":14,`},
	} {
		t.Run(name, func(t *testing.T) {
			a := &registryv1.Agent{Name: "agents/a", CardJson: []byte(tc.card)}
			text := document(a)
			var got struct{ CardJSON json.RawMessage }
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(got.CardJSON), tc.want) {
				t.Errorf("card %s, want %s", got.CardJSON, tc.want)
			}
			if string(a.GetCardJson()) != tc.card {
				t.Error("the agent itself was changed")
			}
			if documentOf(text).GetFields()["name"].GetStringValue() != "agents/a" {
				t.Errorf("the API does not show %s", text)
			}
		})
	}
	if documentOf(nil) != nil || documentOf([]byte(`{"a":1e999}`)).GetFields()[cutMember] == nil {
		t.Error("what is none, or cannot be shown, is not told apart")
	}
}

func TestDocument_IsBoundedAndSaysWhatIsCut(t *testing.T) {
	many := func(n, size int) (texts []string) {
		for i := range n {
			texts = append(texts, fmt.Sprintf("%d-%s", i, strings.Repeat("<", size)))
		}
		return texts
	}
	for name, a := range map[string]*registryv1.Agent{
		"a long text":     {Description: strings.Repeat("\u2028", 20_000), DisplayName: "kept"},
		"many texts":      {Tags: many(1000, 100), DisplayName: "kept"},
		"many long texts": {Tags: many(3000, 1500), CardKeys: strings.Repeat("k", 60_000), DisplayName: "kept"},
		"everything": {
			Tags: many(300, 900), Aliases: many(300, 900), Warnings: many(300, 900), ForwardHeaders: many(300, 900), PushAllowedHosts: many(300, 900),
			DisplayName: "kept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a.Name = "agents/a"
			text := document(a)
			if len(text) > audit.MaxDocument || !strings.Contains(string(text), `"displayName":"kept"`) || !strings.Contains(string(text), `"name":"agents/a"`) ||
				!strings.Contains(string(text), `"@cut":{"bytes":`) {
				t.Errorf("%d bytes: %.300s", len(text), text)
			}
			if !json.Valid(text) {
				t.Error("it is no JSON")
			}
			other := proto.CloneOf(a)
			other.Tags, other.Description = append(other.GetTags(), "more"), other.GetDescription()+"more"
			if string(document(other)) == string(text) {
				t.Error("a change in what is cut does not show")
			}
			if string(document(proto.CloneOf(a))) != string(text) {
				t.Error("equal resources have documents that differ")
			}
		})
	}
}

func TestDocument_NamesNoPasswordInAnAddress(t *testing.T) {
	got := string(document(&registryv1.Agent{Name: "agents/a", Interfaces: []*registryv1.Interface{{Url: "https://u:p@h/x?y=z@w"}}}))
	if diff := cmp.Diff(`{"interfaces":[{"url":"https://[redacted]@h/x?y=z@w"}],"name":"agents/a"}`, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}
