package translate_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/translate"
	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

// These are entries of the table in docs/translation.md that no other test shows.

func TestNotCarried_WhatStandsInTheResultOfADelete(t *testing.T) {
	run(t, result(a2a.DeletePushConfig), []row{
		{name: "to 1.0", oneWay: true, left: side{k, `{"deleted":true}`}, right: side{p1, `{}`}},
		{name: "to 0.3", oneWay: true, left: side{p1, `{"deleted":true}`}, right: side{k, `null`}},
		{name: "within 0.3", oneWay: true, left: side{p3, `{"deleted":true}`}, right: side{k, `null`}},
	})
}

func TestNotCarried_MembersBesideAListOfPushConfigs(t *testing.T) {
	const old, now = `{"taskId":"t","pushNotificationConfig":{"id":"p"}}`, `{"taskId":"t","id":"p"}`
	run(t, result(a2a.ListPushConfigs), []row{
		{name: "to a bare list", oneWay: true, left: side{p1, `{"x":1,"configs":[` + now + `]}`}, right: side{k, `[` + old + `]`}},
	})
}

func TestNotCarried_MetadataOfCallsOf03ThatHaveNoneInProtobuf(t *testing.T) {
	for op, in := range map[a2a.Operation]string{
		a2a.GetPushConfig: `{"id":"t","pushNotificationConfigId":"p","metadata":{"a":1}}`, a2a.DeletePushConfig: `{"id":"t","pushNotificationConfigId":"p","metadata":{"a":1}}`,
	} {
		run(t, request(op), []row{
			{name: op.String() + " to 1.0", oneWay: true, left: side{k, in}, right: side{p1, `{"taskId":"t","id":"p"}`}},
			{name: op.String() + " within 0.3", oneWay: true, left: side{k, in}, right: side{p3, `{"name":"tasks/t/pushNotificationConfigs/p"}`}},
		})
	}
	run(t, request(a2a.ListPushConfigs), []row{{name: "list", oneWay: true, left: side{k, `{"id":"t","metadata":{"a":1}}`}, right: side{p1, `{"taskId":"t"}`}}})
}

func TestNotCarried_TheOrderOfKnownMembersOfPartsAndPushConfigs(t *testing.T) {
	run(t, translate.Event, []row{{
		name: "a file", oneWay: true,
		left:  message(p1, `{"metadata":{"b":1},"x":1,"mediaType":"a/b","filename":"f","url":"u"}`),
		right: message(k, `{"kind":"file","file":{"uri":"u","mimeType":"a/b","name":"f"},"metadata":{"b":1},"x":1}`),
	}})
	run(t, request(a2a.CreatePushConfig), []row{{
		name: "a push config", oneWay: true, left: side{p1, `{"url":"u","id":"p","taskId":"t"}`}, right: side{k, `{"taskId":"t","pushNotificationConfig":{"id":"p","url":"u"}}`},
	}})
}

func TestNotCarried_WhiteSpaceInMetadataThatIsAddedTo(t *testing.T) {
	run(t, translate.Event, []row{{
		name: "data that is no object", oneWay: true,
		left:  message(p1, `{"data":[ 1 ],"metadata":{ "b" : { "c" : 1 } }}`),
		right: message(k, `{"kind":"data","data":{"value":[ 1 ]},"metadata":{"b":{ "c" : 1 },"data_part_compat":true}}`),
	}})
}

// The specification of 0.3.0 has no metadata of parts, no names of files and no
// referenceTaskIds in its protobuf; its later editions do. They are written.
func TestCarried_WhatOnlyLaterEditionsOfTheProtobufOf03Have(t *testing.T) {
	run(t, translate.Event, []row{{
		name: "a message",
		left: side{p1, `{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"url":"u","filename":"f","metadata":{"a":1}}],"referenceTaskIds":["t"]}}`},
		right: side{
			p3,
			`{"message":{"messageId":"m","role":"ROLE_AGENT","content":[{"file":{"fileWithUri":"u","name":"f"},"metadata":{"a":1}}],"referenceTaskIds":["t"]}}`,
		},
	}})
}

// The task is fetched when the first chunk is here already, so it may have the chunk.
func TestLimit_AnAppendedChunkMayStandInTheTaskBeforeItToo(t *testing.T) {
	const (
		chunk = `{"kind":"artifact-update","taskId":"t","contextId":"c","append":true,"artifact":{"artifactId":"a","parts":[{"kind":"text","text":"two"}]}}`
		task  = `{"kind":"task","id":"t","contextId":"c","status":{"state":"working"},"artifacts":[{"artifactId":"a","parts":[{"kind":"text","text":"one"},{"kind":"text","text":"two"}]}]}`
	)
	s := translate.NewStream(a2a.SendStreamingMessage, k, p1)
	push(t, s, chunk)
	out, err := s.PushTask([]byte(task))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"},"artifacts":[{"artifactId":"a","parts":[{"text":"one"},{"text":"two"}]}]}}`,
		`{"artifactUpdate":{"taskId":"t","contextId":"c","append":true,"artifact":{"artifactId":"a","parts":[{"text":"two"}]}}}`,
	}
	if diff := cmp.Diff(want, texts(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
