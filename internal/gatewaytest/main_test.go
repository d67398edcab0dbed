package gatewaytest_test

import (
	"os"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/gatewaytest"
	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestMain(m *testing.M) {
	if gatewaytest.IsChild() {
		os.Exit(gatewaytest.RunChild())
	}
	os.Exit(pgtest.Main(m))
}
