//go:build unix && !linux

package failover

import "testing"

func mount(t *testing.T, _ string) {
	t.Skip("needs a small file system, which this test makes on Linux only")
}
