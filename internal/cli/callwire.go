package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/sse"
)

// Bounds of what a gateway can send, as it promises them.
const (
	maxReply = 32 << 20
	maxEvent = 8 << 20
)

// request is one JSON-RPC call.
type request struct {
	method   string
	params   map[string]any
	stream   bool
	bareTask bool // the result is a task that nothing stands around
}

// onReply gets each reply: its bytes, and the result in them.
type onReply func(raw []byte, result json.RawMessage, bareTask bool) error

// replyError is an error that the gateway or the agent answered with.
type replyError struct {
	code     int
	message  string
	reason   string
	metadata map[string]string
	fields   []string
}

// Error returns the message.
func (e *replyError) Error() string { return e.message }

// noGatewayError is an answer that no gateway gives.
type noGatewayError struct{ text string }

// Error says what came instead.
func (e *noGatewayError) Error() string { return e.text }

func (c *caller) agentURL() string { return c.server + "/a2a/" + url.PathEscape(c.agent) }

// send makes the call and hands over each reply.
func (c *caller) send(ctx context.Context, d dialect, r request, on onReply) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": newID(), "method": r.method, "params": r.params})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.agentURL(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if !d.kinds {
		req.Header.Set("A2A-Version", d.version)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/event-stream" {
		return readStream(resp.Body, r, on)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	if len(data) > maxReply {
		return fmt.Errorf("the reply is larger than %d bytes", maxReply)
	}
	return handOver(resp, data, r, on)
}

func readStream(body io.Reader, r request, on onReply) error {
	reader := sse.NewReader(body, maxEvent+(64<<10)) // the bound is of the data
	for {
		item, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream: %w", err)
		}
		if item.Comment || len(item.Data) == 0 {
			continue
		}
		if err := handOver(nil, item.Data, r, on); err != nil {
			return err
		}
	}
}

// handOver takes one reply apart. resp is nil for events of streams.
func handOver(resp *http.Response, data []byte, r request, on onReply) error {
	var reply struct {
		JSONRPC string          `json:"jsonrpc"`
		Result  json.RawMessage `json:"result"`
		Error   *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &reply); err != nil || reply.JSONRPC == "" {
		return notJSONRPC(resp, data)
	}
	if reply.Error == nil {
		return on(data, reply.Result, r.bareTask)
	}
	e := &replyError{code: reply.Error.Code, message: reply.Error.Message}
	e.readDetails(reply.Error.Data)
	return errors.Join(on(data, nil, r.bareTask), e)
}

// readDetails takes what it knows out of the details: an array of them for 1.0, one
// alone for 0.3, and for agents of 0.3 anything at all.
func (e *replyError) readDetails(data json.RawMessage) {
	type violation struct{ Field, Description string }
	type detail struct {
		Reason          string            `json:"reason"`
		Metadata        map[string]string `json:"metadata"`
		FieldViolations []violation       `json:"fieldViolations"`
	}
	var all []detail
	if json.Unmarshal(data, &all) != nil {
		var one detail
		if json.Unmarshal(data, &one) != nil {
			return
		}
		all = []detail{one}
	}
	for _, d := range all {
		if d.Reason != "" {
			e.reason, e.metadata = d.Reason, d.Metadata
		}
		for _, v := range d.FieldViolations {
			e.fields = append(e.fields, printable(v.Field+": "+v.Description))
		}
	}
}

func notJSONRPC(resp *http.Response, data []byte) error {
	const shown = 200
	text := oneLine(string(data))
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "…"
	}
	if resp == nil {
		return &noGatewayError{text: fmt.Sprintf("an event of the stream is no JSON-RPC reply: %q", text)}
	}
	return &noGatewayError{text: fmt.Sprintf("HTTP %s is no JSON-RPC reply: %q; is --server the address of a Signalbox gateway?", resp.Status, text)}
}

// cardVersion is the newest version that the agent's card names. The card is asked of
// the gateway, which shows of it what can be called.
func (c *caller) cardVersion(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.agentURL()+"/.well-known/agent-card.json", nil)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return "", fmt.Errorf("read the agent's card: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", handOver(resp, data, request{}, func([]byte, json.RawMessage, bool) error {
			return nil // an error follows
		})
	}
	var card struct {
		ProtocolVersion     string `json:"protocolVersion"`
		SupportedInterfaces []struct {
			Binding string `json:"protocolBinding"`
			Version string `json:"protocolVersion"`
		} `json:"supportedInterfaces"`
	}
	if err := json.Unmarshal(data, &card); err != nil {
		return "", notJSONRPC(resp, data)
	}
	versions := []string{card.ProtocolVersion}
	for _, i := range card.SupportedInterfaces {
		if i.Binding == "" || i.Binding == "JSONRPC" {
			versions = append(versions, i.Version)
		}
	}
	if slices.ContainsFunc(versions, func(v string) bool { return strings.HasPrefix(v, "1.") }) {
		return version10, nil
	}
	if slices.ContainsFunc(versions, func(v string) bool { return strings.HasPrefix(v, "0.3") }) {
		return version03, nil
	}
	return "", fmt.Errorf("the agent's card names none of the versions that this program speaks, 1.0 and 0.3: %q", versions)
}
