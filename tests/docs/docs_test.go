// Package docs holds the documents to the code: every file they link to and every test they name is there.
package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// tracked returns the files of the repository whose names match the pattern.
func tracked(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", pattern).Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Fields(string(out))
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestDocumentsLinkToWhatIsThere follows every relative link, and every path of a Go file in backquotes.
func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)|` + "`" + `([a-z]+/[a-z/]+\.go)` + "`")
	n := 0
	for _, page := range tracked(t, "*.md") {
		for _, m := range links.FindAllStringSubmatch(read(t, page), -1) {
			target := filepath.Join(filepath.Dir(page), m[1])
			if m[3] != "" {
				target = m[3]
			}
			n++
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s names %s, which is not there", page, target)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d links were looked at", n)
	}
}

// TestDocumentsNameTestsThatExist looks up every test that a document refers to.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	exists := map[string]bool{}
	for _, file := range tracked(t, "*_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, file), -1) {
			exists[m[1]] = true
		}
	}
	n := 0
	for _, page := range tracked(t, "*.md") {
		if page == "docs/adding-a-task-type.md" || page == "CONTRIBUTING.md" {
			continue // they give examples of names
		}
		for _, m := range regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllStringSubmatch(read(t, page), -1) {
			n++
			if !exists[m[1]] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d names of tests were looked at", n)
	}
}

// TestEveryFlagIsUsedByATest looks for each flag of docs/configuration.md, which is generated from the flags, in the
// tests. What the flag does there is the test's claim; here it is only seen that none was left out.
func TestEveryFlagIsUsedByATest(t *testing.T) {
	var tests strings.Builder
	for _, file := range tracked(t, "*.go") {
		if (strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "tests/")) && !strings.HasPrefix(file, "tests/docs/") {
			tests.WriteString(read(t, file))
		}
	}
	flags := regexp.MustCompile("(?m)^\\| `(--[a-z-]+)`").FindAllStringSubmatch(read(t, "docs/configuration.md"), -1)
	if len(flags) < 40 {
		t.Fatalf("docs/configuration.md lists only %d flags", len(flags))
	}
	seen := map[string]bool{}
	for _, m := range flags {
		if flag := m[1]; !seen[flag] && !regexp.MustCompile(flag+`[^a-z-]`).MatchString(tests.String()) {
			t.Errorf("no test uses %s", flag)
		}
		seen[m[1]] = true
	}
}
