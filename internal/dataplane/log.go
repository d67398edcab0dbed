package dataplane

import (
	"log/slog"
	"runtime/debug"
)

func stackAttr() slog.Attr { return slog.String("stack", string(debug.Stack())) }
