package translate_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

const (
	p1 = translate.JSON10
	k  = translate.JSON03
	p3 = translate.REST03
)

// side is a payload in one form.
type side struct {
	form translate.Form
	text string
}

// row is a pair of payloads. It is translated from left to right and, unless oneWay, back.
type row struct {
	name        string
	left, right side
	oneWay      bool
}

type convert func(from, to translate.Form, payload []byte) ([]byte, error)

func request(op a2a.Operation) convert {
	return func(from, to translate.Form, payload []byte) ([]byte, error) {
		return translate.Request(op, from, to, payload)
	}
}

func result(op a2a.Operation) convert {
	return func(from, to translate.Form, payload []byte) ([]byte, error) {
		return translate.Result(op, from, to, payload)
	}
}

func run(t *testing.T, translateIt convert, rows []row) {
	t.Helper()
	check := func(t *testing.T, from, to side) {
		t.Helper()
		got, err := translateIt(from.form, to.form, []byte(from.text))
		if err != nil {
			t.Fatalf("%s to %s: %v\n%s", from.form, to.form, err, from.text)
		}
		if diff := cmp.Diff(to.text, string(got)); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", from.form, to.form, diff)
		}
		if len(got) > 0 && !json.Valid(got) {
			t.Errorf("%s to %s: not JSON: %s", from.form, to.form, got)
		}
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			check(t, r.left, r.right)
			if !r.oneWay {
				check(t, r.right, r.left)
			}
		})
	}
}

func TestFormOf_EveryDialect(t *testing.T) {
	want := map[string]translate.Form{
		"JSONRPC/1.0": translate.JSON10, "HTTP+JSON/1.0": translate.JSON10, "GRPC/1.0": translate.Proto10,
		"JSONRPC/0.3": translate.JSON03, "HTTP+JSON/0.3": translate.REST03, "GRPC/0.3": translate.Proto03,
	}
	for _, d := range a2a.Dialects {
		if got := translate.FormOf(d); got != want[d.String()] || got.Version() != d.Version {
			t.Errorf("FormOf(%s) = %s of version %s, want %s", d, got, got.Version(), want[d.String()])
		}
	}
	if got := translate.FormOf(a2a.Dialect{}); got != 0 {
		t.Errorf("FormOf of no dialect = %s, want none", got)
	}
}

func TestSameForm_BytesPass(t *testing.T) {
	in := []byte(`not even JSON`)
	for _, f := range []convert{request(a2a.SendMessage), result(a2a.GetTask), translate.Event} {
		if got, err := f(k, k, in); err != nil || &got[0] != &in[0] {
			t.Errorf("got %q, %v; want the very bytes", got, err)
		}
	}
}

func TestListTasks_IsNotCarriedToTheOtherVersion(t *testing.T) {
	for _, to := range []translate.Form{k, p3, translate.Proto03} {
		if _, err := translate.Request(a2a.ListTasks, p1, to, []byte(`{}`)); !errors.Is(err, translate.ErrNotCarried) {
			t.Errorf("request to %s: got %v, want ErrNotCarried", to, err)
		}
		if _, err := translate.Result(a2a.ListTasks, to, p1, []byte(`{}`)); !errors.Is(err, translate.ErrNotCarried) {
			t.Errorf("result from %s: got %v, want ErrNotCarried", to, err)
		}
	}
}

func TestCard_IsNotTranslatedHere(t *testing.T) {
	if _, err := translate.Result(a2a.GetExtendedCard, k, p1, []byte(`{}`)); !errors.Is(err, translate.ErrNotCarried) {
		t.Errorf("got %v, want ErrNotCarried", err)
	}
}

