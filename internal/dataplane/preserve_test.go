package dataplane_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	oldpb "github.com/a2aproject/a2a-go/a2apb"
	newpb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// precious is a value that decoding into types and encoding again would spoil: an
// integer beyond 2^53, odd numbers, an explicit false, an order that nobody sorts into,
// characters and escapes that encoders change.
const precious = `{"zulu":9007199254740993,"d":1.50,"e":1E+2,"off":false,"none":null,"alpha":"<b>&\u00e9é\/","":[ 1 ,{}]}`

// oddMessage is a message to an agent in a JSON dialect, with a precious value at every
// level: params, configuration, message, each kind of part, its metadata and data.
func oddMessage(d a2a.Dialect) string {
	role, kind, text, parts := `"ROLE_USER"`, "", "", "parts"
	file := `"raw":"AAEC","filename":"f<>","mediaType":"a/b"`
	data := `"data":` + precious
	if d.Version == a2a.V03 && d.Binding == a2a.JSONRPC {
		role, kind, text = `"user"`, `"kind":"message",`, `"kind":"text",`
		file = `"kind":"file","file":{"bytes":"AAEC","name":"f<>","mimeType":"a/b"}`
		data = `"kind":"data",` + data
	} else if d.Version == a2a.V03 {
		parts, file, data = "content", `"file":{"fileWithBytes":"QUFFQw==","mimeType":"a/b"}`, `"data":{"data":`+precious+`}`
	}
	return `{ "x-params":` + precious + `, "message" : {` + kind + `"x-message":` + precious + `,"messageId":"m<>&","role":` + role +
		`,"metadata":` + precious + `,"` + parts + `":[` +
		`{` + text + `"text":"a<b>&c \u00e9 é","x-text":` + precious + `,"metadata":` + precious + `},` +
		`{` + file + `,"x-file":` + precious + `},{` + data + `,"x-data":` + precious + `}]},` +
		`"configuration":{"x-configuration":` + precious + `},"metadata":` + precious + `}`
}

// oddResult is a result of a send in a JSON dialect, likewise.
func oddResult(d a2a.Dialect) string {
	state, role, task, message, text, parts := `"TASK_STATE_COMPLETED"`, `"ROLE_AGENT"`, "", "", "", "parts"
	if d.Version == a2a.V03 && d.Binding == a2a.JSONRPC {
		state, role = `"completed"`, `"agent"`
		task, message, text = `"kind":"task",`, `"kind":"message",`, `"kind":"text",`
	} else if d.Version == a2a.V03 {
		parts = "content"
	}
	said := `{` + message + `"messageId":"r1","role":` + role + `,"x-said":` + precious + `,"` + parts + `":[{` + text + `"text":"<>&"}]}`
	t := `{ ` + task + `"x-task":` + precious + `,"id":"odd-task","contextId":"odd-context",` +
		`"status":{"state":` + state + `,"x-status":` + precious + `,"message":` + said + `},"history":[` + said + `],` +
		`"artifacts":[{"artifactId":"a1","x-artifact":` + precious + `,"metadata":` + precious +
		`,"parts":[{` + text + `"text":"<>&\u00e9","x-part":` + precious + `}]}],"metadata":` + precious + `}`
	if task != "" {
		return t
	}
	return `{"task":` + t + `}`
}

// oddEvent is an event, likewise.
func oddEvent(d a2a.Dialect) string {
	if d.Version == a2a.V03 && d.Binding == a2a.JSONRPC {
		return `{"kind":"artifact-update", "x-event":` + precious + `,"taskId":"odd-task","contextId":"odd-context","append":false,` +
			`"artifact":{"x-artifact":` + precious + `,"artifactId":"a1","parts":[{"kind":"text","text":"<>&"}]},"metadata":` + precious + `}`
	}
	return `{"artifactUpdate":{ "x-event":` + precious + `,"taskId":"odd-task","contextId":"odd-context","append":false,` +
		`"artifact":{"x-artifact":` + precious + `,"artifactId":"a1","parts":[{"text":"<>&"}]},"metadata":` + precious + `}}`
}

