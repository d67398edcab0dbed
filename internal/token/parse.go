package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxDepth is how deep the objects and lists of a token or a set of keys may nest.
	maxDepth = 32
	// maxSubject is how many bytes a token's "sub" may have; OpenID Connect has the same.
	maxSubject = 255
	// maxKeyID is how many bytes the name of a key may have.
	maxKeyID = 1024
	// maxTime is the end of the year 9999.
	maxTime = 253402300799
)

// parsed is a token that was read, and is not yet believed.
type parsed struct {
	alg    string
	kid    string // empty for none
	method jwt.SigningMethod
	signed string // what the signature is over
	sig    []byte

	claims   map[string]any
	issuer   string
	subject  string
	audience []string
	expires  time.Time
	// earliest is the later one of "nbf" and "iat", or zero.
	earliest time.Time
}

// window returns from when and until when, exclusively, a token holds.
func (t *parsed) window(skew time.Duration) (from, until time.Time) {
	skew = max(0, min(skew, MaxSkew))
	return t.earliest.Add(-skew), t.expires.Add(skew)
}

// parse reads a token, once: what is checked here is what is used.
func parse(token string) (*parsed, error) {
	head, rest, _ := strings.Cut(token, ".")
	body, tail, _ := strings.Cut(rest, ".")
	if head == "" || body == "" || tail == "" || strings.Contains(tail, ".") {
		return nil, invalid("it does not have three parts")
	}
	t := &parsed{signed: token[:len(head)+1+len(body)]}
	header, err := readPart(head)
	if err != nil {
		return nil, invalid("its header " + err.Error())
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.claims, err = readPart(body); err != nil {
		return nil, invalid("its payload " + err.Error())
	}
	if t.sig, err = decode(tail); err != nil {
		return nil, invalid("its signature " + err.Error())
	}
	return t, t.readClaims()
}

// readHeader takes what it needs of a header. Keys that a header brings along or points
// to are passed over: whose keys are believed is configured.
func (t *parsed) readHeader(header map[string]any) error {
	if _, critical := header["crit"]; critical {
		return invalid("its header has critical extensions, of which none is known")
	}
	alg, _ := header["alg"].(string)
	if t.method = signingMethod(alg); t.method == nil {
		return invalid("its algorithm is none of those that are accepted")
	}
	t.alg = alg
	if value, given := header["typ"]; given {
		typ, _ := value.(string)
		typ = strings.ToLower(typ)
		if typ = strings.TrimPrefix(typ, "application/"); typ != "jwt" && typ != "at+jwt" {
			return invalid("it is of another type than JWT or at+jwt")
		}
	}
	if value, given := header["kid"]; given {
		kid, text := value.(string)
		if !text || len(kid) > maxKeyID {
			return invalid("the name of its key is not a text, or too long")
		}
		t.kid = kid
	}
	return nil
}

func (t *parsed) readClaims() error {
	var ok bool
	if t.issuer, ok = t.claims["iss"].(string); !ok || t.issuer == "" {
		return invalid("it does not say who issued it")
	}
	if t.subject, ok = t.claims["sub"].(string); !ok || t.subject == "" {
		return invalid("it does not say whom it speaks of")
	}
	if len(t.subject) > maxSubject || strings.ContainsFunc(t.subject, unicode.IsControl) {
		return invalid("its subject is longer than 255 bytes, or has control characters")
	}
	if t.audience, ok = texts(t.claims["aud"]); !ok {
		return invalid("its audience is neither a text nor a list of texts")
	}
	exp, given, err := t.time("exp")
	if err != nil {
		return err
	}
	if !given {
		return invalid("it does not say when it expires")
	}
	t.expires = exp
	for _, name := range []string{"nbf", "iat"} {
		at, given, err := t.time(name)
		if err != nil {
			return err
		}
		if given && at.After(t.earliest) {
			t.earliest = at
		}
	}
	return nil
}

// time returns a claim that is a NumericDate (RFC 7519, section 2).
func (t *parsed) time(name string) (at time.Time, given bool, err error) {
	value, given := t.claims[name]
	if !given {
		return time.Time{}, false, nil
	}
	literal, _ := value.(number)
	seconds, err := strconv.ParseFloat(string(literal), 64)
	if err != nil || seconds < 0 || seconds > maxTime {
		return time.Time{}, false, invalid(`its "` + name + `" is not a time`)
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)), true, nil
}

// texts returns a claim that is a text or a list of texts.
func texts(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		list := make([]string, 0, len(value))
		for _, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}

// signingMethod returns how signatures of an algorithm are checked, or nil: "none" and
// those with a shared secret are not accepted from anybody.
func signingMethod(alg string) jwt.SigningMethod {
	switch alg {
	case "RS256":
		return jwt.SigningMethodRS256
	case "RS384":
		return jwt.SigningMethodRS384
	case "RS512":
		return jwt.SigningMethodRS512
	case "ES256":
		return jwt.SigningMethodES256
	case "ES384":
		return jwt.SigningMethodES384
	case "ES512":
		return jwt.SigningMethodES512
	case "EdDSA":
		return jwt.SigningMethodEdDSA
	}
	return nil
}

var (
	errBase64 = errors.New("is not in base64url")
	errObject = errors.New("is not one JSON object without repeated names")
	errDepth  = errors.New("nests too deep")
)

// readPart reads a part of a token that is an object.
func readPart(part string) (map[string]any, error) {
	b, err := decode(part)
	if err != nil {
		return nil, err
	}
	return readObject(b)
}

// decode reads base64url without padding, in its one form: a token has one spelling.
func decode(part string) ([]byte, error) {
	// The decoder would pass over line breaks.
	if strings.ContainsAny(part, "\r\n") {
		return nil, errBase64
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// number is a JSON number as it was written.
type number string

// readObject reads one JSON object, strictly: names that repeat, texts that are not
// UTF-8 and anything behind it are faults.
func readObject(b []byte) (map[string]any, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(b))
	if dec.PeekKind() != '{' {
		return nil, errObject
	}
	value, err := readValue(dec, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errObject
	}
	return value.(map[string]any), nil
}

// readValue returns the next value as a map[string]any, []any, string, number, bool or nil.
func readValue(dec *jsontext.Decoder, depth int) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, errObject
	}
	switch token.Kind() {
	case '{', '[':
		if depth == 0 {
			return nil, errDepth
		}
		if token.Kind() == '{' {
			return readMembers(dec, depth-1)
		}
		list := []any{}
		for dec.PeekKind() != ']' {
			value, err := readValue(dec, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, errObject
		}
		return list, nil
	case '"':
		return token.String(), nil
	case '0':
		return number(token.String()), nil
	case 't', 'f':
		return token.Bool(), nil
	case 'n':
		return nil, nil
	default:
		return nil, errObject
	}
}

func readMembers(dec *jsontext.Decoder, depth int) (any, error) {
	members := map[string]any{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, errObject
		}
		key := name.String()
		if members[key], err = readValue(dec, depth); err != nil {
			return nil, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, errObject
	}
	return members, nil
}