func TestMalformed_IsRefused(t *testing.T) {
	deep := ""
	for range 300 {
		deep += "["
	}
	for name, c := range map[string]struct {
		f        convert
		from, to translate.Form
		in       string
	}{
		"no JSON":                    {translate.Event, k, p1, `{"kind":`},
		"no object":                  {translate.Event, k, p1, `[]`},
		"nothing":                    {translate.Event, p1, k, ``},
		"data behind it":             {translate.Event, k, p1, `{"kind":"task","id":"t"}{}`},
		"too deep":                   {translate.Event, k, p1, `{"kind":"task","x":` + deep},
		"not UTF-8":                  {translate.Event, k, p1, "{\"kind\":\"task\",\"id\":\"\xff\"}"},
		"no kind to be seen":         {translate.Event, k, p1, `{"x":1}`},
		"no kind in 1.0":             {translate.Event, p1, k, `{"x":1}`},
		"two kinds":                  {translate.Event, p1, k, `{"task":{"id":"t"},"message":{"messageId":"m"}}`},
		"wrapper twice":              {translate.Event, p1, k, `{"task":{"id":"t"},"task":{"id":"u"}}`},
		"id twice":                   {translate.Event, k, p1, `{"kind":"task","id":"t","id":"u"}`},
		"id in two spellings":        {translate.Event, k, p1, `{"kind":"message","messageId":"t","message_id":"u"}`},
		"state twice":                {translate.Event, k, p1, `{"kind":"task","id":"t","status":{"state":"working","state":"failed"}}`},
		"content and parts":          {translate.Event, p3, p1, `{"message":{"content":[],"parts":[]}}`},
		"status is text":             {translate.Event, k, p1, `{"kind":"task","id":"t","status":"working"}`},
		"parts is an object":         {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":{}}`},
		"part is text":               {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":["x"]}`},
		"part is two things":         {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"text":"x","data":{}}]}`},
		"file is two things":         {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"file":{"bytes":"","uri":"u"}}]}`},
		"file has its bytes twice":   {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"file":{"bytes":"","fileWithBytes":""}}]}`},
		"bytes are no base64":        {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"file":{"bytes":"%%"}}]}`},
		"bytes of impossible length": {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"file":{"bytes":"AAAAA"}}]}`},
		"padding in the middle":      {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"file":{"bytes":"AA=A"}}]}`},
		"bytes are a number":         {translate.Event, k, p1, `{"kind":"message","messageId":"m","parts":[{"file":{"bytes":1}}]}`},
		"send answered by an update": {result(a2a.SendMessage), k, p1, `{"kind":"status-update","taskId":"t","status":{}}`},
		"get answered by a message":  {result(a2a.GetTask), k, p1, `{"kind":"message","messageId":"m"}`},
		"get answered by nothing":    {result(a2a.GetTask), p1, k, `{"status":{}}`},
		"list answered by an object": {result(a2a.ListPushConfigs), k, p1, `{"id":"t"}`},
		"send without a message":     {request(a2a.SendMessage), k, p1, `{}`},
		"send of two messages":       {request(a2a.SendMessage), p3, p1, `{"request":{},"message":{}}`},
		"blocking is text":           {request(a2a.SendMessage), k, p1, `{"message":{},"configuration":{"blocking":"yes"}}`},
		"get without a task":         {request(a2a.GetTask), k, p1, `{}`},
		"get of a number":            {request(a2a.GetTask), k, p3, `{"id":5}`},
		"no resource name":           {request(a2a.GetTask), p3, p1, `{"name":"t"}`},
		"empty resource name":        {request(a2a.GetTask), p3, p1, `{"name":"tasks/"}`},
		"delete without a config":    {request(a2a.DeletePushConfig), k, p1, `{"id":"t"}`},
		"name without a config":      {request(a2a.GetPushConfig), p3, p1, `{"name":"tasks/t"}`},
		"config of two ids":          {request(a2a.CreatePushConfig), p3, p1, `{"parent":"tasks/t","configId":"a","config":{"pushNotificationConfig":{"id":"b"}}}`},
		"create without a task":      {request(a2a.CreatePushConfig), k, p1, `{"pushNotificationConfig":{"id":"b"}}`},
		"two inline configs":         {request(a2a.SendMessage), k, p1, `{"message":{},"configuration":{"pushNotification":{},"pushNotificationConfig":{}}}`},
		"authentication is text":     {request(a2a.CreatePushConfig), k, p1, `{"taskId":"t","pushNotificationConfig":{"authentication":"x"}}`},
		"data and odd metadata":      {translate.Event, p1, k, `{"message":{"messageId":"m","parts":[{"data":1,"metadata":5}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.f(c.from, c.to, []byte(c.in)); !errors.Is(err, translate.ErrMalformed) {
				t.Errorf("got %s, %v; want ErrMalformed", got, err)
			}
		})
	}
}