// oddCall posts the send of an odd message to an agent.
func oddCall(t *testing.T, c *caller, agent string, streaming bool, params string) string {
	t.Helper()
	op := map[bool]string{true: "SendStreamingMessage", false: "SendMessage"}[streaming]
	method, path, _ := c.request(op, agent, "m")
	body := params
	if c.d.Binding == a2a.JSONRPC {
		name := op
		if c.d.Version == a2a.V03 {
			name = map[bool]string{true: "message/stream", false: "message/send"}[streaming]
		}
		body = ` {"x-envelope":1, "id" : 7,"method":"` + name + `","params":` + params + ` ,"jsonrpc":"2.0"}` + "\n"
	}
	resp, err := c.post(t.Context(), method, path, agent, body)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d, %v: %s", resp.StatusCode, err, got)
	}
	return string(got)
}

func jsonOnly(down, up a2a.Dialect) bool { return down.Binding != a2a.GRPC && up.Binding != a2a.GRPC }

func TestPreserve_JSONKeepsEveryMemberThatNobodyKnowsWithItsBytes(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := map[a2a.Dialect]*stage{}
	for _, d := range a2a.Dialects {
		if d.Binding != a2a.GRPC {
			agents[d] = newStage(t, g, d, agentOf(d), func(sc *scene) {
				sc.sendForm(oddResult(sc.d))
				sc.sendForm(oddEvent(sc.d))
			})
			agents[d].reply = []byte(oddResult(d))
		}
	}
	// How often the value stands in each of them.
	count := func(s string) int { return strings.Count(s, precious) }
	for _, up := range a2a.Dialects {
		for _, down := range a2a.Dialects {
			if !jsonOnly(down, up) {
				continue
			}
			t.Run(down.String()+" to "+up.String(), func(t *testing.T) {
				c := newCaller(t, g, key, down)
				got := oddCall(t, c, agentOf(up), false, oddMessage(down))
				calls := agents[up].received("SendMessage")
				sent := string(calls[len(calls)-1].body)
				if n := count(sent); n != count(oddMessage(down)) {
					t.Errorf("of %d members %d reached the agent as they were: %s", count(oddMessage(down)), n, sent)
				}
				for _, name := range []string{"x-params", "x-configuration", "x-message", "x-text", "x-file", "x-data"} {
					if !strings.Contains(sent, `"`+name+`":`+precious) {
						t.Errorf("%s did not reach the agent: %s", name, sent)
					}
				}
				if !strings.Contains(sent, `"text":"a<b>&c \u00e9 é"`) || !strings.Contains(sent, `"messageId":"m<>&"`) {
					t.Errorf("a text changed: %s", sent)
				}
				if n := count(got); n != count(oddResult(up)) {
					t.Errorf("of %d members of the result %d reached the caller as they were: %s", count(oddResult(up)), n, got)
				}
				got = oddCall(t, c, agentOf(up), true, oddMessage(down))
				if want := count(oddResult(up)) + count(oddEvent(up)); count(got) != want || !strings.Contains(got, `"append":false`) {
					t.Errorf("of %d members of the events %d reached the caller as they were, or an explicit false did not: %s", want, count(got), got)
				}
			})
		}
	}
}

