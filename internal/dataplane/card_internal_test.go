package dataplane

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/wire/a2a"
)

func TestOffered_NothingThatNeedsMoreThanTheCardComesFirst(t *testing.T) {
	old := a2a.Dialect{Binding: a2a.GRPC, Version: a2a.V03}
	for byAuthority, want := range map[bool]int{false: 5, true: 3} {
		all := offered([]a2a.Dialect{old}, byAuthority)
		if len(all) != len(a2a.Dialects) || all[want] != old || all[0].Version != a2a.V10 || all[2].Version != a2a.V10 {
			t.Errorf("with authorities %v an agent of gRPC 0.3 is offered in %v", byAuthority, all)
		}
	}
}
