//go:build !linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// errSystem is returned for everything that only Linux tells about processes.
var errSystem = fmt.Errorf("the benchmark reads processor time and memory of processes as Linux shows them; on %s: %w",
	runtime.GOOS, errors.ErrUnsupported)

type procStat struct{ pid int }

func supported() error { return errSystem }

func cpuTime(int) (time.Duration, error) { return 0, errSystem }

func descendants(int) ([]procStat, error) { return nil, errSystem }

func childrenTime(int) (time.Duration, error) { return 0, errSystem }

func machineTime() (time.Duration, error) { return 0, errSystem }

func memory(int) (rss, peak int64, err error) { return 0, 0, errSystem }

func start(*exec.Cmd, syscall.Signal) (<-chan exit, error) { return nil, errSystem }

func sleepUntil(context.Context, time.Time) error { return errSystem }

func exactSleep() error { return errSystem }

func machineFacts(*Machine) {}
