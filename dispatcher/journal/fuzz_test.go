package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzIdentity: whatever stands in journal.json, the directory is refused in words, or is this node's.
func FuzzIdentity(f *testing.F) {
	for _, seed := range []string{
		`{"format":1,"node":"d1","cluster":"c","ready":true}`, `{"format":2}`, `{"format":1,"node":"d2"}`, ``, `{`, `null`, `[]`,
		`{"format":1e400}`, `{"format":1,"node":"d1","cluster":"c","ready":false}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, identityName), content, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := openDirectory(path, "d1", "c", "")
		if err != nil {
			if !strings.Contains(err.Error(), "data directory") {
				t.Errorf("%q: %v does not say what is wrong", content, err)
			}
			return
		}
		defer d.lock.Close()
		if d.Node != "d1" || d.Cluster != "c" || d.Format != directoryFormat {
			t.Errorf("%q: accepted as %+v", content, d.identity)
		}
	})
}
