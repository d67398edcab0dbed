package dataplane_test

import (
	"os"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
