//go:build windows

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// detach takes a child out of the console's process group, so that Ctrl-C reaches only `up`, which ends the children
// in their order.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// stopSelf sends Ctrl-Break to this process, which leads its own group. Windows has no SIGTERM; without a console
// there is no Ctrl-Break either, and the process ends at once, without finishing what it runs.
func stopSelf() {
	if err := windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(os.Getpid())); err != nil {
		fmt.Fprintln(os.Stderr, "taskgrid: no console to ask for a graceful end, ending at once:", err)
		os.Exit(exitFailed)
	}
}

// tryLock locks a file until it is closed, or returns errInUse. The lock lies far behind the content, so that others
// can read who holds it.
func tryLock(file *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	at := &windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errInUse
	}
	return err
}
