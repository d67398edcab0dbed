//go:build unix

package gatewaytest

import "syscall"

// Freeze stops the child without its knowing, as a machine does that has no time for it.
// It is thawed when the test ends, if not before.
func (c *Child) Freeze() {
	c.t.Helper()
	c.signal(syscall.SIGSTOP)
	c.t.Cleanup(c.Thaw)
}

// Thaw lets a frozen child go on.
func (c *Child) Thaw() { c.signal(syscall.SIGCONT) }

func (c *Child) signal(s syscall.Signal) {
	c.t.Helper()
	if c.cmd.ProcessState != nil {
		return // it has ended
	}
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Errorf("signal the child: %v", err)
	}
}
