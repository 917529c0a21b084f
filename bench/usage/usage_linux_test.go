package usage

import (
	"os"
	"runtime/debug"
	"testing"
	"time"
)

func TestUsageOfThisProcess(t *testing.T) {
	debug.FreeOSMemory() // of a run before
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	memory := make([]byte, 64<<20)
	for range 4 {
		for i := range memory {
			memory[i]++
		}
	}
	after, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after.CPU - before.CPU; used < 10*time.Millisecond || used > time.Minute {
		t.Errorf("CPU %v for counting to 256 Mi", used)
	}
	if grown := after.RSS - before.RSS; grown < 32<<20 {
		t.Errorf("memory grew by %d bytes with 64 MiB in use (%d)", grown, memory[0])
	}
}

func TestUsageOfNoProcess(t *testing.T) {
	if _, err := Read(1 << 30); err == nil {
		t.Error("a process that is not there has a usage")
	}
}
