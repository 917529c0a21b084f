package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADirectoryIsOneProcess(t *testing.T) {
	dir := t.TempDir()
	j := start(t, Config{Directory: dir}, new(book))
	if got := refused(t, Config{Directory: dir}); !strings.Contains(got, "in use by another process (pid "+fmt.Sprint(os.Getpid())+")") {
		t.Errorf("refused with %q, want the pid that holds the directory", got)
	}
	j.lead()
	if _, err := j.write("still works"); err != nil {
		t.Error(err)
	}
}

func TestADirectoryIsOneNodesAndOneClusters(t *testing.T) {
	dir := t.TempDir()
	j := start(t, Config{Directory: dir, ID: "d1", Cluster: "blue"}, new(book))
	j.lead()
	j.close()
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{ID: "d2", Cluster: "blue"}, `belongs to node "d1", this is node "d2"`},
		{Config{ID: "d1", Cluster: "red"}, `belongs to cluster "blue", not to "red"`},
	} {
		c.cfg.Directory = dir
		if got := refused(t, c.cfg); !strings.Contains(got, c.want) {
			t.Errorf("refused with %q, want %q", got, c.want)
		}
	}
	if j := start(t, Config{Directory: dir}, new(book)); j.Status().Cluster != "blue" {
		t.Errorf("without a name in Config the cluster is %q, want what the directory says", j.Status().Cluster)
	}
}

func TestForeignAndFutureDirectoriesAreRefusedUntouched(t *testing.T) {
	for _, c := range []struct{ name, file, content, want string }{
		{"somebody's files", "thesis.tex", "\\begin", "is not empty (thesis.tex)"},
		{"a later format", identityName, `{"format":2,"node":"d1"}`, "has format 2, this program knows format 1 only"},
		{"nonsense", identityName, `{"for`, "is damaged"},
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, c.file)
		if err := os.WriteFile(name, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := refused(t, Config{Directory: dir}); !strings.Contains(got, c.want) {
			t.Errorf("%s: refused with %q, want %q", c.name, got, c.want)
		}
		if content, err := os.ReadFile(name); err != nil || string(content) != c.content {
			t.Errorf("%s: %s is %q now (%v)", c.name, c.file, content, err)
		}
	}
}

// TestAFirstStartThatWasCutShortIsRepeated: whatever it left behind, up to the vote without the members, which raft
// alone would take for a cluster that it is not in.
func TestAFirstStartThatWasCutShortIsRepeated(t *testing.T) {
	for fault := range 5 {
		dir := t.TempDir()
		j, err := Open(quick(Config{Directory: dir}), new(book))
		if err != nil {
			t.Fatal(err)
		}
		writes := 0
		j.guard.inject = func(string) faultKind {
			writes++
			if writes > fault {
				return faultLose
			}
			return faultNone
		}
		if err := j.Run(t.Context()); err == nil {
			t.Fatalf("fault %d: Run went through", fault)
		}
		if got := reopened(t, dir); len(got) > 0 {
			t.Errorf("fault %d: the book has %q", fault, got)
		}
	}
}
