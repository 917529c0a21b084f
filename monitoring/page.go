package monitoring

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"google.golang.org/grpc/codes"
)

// pageFiles are the web page: HTML, one script and one style sheet, as they stand in the folder. The page uses the same
// REST as everybody else.
//
//go:embed page
var pageFiles embed.FS

// contentTypes are fixed, because what Go's mime package says depends on the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// page serves the files of the web page at /, and is where all paths end that are no path of ours.
func (s *REST) page(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	body, err := fs.ReadFile(pageFiles, path.Join("page", name))
	if err != nil || strings.Contains(name, "/") {
		return newError(codes.NotFound, fmt.Sprintf("%s: no such path; there are /stats, /workers, /tasks, /tasks/{id}, /events, /metrics, /healthz, /readyz and /", r.URL.Path))
	}
	w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache") // a new version of the program may have new files
	_, _ = w.Write(body)                        // a reader who has gone is no error
	return nil
}

func (s *REST) exposition(w http.ResponseWriter, r *http.Request) error {
	s.metrics.handler().ServeHTTP(w, r)
	return nil
}
