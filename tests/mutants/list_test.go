package main

import "testing"

// TestEveryMutantFitsTheCode finds at once, without building any, those that a change of our code has left behind.
func TestEveryMutantFitsTheCode(t *testing.T) {
	t.Chdir("../..")
	for _, m := range list {
		if _, err := m.write(t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