func TestPreserve_TheSameDialectChangesNoByte(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	for _, d := range a2a.Dialects {
		for _, tenant := range []string{"", "inner<>"} {
			if tenant != "" && (d.Version == a2a.V03 || d.Binding == a2a.GRPC) {
				continue
			}
			name := agentOf(d)
			if tenant != "" {
				name += "-tenant"
			}
			t.Run(name, func(t *testing.T) {
				if d.Binding == a2a.GRPC {
					sameMessages(t, g, key, d)
					return
				}
				s := newStage(t, g, d, name, func(sc *scene) {
					sc.sendForm(oddResult(sc.d))
					sc.raw([]byte(": a comment that is the agent's\n\n"))
					sc.sendForm(oddEvent(sc.d))
				}, tenant)
				s.reply = []byte(oddResult(d))
				c := newCaller(t, g, key, d)
				envelope := func(result string) string {
					if d.Binding == a2a.REST {
						return result
					}
					return `{"jsonrpc":"2.0","id":7,"result":` + result + `}`
				}
				got := oddCall(t, c, name, false, oddMessage(d))
				if got != envelope(oddResult(d)) {
					t.Errorf("the reply changed:\n%s\n%s", got, envelope(oddResult(d)))
				}
				sent := s.received("SendMessage")[0]
				want := oddMessage(d)
				if d.Binding == a2a.JSONRPC {
					method := "SendMessage"
					if d.Version == a2a.V03 {
						method = "message/send"
					}
					want = ` {"x-envelope":1, "id" : 7,"method":"` + method + `","params":` + want + ` ,"jsonrpc":"2.0"}` + "\n"
				}
				body := string(sent.body)
				if tenant != "" {
					// The tenant is all that is new: without it the bytes are the caller's.
					body = strings.Replace(body, `"tenant":"`+tenant+`",`, "", 1)
					if has := len(body) < len(sent.body); !has || (d.Binding == a2a.REST && !strings.HasPrefix(sent.path, "/inner%3C%3E/")) {
						t.Errorf("the tenant is not where it should be: %s with %s", sent.path, sent.body)
					}
				}
				if body != want {
					t.Errorf("the request changed:\n%s\n%s", sent.body, want)
				}
				got = oddCall(t, c, name, true, oddMessage(d))
				if want := "data: " + envelope(oddResult(d)) + "\n\ndata: " + envelope(oddEvent(d)) + "\n\n"; got != want {
					t.Errorf("the events changed:\n%s\n%s", got, want)
				}
			})
		}
	}
}

// unknownField is one that no message of A2A has.
func unknownField(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 2047, protowire.BytesType), text)
}

