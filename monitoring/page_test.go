package monitoring

import (
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestThePageHasAllItsFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		types := map[string]string{"/": "text/html", "/app.js": "text/javascript", "/stream.js": "text/javascript", "/view.js": "text/javascript", "/style.css": "text/css", "/icon.svg": "image/svg+xml"}
		for path, want := range types {
			resp, body := g.get(path)
			if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), want) || body == "" {
				t.Errorf("%s: got %d, %s, %d bytes, want %s", path, resp.StatusCode, resp.Header.Get("Content-Type"), len(body), want)
			}
		}
		_, page := g.get("/")
		for _, ref := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
			if resp, _ := g.get(ref[1]); resp.StatusCode == http.StatusNotFound {
				t.Errorf("the page refers to %s, which is not there", ref[1])
			}
		}
	})
}

// TestThePageNeverMakesMarkupOfText guards against what a hostile payload would need.
func TestThePageNeverMakesMarkupOfText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?://|\sstyle=|\son[a-z]+=`)
	err := fs.WalkDir(pageFiles, "page", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".svg") { // whose namespace is a URL
			return err
		}
		text, err := fs.ReadFile(pageFiles, path)
		if hit := forbidden.Find(text); hit != nil {
			t.Errorf("%s contains %q", path, hit)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
