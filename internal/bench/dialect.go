package bench

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// The ids of calls in other dialects than the load generator's own. They are
// found by their mark in whatever form a payload has, JSON or protobuf, and
// put in their place without writing the payload anew.
const (
	callMark    = "sbx-"
	callLen     = len(callMark) + callNonce + callDigits
	callNonce   = 12
	callDigits  = 8
	sampleCall  = callMark + "XXXXXXXXXXXX" + "00000000"
	replyPrefix = "r-"
)

// slug names a dialect in agent ids, paths and benchmarks: "rest-03".
func slug(d a2a.Dialect) string {
	name := map[a2a.Binding]string{a2a.JSONRPC: "jsonrpc", a2a.REST: "rest", a2a.GRPC: "grpc"}[d.Binding]
	return name + "-" + strings.ReplaceAll(d.Version.String(), ".", "")
}

// newCallID returns the id of a first call, unlike those of all other callers.
func newCallID() []byte {
	return []byte(callMark + rand.Text()[:callNonce] + "00000000")
}

// nextCall counts an id up.
func nextCall(id []byte) {
	for i := len(id) - 1; i >= len(id)-callDigits; i-- {
		if id[i]++; id[i] <= '9' {
			return
		}
		id[i] = '0'
	}
}

// findCall returns the id in a payload, nil when there is none.
func findCall(payload []byte) []byte {
	at := bytes.Index(payload, []byte(callMark))
	if at < 0 || len(payload)-at < callLen {
		return nil
	}
	return payload[at : at+callLen]
}

// form is a text that has the id of a call in some places.
type form struct {
	text []byte
	at   []int
}

// newForm returns the form of a text that has [sampleCall] where the id goes.
func newForm(text []byte) form {
	f := form{text: text}
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(sampleCall))
		if i < 0 {
			return f
		}
		f.at = append(f.at, from+i)
		from += i + callLen
	}
}

// put writes an id into the form itself, which then belongs to one goroutine.
func (f form) put(id []byte) {
	for _, at := range f.at {
		copy(f.text[at:], id)
	}
}

// appendTo appends the text with an id to dst.
func (f form) appendTo(dst, id []byte) []byte {
	start := len(dst)
	dst = append(dst, f.text...)
	for _, at := range f.at {
		copy(dst[start+at:], id)
	}
	return dst
}

// What callers and agents say to each other, in the JSON of version 1.0.
var (
	cannedText = filler(800)

	cannedRequest = `{"message":{"messageId":"` + sampleCall + `","role":"ROLE_USER","parts":[{"text":"` + cannedText + `"}]}}`
	cannedShort   = `{"message":{"messageId":"` + sampleCall + `","role":"ROLE_USER","parts":[{"text":"hi"}]}}`
	cannedReply   = `{"message":{"messageId":"` + replyPrefix + sampleCall + `","contextId":"c-` + sampleCall +
		`","role":"ROLE_AGENT","parts":[{"text":"` + cannedText + `"}]}}`

	cannedTask = `{"task":{"id":"t-` + sampleCall + `","contextId":"c-` + sampleCall +
		`","status":{"state":"TASK_STATE_WORKING"}}}`
	cannedPiece = `{"artifactUpdate":{"taskId":"t-` + sampleCall + `","contextId":"c-` + sampleCall +
		`","artifact":{"artifactId":"a-1","parts":[{"text":"piece %d of the answer, a few words long, "}]},"append":%t}}`
	cannedEnd = `{"statusUpdate":{"taskId":"t-` + sampleCall + `","contextId":"c-` + sampleCall +
		`","status":{"state":"TASK_STATE_COMPLETED"}}}`
)

// cannedEvents returns the events of a stream in a form.
func cannedEvents(to translate.Form) ([][]byte, error) {
	events := [][]byte{[]byte(cannedTask)}
	for n := 1; n < streamEvents-1; n++ {
		events = append(events, fmt.Appendf(nil, cannedPiece, n, n > 1))
	}
	events = append(events, []byte(cannedEnd))
	for i, e := range events {
		var err error
		if events[i], err = translate.Event(translate.JSON10, to, e); err != nil {
			return nil, fmt.Errorf("event %d in %s: %w", i+1, to, err)
		}
	}
	return events, nil
}
