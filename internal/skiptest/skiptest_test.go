package skiptest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recorder is a testing.TB that remembers how it was ended.
type recorder struct {
	testing.TB
	how string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Skip(a ...any)             { r.how = "skip: " + fmt.Sprint(a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.how = "fatal: " + fmt.Sprintf(f, a...) }

func TestSkipIsAFailureOnlyWhereCIIsTrue(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ ci, want string }{
		{"", "skip: no compiler"},
		{"false", "skip: no compiler"},
		{"true", "fatal: would skip, and CI=true makes a skip a failure: no compiler"},
	} {
		r := &recorder{TB: t}
		skip(r, tc.ci, "no compiler")
		if r.how != tc.want {
			t.Errorf("CI=%q: got %q, want %q", tc.ci, r.how, tc.want)
		}
	}
}

func TestRootIsTheFolderOfGoMod(t *testing.T) {
	t.Parallel()
	root := Root(t)
	if _, err := os.Stat(filepath.Join(root, "internal", "skiptest", "skiptest.go")); err != nil {
		t.Fatalf("Root() = %s: %v", root, err)
	}
}

func TestInstalledFindsAProgramOfTheSystem(t *testing.T) {
	t.Parallel()
	if p := Installed(t, "go", "install Go"); !filepath.IsAbs(p) {
		t.Fatalf("got %q, want an absolute path", p)
	}
}
