package a2a_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestParsePushConfigID_ReadsTheIDWhereItsVersionHasIt(t *testing.T) {
	tests := []struct {
		version a2a.Version
		result  string
		want    string
		fails   bool
	}{
		{a2a.V10, `{"taskId":"t","id":"p-1","url":"https://x/"}`, "p-1", false},
		{a2a.V10, `{"taskId":"t","pushNotificationConfig":{"id":"p-1"}}`, "", false},
		{a2a.V10, `{"taskId":"t","id":null}`, "", false},
		{a2a.V10, `null`, "", false},
		{a2a.V10, `{"id":7}`, "", true},
		{a2a.V10, `["p-1"]`, "", true},
		{a2a.V10, `{"id":"p-1"} x`, "", true},
		{a2a.V03, `{"taskId":"t","pushNotificationConfig":{"url":"https://x/","id":"p-1"}}`, "p-1", false},
		{a2a.V03, `{"id":"t","pushNotificationConfig":{}}`, "", false},
		{a2a.V03, `{"pushNotificationConfig":"p-1"}`, "", true},
	}
	for _, tt := range tests {
		got, err := a2a.ParsePushConfigID(tt.version, []byte(tt.result))
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s %s: %q, %v; want %q", tt.version, tt.result, got, err, tt.want)
		}
		if err != nil && !errors.Is(err, a2a.ErrNotResult) {
			t.Errorf("%s: %v is no ErrNotResult", tt.result, err)
		}
	}
}

func TestParsePushConfigList_ReadsBothFormsOfAList(t *testing.T) {
	tests := []struct {
		version a2a.Version
		result  string
		want    a2a.PushConfigList
		fails   bool
	}{
		{a2a.V10, `{"configs":[{"id":"a"},{"id":"b","taskId":"t"}],"nextPageToken":"n"}`, a2a.PushConfigList{IDs: []string{"a", "b"}, NextPageToken: "n"}, false},
		{a2a.V10, `{"configs":null}`, a2a.PushConfigList{}, false},
		{a2a.V10, `{}`, a2a.PushConfigList{}, false},
		{a2a.V10, `[{"id":"a"}]`, a2a.PushConfigList{IDs: []string{"a"}}, false},
		{a2a.V10, `{"configs":"a"}`, a2a.PushConfigList{}, true},
		{a2a.V10, `{"configs":[{"id":"a"}`, a2a.PushConfigList{}, true},
		{a2a.V03, `[{"taskId":"t","pushNotificationConfig":{"id":"a"}},{"pushNotificationConfig":{}}]`, a2a.PushConfigList{IDs: []string{"a", ""}}, false},
		{a2a.V03, `null`, a2a.PushConfigList{}, false},
		{a2a.V03, ``, a2a.PushConfigList{}, false},
		{a2a.V03, `7`, a2a.PushConfigList{}, true},
	}
	for _, tt := range tests {
		got, err := a2a.ParsePushConfigList(tt.version, []byte(tt.result))
		if (err != nil) != tt.fails {
			t.Errorf("%s %s: error %v", tt.version, tt.result, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" && err == nil {
			t.Errorf("%s %s (-want +got):\n%s", tt.version, tt.result, diff)
		}
	}
}
