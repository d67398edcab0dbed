package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/signalbox-dev/signalbox/internal/api/interceptor"
	"github.com/signalbox-dev/signalbox/internal/audit"
)

const (
	// redacted stands where a secret was.
	redacted = "[redacted]"
	// maxRecordedCard is the size up to which a card is recorded itself. All cards are kept
	// with the revisions of their agents.
	maxRecordedCard = 4 << 10
	// maxRecordedText is the size from which texts are cut first.
	maxRecordedText = 1 << 10
	// cutMember names the one member of what stands in the place of a part that is cut.
	cutMember = "@cut"
	// cardField is the field that holds a card as bytes.
	cardField = "card_json"
)

// document writes a resource as the record has it: the JSON that the API shows, without
// secrets, with a card as JSON and not as bytes, and of a bounded size. Members are in the
// order of their names, so that equal resources are equal documents.
func document(m proto.Message) []byte {
	m = proto.Clone(m)
	cards := map[string][]byte{}
	withoutSecrets(m.ProtoReflect(), cards)
	text, err := protojson.Marshal(m)
	var value map[string]any
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		err = decoder.Decode(&value)
	}
	if err != nil {
		return encode(map[string]any{cutMember: map[string]any{"bytes": len(text)}})
	}
	for name, card := range cards {
		value[name] = recordedCard(card)
	}
	return bounded(value)
}

// withoutSecrets takes everything out of a message that must not be recorded, and cards
// on its first level, which it returns by the names that they have in JSON.
func withoutSecrets(m protoreflect.Message, cards map[string][]byte) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case isSecret(f):
			hide(m, f)
		case cards != nil && f.Name() == cardField && f.Kind() == protoreflect.BytesKind && !f.IsList():
			cards[f.JSONName()] = v.Bytes()
			m.Clear(f)
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, inner protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					withoutSecrets(inner.Message(), nil)
				}
				return true
			})
		case f.Message() != nil && f.IsList():
			for i := range v.List().Len() {
				withoutSecrets(v.List().Get(i).Message(), nil)
			}
		case f.Message() != nil:
			withoutSecrets(v.Message(), nil)
		case f.Kind() == protoreflect.StringKind && f.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(interceptor.WithoutUserInfo(v.List().Get(i).String())))
			}
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(interceptor.WithoutUserInfo(v.String())))
		}
		return true
	})
}

// hide leaves nothing of a field but that it was set.
func hide(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	if f.Kind() == protoreflect.StringKind && !f.IsList() && !f.IsMap() {
		m.Set(f, protoreflect.ValueOfString(redacted))
		return
	}
	m.Clear(f)
}

// isSecret tells whether a field may hold a secret: one that is marked so in its schema,
// or a text whose name says so.
func isSecret(f protoreflect.FieldDescriptor) bool {
	if options, ok := f.Options().(*descriptorpb.FieldOptions); ok && options.GetDebugRedact() {
		return true
	}
	if f.Kind() != protoreflect.StringKind && f.Kind() != protoreflect.BytesKind {
		return false
	}
	return soundsSecret(string(f.Name()))
}

// soundsSecret tells whether a name is that of a secret, and not of something about one.
func soundsSecret(name string) bool {
	words := strings.Split(strings.ToLower(name), "_")
	switch words[len(words)-1] {
	case "url", "uri", "id", "hint", "name", "type", "header", "sha256", "fingerprint":
		return false
	}
	for i, word := range words {
		switch word {
		case "secret", "secrets", "password", "passphrase", "token", "tokens", "assertion", "authorization", "apikey":
			return true
		case "key":
			if i > 0 && slices.Contains([]string{"api", "private", "client", "access", "signing"}, words[i-1]) {
				return true
			}
		}
	}
	return false
}

// recordedCard is a card as the record has it: itself, when it is small and nothing in
// it is lost or said twice, else its hash.
func recordedCard(card []byte) any {
	if len(card) <= maxRecordedCard && card[0] == '{' && jsontext.Value(card).IsValid() && protojson.Unmarshal(card, &structpb.Struct{}) == nil {
		return json.RawMessage(card)
	}
	return cut(card)
}

// cut stands for a part that is too large.
func cut(part []byte) map[string]any {
	sum := sha256.Sum256(part)
	return map[string]any{cutMember: map[string]any{"bytes": len(part), "sha256": hex.EncodeToString(sum[:])}}
}

// encode writes compact JSON. Nothing that it is given cannot be written.
func encode(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return []byte("{}")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// bounded writes an object and cuts what makes it too large: long texts first, then the
// largest of its members.
func bounded(value map[string]any) []byte {
	text := encode(value)
	if len(text) <= audit.MaxDocument {
		return text
	}
	for name, member := range value {
		value[name] = withoutLongTexts(member)
	}
	if text = encode(value); len(text) <= audit.MaxDocument {
		return text
	}
	type member struct {
		name string
		text []byte
	}
	var members []member
	for name, v := range value {
		members = append(members, member{name, encode(v)})
	}
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(len(b.text), len(a.text)), cmp.Compare(a.name, b.name))
	})
	for _, m := range members {
		value[m.name] = cut(m.text)
		if text = encode(value); len(text) <= audit.MaxDocument {
			return text
		}
	}
	return encode(cut(text)) // a thousand members of a resource
}

func withoutLongTexts(value any) any {
	switch v := value.(type) {
	case string:
		if len(v) > maxRecordedText {
			return cut([]byte(v))
		}
	case []any:
		for i := range v {
			v[i] = withoutLongTexts(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withoutLongTexts(v[name])
		}
	}
	return value
}
