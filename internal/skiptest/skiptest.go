// Package skiptest is how tests say that something outside the repository is
// missing: on a developer's machine the test is skipped with the reason, and
// where CI=true it fails, so that a run that proves less than it claims is
// never green.
package skiptest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Skip ends the test because of reason: as a skip, or as a failure when the
// environment says CI=true.
func Skip(t testing.TB, reason string) {
	t.Helper()
	skip(t, os.Getenv("CI"), reason)
}

func skip(t testing.TB, ci, reason string) {
	t.Helper()
	if ci == "true" {
		t.Fatalf("would skip, and CI=true makes a skip a failure: %s", reason)
		return
	}
	t.Skip(reason)
}

// Binary is the path of a program that the test runs. It is looked for in the
// variable GENAI_<NAME> (upper case, hyphens as underscores), among the pinned
// tools that scripts/tools.sh builds, and in PATH. Without one the test is
// skipped; hint says how to get it.
func Binary(t testing.TB, name, hint string) string {
	t.Helper()
	if p := os.Getenv("GENAI_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))); p != "" {
		return p
	}
	p := filepath.Join(Root(t), ".cache", "tools", "bin", name)
	if info, err := os.Stat(p); err == nil && info.Mode().Perm()&0o111 != 0 {
		return p
	}
	return Installed(t, name, hint)
}

// Installed is the path of a program of the system, found in PATH only: for
// tests that run what a distribution ships and not the pinned tool.
func Installed(t testing.TB, name, hint string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		Skip(t, name+" is not installed: "+hint)
	}
	return p
}

// Fixtures is the folder of captures and reference documents that are not part
// of the repository, named by GENAI_FIXTURES.
func Fixtures(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("GENAI_FIXTURES")
	if dir == "" {
		Skip(t, "GENAI_FIXTURES does not name the folder of reference captures")
	}
	return dir
}

// Root is the folder of the module's go.mod, found upwards from the package
// under test.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}
