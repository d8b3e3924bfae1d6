package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path of the module; fixtures use the same.
const module = "github.com/genai-exporter/genai-exporter"

// pkg is a package as `go list` tells it, without its tests.
type pkg struct {
	ImportPath, Name, Dir string
	Imports, Deps         []string
	GoFiles, CgoFiles     []string
	IgnoredGoFiles        []string
	Standard, DepOnly     bool
}

// rel is the path below the module, "" for a package that is not ours.
func rel(importPath string) string {
	if importPath == module {
		return "."
	}
	r, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return r
}

// tree is every package of a module and what they reach.
type tree struct {
	root   string
	byPath map[string]*pkg
	ours   []*pkg // sorted by path
	fset   *token.FileSet
	files  map[*pkg][]file
}

// file is one source file, of any build tag.
type file struct {
	name string // below the root
	ast  *ast.File
	size int // lines
}

// load lists the module in root with cgo on, so that both variants of what is
// behind it are seen: the files that cgo switches off are parsed too.
func load(t testing.TB, root string) *tree {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-tags", "remove_all_sd",
		"-json=ImportPath,Name,Dir,Imports,Deps,GoFiles,CgoFiles,IgnoredGoFiles,Standard,DepOnly", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOPROXY=off", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	tr := &tree{root: root, byPath: map[string]*pkg{}, fset: token.NewFileSet(), files: map[*pkg][]file{}}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		tr.byPath[p.ImportPath] = p
		if rel(p.ImportPath) != "" && !scaffold(p.ImportPath) {
			tr.ours = append(tr.ours, p)
			tr.parse(t, p)
		}
	}
	slices.SortFunc(tr.ours, func(a, b *pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return tr
}

// scaffold says whether git ignores the package's folder by convention: not
// part of the repository.
func scaffold(importPath string) bool { return strings.HasSuffix(importPath, "tmp") }

func (tr *tree) parse(t testing.TB, p *pkg) {
	t.Helper()
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		path := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(tr.fset, path, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		short, err := filepath.Rel(tr.root, path)
		if err != nil {
			t.Fatal(err)
		}
		tr.files[p] = append(tr.files[p], file{name: short, ast: f, size: bytes.Count(src, []byte("\n"))})
	}
}

// at is a place in a message: file:line below the root.
func (tr *tree) at(pos token.Pos) string {
	p := tr.fset.Position(pos)
	short, err := filepath.Rel(tr.root, p.Filename)
	if err != nil {
		short = p.Filename
	}
	return fmt.Sprintf("%s:%d", short, p.Line)
}