// sameMessages does the same with messages of gRPC.
func sameMessages(t *testing.T, g *gatewaytest.Gateway, key string, d a2a.Dialect) {
	t.Helper()
	old := d.Version == a2a.V03
	task := toProto(streamResponse(d.Version), taskItem("working").form(d, "t"))
	// Unknown fields inside and outside, and a length that is longer than it needs to be.
	n := protowire.Number(1)
	inner := append(unknownField("inside"), mustField(task, n)...)
	result := append(unknownField("before"), protowire.AppendTag(nil, n, protowire.BytesType)...)
	result = append(binary.AppendUvarint(result, uint64(len(inner))), inner...)
	result = append(result, unknownField("behind")...)

	name := agentOf(d)
	tenant := ""
	if !old {
		tenant = "inner"
	}
	s := newStage(t, g, d, name, func(sc *scene) {
		sc.raw(grpcFrame(result))
		sc.raw(grpcFrame(append(bytes.Clone(result), 0xfa, 0x7f, 0x00)))
		sc.end()
	}, tenant)
	s.reply = result
	c := newCaller(t, g, key, d)
	_, path, framed := c.request("SendMessage", name, "m1")
	message := append([]byte(framed)[5:], unknownField("request")...)
	asked, want := message, message
	if !old {
		// The caller's tenant is the agent's name here, the agent's is its own.
		asked = append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name), message...)
		want = append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), tenant), message...)
	}
	call := func(path string) []byte {
		resp, err := c.post(t.Context(), http.MethodPost, path, name, string(grpcFrame(asked)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.Trailer.Get("Grpc-Status") != "0" {
			t.Fatalf("status %q %q, %v", resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Message"), err)
		}
		return got
	}
	if got := call(path); !bytes.Equal(got, grpcFrame(result)) {
		t.Errorf("the reply changed:\n%x\n%x", got, grpcFrame(result))
	}
	sent := s.received("SendMessage")[0].body
	if got := sent[5:]; !old {
		// The tenant may stand anywhere; without it the bytes are the caller's.
		rest, tenants := withoutField(t, got, 1)
		wanted, _ := withoutField(t, want, 1)
		if !bytes.Equal(rest, wanted) || len(tenants) != 1 || string(tenants[0]) != tenant {
			t.Errorf("the request changed:\n%x\n%x", got, want)
		}
	} else if !bytes.Equal(got, want) {
		t.Errorf("the request changed:\n%x\n%x", got, want)
	}
	stream := append(grpcFrame(result), grpcFrame(append(bytes.Clone(result), 0xfa, 0x7f, 0x00))...)
	if got := call(strings.Replace(path, "SendMessage", "SendStreamingMessage", 1)); !bytes.Equal(got, stream) {
		t.Errorf("the events changed:\n%x\n%x", got, stream)
	}
}

// mustField returns the value of a field of bytes.
func mustField(message []byte, number protowire.Number) []byte {
	for len(message) > 0 {
		n, typ, size := protowire.ConsumeTag(message)
		length := protowire.ConsumeFieldValue(n, typ, message[size:])
		if n == number {
			v, _ := protowire.ConsumeBytes(message[size:])
			return v
		}
		message = message[size+length:]
	}
	panic("no such field")
}

// withoutField takes the fields of a number out of a message.
func withoutField(t *testing.T, message []byte, number protowire.Number) (rest []byte, values [][]byte) {
	t.Helper()
	for len(message) > 0 {
		n, typ, size := protowire.ConsumeTag(message)
		if size < 0 {
			t.Fatalf("no protobuf: %x", message)
		}
		length := protowire.ConsumeFieldValue(n, typ, message[size:])
		if length < 0 {
			t.Fatalf("no protobuf: %x", message)
		}
		if n == number {
			v, _ := protowire.ConsumeBytes(message[size:])
			values = append(values, v)
		} else {
			rest = append(rest, message[:size+length]...)
		}
		message = message[size+length:]
	}
	return rest, values
}

// A translated call has an envelope of the gateway's making, and so have the replies.
func TestPreserve_WhatStandsAroundAPayloadStaysBehindWhenItIsTranslated(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	s := newStage(t, g, rpc10, agentOf(rpc10), func(sc *scene) {
		sc.raw([]byte("retry: 5\nid: 3\nx-event: 1\n: a comment\n" +
			`data: {"x-reply":1,"jsonrpc":"2.0","id":7,"result":` + oddResult(sc.d) + "}\n\n"))
	})
	s.reply = []byte(oddResult(rpc10))
	oddCall(t, newCaller(t, g, key, rpc03), agentOf(rpc10), false, oddMessage(rpc03))
	if sent := string(s.received("SendMessage")[0].body); strings.Contains(sent, "x-envelope") || !strings.Contains(sent, "x-params") {
		t.Errorf("the request is %s", sent)
	}
	got := oddCall(t, newCaller(t, g, key, rpc03), agentOf(rpc10), true, oddMessage(rpc03))
	for _, name := range []string{"x-reply", "retry", "x-event", "comment", "id: 3"} {
		if strings.Contains(got, name) {
			t.Errorf("%s of the agent's envelope is in %s", name, got)
		}
	}
}

// carried is metadata that protobuf can carry: its numbers are doubles.
const carried = `{"zulu":9007199254740992,"off":false,"alpha":"<b>&é","none":null,"list":[1,{"y":true,"x":-0.5}],"":{}}`

func TestPreserve_GRPCKeepsWhatProtobufCanCarry(t *testing.T) {
	g := gatewaytest.Start(t)
	key := g.Team("demo")
	agents := stages(t, g, nil)
	for d, s := range agents {
		form := strings.Replace(taskItem("completed").form(d, "odd"), `"contextId"`, `"metadata":`+carried+`,"contextId"`, 1)
		s.reply = []byte(form)
		if d.Binding == a2a.GRPC && d.Version == a2a.V10 {
			s.reply = toProto(new(newpb.SendMessageResponse), form)
		} else if d.Binding == a2a.GRPC {
			s.reply = toProto(new(oldpb.SendMessageResponse), form)
		}
	}
	eachCell(t, func(down, up a2a.Dialect) bool { return !jsonOnly(down, up) }, func(t *testing.T, down, up a2a.Dialect) {
		c := newCaller(t, g, key, down)
		id := subjectOf(down, up)
		method, path, body := c.request("SendMessage", agentOf(up), id)
		if down.Binding == a2a.GRPC {
			form := fmt.Sprintf(`{"message":{"messageId":%q,"role":"ROLE_USER","parts":[{"text":"<>&é"}],"metadata":%s}}`, id, carried)
			if down.Version == a2a.V03 {
				body = string(grpcFrame(toProto(new(oldpb.SendMessageRequest), form)))
			} else {
				body = string(grpcFrame(toProto(new(newpb.SendMessageRequest), form)))
			}
		} else {
			body = strings.Replace(body, `"messageId"`, `"metadata":`+carried+`,"messageId"`, 1)
		}
		resp, err := c.post(t.Context(), method, path, agentOf(up), body)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Grpc-Status") != "" {
			t.Fatalf("HTTP %d, gRPC %s, %v: %s", resp.StatusCode, resp.Header.Get("Grpc-Message"), err, got)
		}
		var sent []byte
		for _, call := range agents[up].received("SendMessage") {
			if bytes.Contains(call.body, []byte(id)) {
				sent = call.body
			}
		}
		sameMetadata(t, "the request", down, []byte(body), up, sent, true)
		reply := agents[up].reply
		if up.Binding == a2a.GRPC {
			reply = grpcFrame(reply)
		}
		sameMetadata(t, "the reply", up, reply, down, got, false)
	})
}

// sameMetadata compares the metadata of what came with that of what went on, the order
// of its names too.
func sameMetadata(t *testing.T, what string, from a2a.Dialect, in []byte, to a2a.Dialect, out []byte, request bool) {
	t.Helper()
	var order [2]string
	var values [2]map[string]any
	for i, side := range []struct {
		d   a2a.Dialect
		raw []byte
	}{{from, in}, {to, out}} {
		for _, name := range regexp.MustCompile(`zulu|off|alpha|none|list`).FindAllString(string(side.raw), -1) {
			order[i] += name + " "
		}
		text := side.raw
		if side.d.Binding == a2a.GRPC {
			var m proto.Message
			switch old := side.d.Version == a2a.V03; {
			case request && old:
				m = new(oldpb.SendMessageRequest)
			case request:
				m = new(newpb.SendMessageRequest)
			case old:
				m = new(oldpb.SendMessageResponse)
			default:
				m = new(newpb.SendMessageResponse)
			}
			text = fromProto(t, m, side.raw[5:])
		}
		values[i] = metadataIn(t, text)
	}
	if order[0] != order[1] || order[0] == "" {
		t.Errorf("%s: the names came as %s and went on as %s", what, order[0], order[1])
	}
	a, _ := json.Marshal(values[0])
	b, _ := json.Marshal(values[1])
	if string(a) != string(b) || len(values[0]) != 6 {
		t.Errorf("%s: the metadata came as\n%s and went on as\n%s", what, a, b)
	}
}

// metadataIn finds the metadata in a JSON text.
func metadataIn(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var find func(v any) map[string]any
	find = func(v any) map[string]any {
		o, _ := v.(map[string]any)
		if m, ok := o["metadata"].(map[string]any); ok {
			return m
		}
		for _, inner := range o {
			if m := find(inner); m != nil {
				return m
			}
		}
		return nil
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return find(v)
}

// Every entry of the table of what is not carried names tests, and they exist.
func TestTranslationDoc_NamesTestsThatThereAre(t *testing.T) {
	doc, err := os.ReadFile("../../docs/translation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), "<!-- not carried: begin -->")
	table, _, ended := strings.Cut(table, "<!-- not carried: end -->")
	if !found || !ended {
		t.Fatal("docs/translation.md lacks the marks of the table")
	}
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	entries := 0
	sources := map[string]string{}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| what ") {
			continue
		}
		entries++
		tests := named.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("an entry names no test: %s", line)
		}
		for _, m := range tests {
			if sources[m[1]] == "" {
				files, _ := filepath.Glob(filepath.Join("..", m[1], "*_test.go"))
				for _, file := range files {
					source, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					sources[m[1]] += string(source)
				}
			}
			if !strings.Contains(sources[m[1]], "\nfunc "+m[2]+"(") {
				t.Errorf("there is no test %s in internal/%s: %s", m[2], m[1], line)
			}
		}
	}
	if entries < 30 {
		t.Errorf("the table has %d entries only", entries)
	}
}
