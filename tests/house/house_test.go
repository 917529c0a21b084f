// Package house checks what holds for the repository as a whole: who may import whom, what the rules may not touch, and
// what no file may say.
package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const root = "../.." // of the repository

// services never import each other: they meet in proto only.
var services = []string{"nameservice", "dispatcher", "workers", "monitoring", "client"}

func TestServicesNeverImportEachOther(t *testing.T) {
	for _, service := range services {
		found := false
		for pkg, deps := range imports(t) {
			if pkg != "taskgrid/"+service && !strings.HasPrefix(pkg, "taskgrid/"+service+"/") {
				continue
			}
			found = true
			for _, dep := range deps {
				path, ours := strings.CutPrefix(dep, "taskgrid/")
				top, _, _ := strings.Cut(path, "/")
				if ours && top != service && top != "proto" && top != "internal" {
					t.Errorf("%s imports %s: services share proto and internal only", pkg, dep)
				}
			}
		}
		if !found {
			t.Errorf("there is no package of %s", service)
		}
	}
}

// imports returns, for each package of the repository, itself, those that it imports, those that these import, and so on.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	deps, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	return deps
}

// listed asks go list once for all tests.
var listed = sync.OnceValues(func() (map[string][]string, error) {
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./...")
	cmd.Dir = root
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &errOut)
	}
	deps := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		names := strings.Fields(line)
		deps[names[0]] = names
	}
	return deps, nil
})

// TestTheImageIsBuiltFromAllThatTheBinaryImports: what .dockerignore does not name is not there when the image is built.
func TestTheImageIsBuiltFromAllThatTheBinaryImports(t *testing.T) {
	ignore, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	sent := strings.Split(string(ignore), "\n")
	deps := imports(t)["taskgrid/cmd/taskgrid"]
	if len(deps) == 0 {
		t.Fatal("there is no package of the binary")
	}
	for _, dep := range deps {
		path, ours := strings.CutPrefix(dep, "taskgrid/")
		if top, _, _ := strings.Cut(path, "/"); ours && !slices.Contains(sent, "!"+top) {
			t.Errorf(".dockerignore keeps %s from the image's build", dep)
		}
	}
}

// rules are the files of the first layer: decisions, without anything that a single-threaded simulation in virtual time
// could not drive. "*" stands for all files of the folder.
var rules = map[string][]string{
	"bench":           {"figures.go", "goals.go", "report.go"},
	"dispatcher/core": {"*"},
	"nameservice":     {"changes.go", "expiry.go", "registration.go", "registry.go", "roster.go", "services.go", "worker.go"},
	"workers":         {"outcome.go", "slots.go"},
	"client":          {"flight.go", "retry.go"},
	"monitoring":      {"stats.go", "workers.go"},
}

// forbiddenImports are I/O, logging, locks, and what the wire looks like. A path stands for all below it.
var forbiddenImports = []string{
	"context", "crypto/rand", "database", "google.golang.org", "io/fs", "log", "math/rand", "net/http", "os",
	"sync", "syscall", "taskgrid/internal/rpc", "taskgrid/proto",
}

// forbiddenNames are the names of otherwise welcome packages that ask a clock, a resolver or a socket.
var forbiddenNames = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
	"net":  {"Dial", "DialTimeout", "Listen", "ListenPacket", "LookupHost", "LookupIP", "LookupAddr", "ResolveTCPAddr", "Interfaces", "InterfaceAddrs"},
	"fmt":  {"Print", "Printf", "Println"},
}

func TestRulesKnowNeitherClockNorNetworkNorGoroutines(t *testing.T) {
	for folder, names := range rules {
		for _, path := range ruleFiles(t, folder, names) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range faults(file) {
				t.Errorf("%s: %s", fset.Position(fault.pos), fault.text)
			}
		}
	}
}

// ruleFiles returns the paths of the named files.
func ruleFiles(t *testing.T, folder string, names []string) []string {
	t.Helper()
	if !slices.Equal(names, []string{"*"}) {
		paths := make([]string, len(names))
		for i, name := range names {
			paths[i] = filepath.Join(root, folder, name)
		}
		return paths
	}
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no rules in %s: %v", folder, err)
	}
	return slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
}

// fault is a place where a file does what rules may not do.
type fault struct {
	pos  token.Pos
	text string
}

func faults(file *ast.File) []fault {
	var found []fault
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		for _, forbidden := range forbiddenImports {
			if path == forbidden || strings.HasPrefix(path, forbidden+"/") {
				found = append(found, fault{spec.Pos(), "rules do not import " + path})
			}
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			found = append(found, fault{n.Pos(), "rules start no goroutine"})
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			found = append(found, fault{n.Pos(), "rules use no channel"})
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(forbiddenNames[pkg.Name], n.Sel.Name) {
				found = append(found, fault{n.Pos(), "rules do not use " + pkg.Name + "." + n.Sel.Name})
			}
		}
		return true
	})
	return found
}

func TestTheCheckOfRulesFindsEachFault(t *testing.T) {
	for source, want := range map[string]string{
		`package p; import _ "os"`:                                               "rules do not import os",
		`package p; import _ "log/slog"`:                                         "rules do not import log/slog",
		`package p; import _ "taskgrid/proto/taskgrid/v1"`:                       "rules do not import taskgrid/proto/taskgrid/v1",
		`package p; func f() { go f() }`:                                         "rules start no goroutine",
		`package p; var c chan int`:                                              "rules use no channel",
		`package p; import "time"; var now = time.Now()`:                         "rules do not use time.Now",
		`package p; import "net"; var host, _, _ = net.SplitHostPort("a:1")`:     "",
		`package p; import "time"; func f(now time.Time) { now.Add(time.Hour) }`: "",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, f := range faults(file) {
			got += f.text
		}
		if got != want {
			t.Errorf("%s\n\tfound %q, want %q", source, got, want)
		}
	}
}

// private are texts that belong to a machine or a network and not into a repository. They are written in two pieces, so
// that this file does not contain them.
var private = []string{
	"proxy." + "golang.org", "sum." + "golang.org", "registry." + "npmjs.org", "deb." + "debian.org", "security." + "debian.org",
	"index." + "docker.io", "registry-1." + "docker.io", "docker.io" + "/", "ghcr" + ".io", "quay" + ".io", "gcr" + ".io", "pypi" + ".org", "pythonhosted" + ".org",
	"/work" + "/main", "/work" + "/shared", "/root" + "/", "/tmp" + "/w/", "/home" + "/",
}

func TestNoFileNamesARegistryOrAPlaceOnSomebodysMachine(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue // deleted in the work tree
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			for _, text := range private {
				if bytes.Contains(line, []byte(text)) {
					t.Errorf("%s:%d names %s", name, i+1, text)
				}
			}
		}
	}
}
