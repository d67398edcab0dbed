package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// What the benchmark agent is asked to do. It travels in the message's
// metadata, the only place that every proxy passes unchanged.
const (
	modeEcho  = "echo"  // one reply as long as the request
	modeBurst = "burst" // all events at once
	modePace  = "pace"  // one event per eventPause
	modePark  = "park"  // one event, then silence until released
)

const (
	methodSend   = "SendMessage"
	methodStream = "SendStreamingMessage"

	streamEvents = 64
	eventPause   = time.Millisecond

	nonceLen = 8
	seqLen   = 12
	idLen    = nonceLen + seqLen

	maxExcerpt = 300
)

// The pieces of a request body, in their order. The agent reads exactly this
// form without a JSON parser, so that its own cost stays small; it falls back
// to a parser for any other form.
const (
	partID     = `{"jsonrpc":"2.0","id":"`
	partMethod = `","method":"`
	partMsgID  = `","params":{"message":{"messageId":"`
	partMode   = `","role":"ROLE_USER","metadata":{"bench":"`
	partText   = `"},"parts":[{"text":"`
	partEnd    = `"}]}}}`
)

// newNonce makes ids of one run differ from those of another.
func newNonce() string {
	s := strconv.FormatInt(time.Now().UnixNano(), 36)
	return s[len(s)-nonceLen:]
}

// request is a whole HTTP/1.1 request of which only the ids change from call
// to call, so that sending it costs one write and no formatting.
type request struct {
	raw    []byte
	id     []byte // aliases raw
	msgID  []byte // aliases raw
	text   []byte
	result []byte // how a reply to this id begins
}

// newRequest builds a call of the agent behind endpoint. The request belongs
// to one goroutine.
func newRequest(endpoint *url.URL, header http.Header, w workload, nonce string) (*request, error) {
	method, accept := methodSend, "application/json"
	if w.kind != kindUnary {
		method, accept = methodStream, "text/event-stream"
	}
	blank := nonce + string(bytes.Repeat([]byte{'0'}, seqLen))
	head := partID + blank + partMethod + method + partMsgID + blank + partMode + w.mode + partText
	text := filler(max(w.size-len(head)-len(partEnd), 1))
	body := head + text + partEnd

	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", endpoint.RequestURI(), endpoint.Host)
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", "application/json")
	h.Set("Accept", accept)
	h.Set("A2A-Version", "1.0")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if err := h.Write(&b); err != nil {
		return nil, fmt.Errorf("write request header: %w", err)
	}
	b.WriteString("\r\n")
	at := b.Len()
	b.WriteString(body)

	r := &request{raw: b.Bytes(), text: []byte(text)}
	r.id = r.raw[at+len(partID):][:idLen]
	r.msgID = r.raw[at+len(partID)+idLen+len(partMethod)+len(method)+len(partMsgID):][:idLen]
	r.result = []byte(partID + blank + `","result":`)
	return r, nil
}

// setSeq gives the request its next id.
func (r *request) setSeq(n int64) {
	digits := r.id[nonceLen:]
	for i := seqLen - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	copy(r.msgID, r.id)
	copy(r.result[len(partID):], r.id)
}

// checkReply says what is wrong with a JSON-RPC reply to this request, if
// anything: it must carry the request's id and a result.
func (r *request) checkReply(body []byte) error {
	if bytes.HasPrefix(body, r.result) {
		return nil
	}
	// A proxy may re-encode the envelope, so the form alone proves nothing.
	var reply struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return fmt.Errorf("%w: not JSON: %s", errWrongReply, excerpt(body))
	}
	switch {
	case len(reply.Error) > 0 || len(reply.Result) == 0 || string(reply.Result) == "null":
		return fmt.Errorf("%w: no result: %s", errWrongReply, excerpt(body))
	case string(reply.ID) != strconv.Quote(string(r.id)):
		return fmt.Errorf("%w: id is %s, want %q", errWrongReply, reply.ID, r.id)
	}
	return nil
}

// checkEcho is checkReply and proves that the text came back whole.
func (r *request) checkEcho(body []byte) error {
	if err := r.checkReply(body); err != nil {
		return err
	}
	if !bytes.Contains(body, r.text) {
		return fmt.Errorf("%w: the text did not come back: %s", errWrongReply, excerpt(body))
	}
	return nil
}

// filler returns n bytes of plain words, which need no escaping in JSON.
func filler(n int) string {
	const words = "Please read the quarterly figures of every region and tell me which of them deserve a second look. "
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words)
	}
	return b.String()[:n]
}

func excerpt(b []byte) string {
	if len(b) > maxExcerpt {
		return fmt.Sprintf("%q (%d bytes in all)", b[:maxExcerpt], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// checkEvent says what is wrong with an event of a stream, if anything. The
// last one must end the task, all others must not.
func (r *request) checkEvent(data []byte, last bool) error {
	if err := r.checkReply(data); err != nil {
		return err
	}
	if bytes.Contains(data, []byte(`"TASK_STATE_COMPLETED"`)) != last {
		return fmt.Errorf("%w: the task must end with the last event: %s", errWrongReply, excerpt(data))
	}
	return nil
}
