package identity_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }
