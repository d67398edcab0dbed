// Command signalbox is the agent gateway and the tool to operate it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/signalbox-dev/signalbox/internal/cli"
	"github.com/signalbox-dev/signalbox/internal/postgres"
)

func main() {
	// The child that fetches Postgres has dropped its rights and must run nothing else.
	if len(os.Args) > 1 && os.Args[1] == postgres.FetchArg {
		os.Exit(postgres.FetchMain(os.Args[2:]))
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, os.Args[1:], cli.Config{})
}
