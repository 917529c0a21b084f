//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// detach takes a child out of the terminal's process group, so that Ctrl-C reaches only `up`, which ends the children
// in their order.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// stopSelf does to this process what `kill` does.
func stopSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) } // one may always signal oneself

// tryLock locks a file until it is closed, or returns errInUse. The children do not inherit it.
func tryLock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return err
}
