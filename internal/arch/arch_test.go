package arch

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

var update = flag.Bool("update", false, "write the expectations, docs/metrics.md and the contract of the exporter's metrics")

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	for _, problem := range load(t, skiptest.Root(t)).checkImports() {
		t.Error(problem)
	}
}

func TestSourceKeepsTheConventions(t *testing.T) {
	t.Parallel()
	for _, problem := range load(t, skiptest.Root(t)).checkSource(limits{file: 400, function: 60}) {
		t.Error(problem)
	}
}

// TestCheckersFailWhenProvoked feeds the checkers modules that break the
// conventions, and compares every message.
func TestCheckersFailWhenProvoked(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			want := ""
			for i, f := range a.Files {
				if f.Name == "want" {
					want = string(f.Data)
					a.Files = append(a.Files[:i:i], a.Files[i+1:]...)
					break
				}
			}
			if err := txtar.Write(a, root); err != nil {
				t.Fatal(err)
			}
			tr := load(t, root)
			got := strings.Join(append(tr.checkImports(), tr.checkSource(limits{file: 40, function: 10})...), "\n") + "\n"
			if *update {
				a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("findings differ (-want +got), -update writes them:\n%s", d)
			}
		})
	}
}
