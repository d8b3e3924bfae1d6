package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// limits are the lines that a file and a function may have, tables apart.
type limits struct{ file, function int }

// vagueNames are package names that say nothing about what is inside.
func vagueNames() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "types", "model", "models", "misc", "base", "shared"}
}

// checkSource is what breaks the conventions of a single package.
func (tr *tree) checkSource(most limits) []string {
	var found []string
	for _, p := range tr.ours {
		found = append(found, tr.checkPackage(p)...)
		vars := packageVars(tr.files[p])
		for _, f := range tr.files[p] {
			found = append(found, tr.checkSize(f, most)...)
			found = append(found, tr.checkCalls(p, f)...)
			found = append(found, tr.checkState(f, vars)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (tr *tree) checkPackage(p *pkg) []string {
	var found []string
	if slices.Contains(vagueNames(), p.Name) {
		found = append(found, fmt.Sprintf("%s: package %s: name it after what it provides", rel(p.ImportPath), p.Name))
	}
	if len(tr.files[p]) == 0 {
		return found // nothing but tests
	}
	home := path.Base(p.ImportPath)
	if p.Name == "main" {
		home = "main"
	}
	var docs []string
	for _, f := range tr.files[p] {
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" {
			docs = append(docs, path.Base(f.name))
		}
	}
	if len(docs) != 1 || docs[0] != home+".go" {
		found = append(found, fmt.Sprintf("%s: one package comment, in %s.go; it is in %q", rel(p.ImportPath), home, docs))
	}
	return found
}

// checkSize counts lines without tables: package-level literals and functions
// that only return one.
func (tr *tree) checkSize(f file, most limits) []string {
	if ast.IsGenerated(f.ast) {
		return nil
	}
	var found []string
	size := f.size
	for _, d := range f.ast.Decls {
		lines := tr.fset.Position(d.End()).Line - tr.fset.Position(d.Pos()).Line + 1
		switch d := d.(type) {
		case *ast.GenDecl:
			if d.Tok == token.VAR || d.Tok == token.CONST {
				size -= lines
			}
		case *ast.FuncDecl:
			if isTable(d) {
				size -= lines
			} else if lines > most.function {
				found = append(found, fmt.Sprintf("%s: function %s has %d lines, at most %d", tr.at(d.Pos()), d.Name.Name, lines, most.function))
			}
		}
	}
	if size > most.file {
		found = append(found, fmt.Sprintf("%s: %d lines without tables, at most %d", f.name, size, most.file))
	}
	return found
}

// isTable says whether the function does nothing but return a literal.
func isTable(d *ast.FuncDecl) bool {
	if d.Body == nil || len(d.Body.List) != 1 {
		return false
	}
	r, ok := d.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(r.Results) != 1 {
		return false
	}
	_, ok = r.Results[0].(*ast.CompositeLit)
	return ok
}

func (tr *tree) checkCalls(p *pkg, f file) []string {
	var found []string
	pure := rel(p.ImportPath) == "internal/render"
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Name.Name == "init" && fn.Recv == nil {
			found = append(found, tr.at(fn.Pos())+": init: say it where it is used")
		}
		inMain := ok && p.Name == "main" && fn.Name.Name == "main" && fn.Recv == nil
		ast.Inspect(d, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch name := selector(sel); {
			case !inMain && (name == "os.Exit" || name == "syscall.Exit" || strings.HasPrefix(name, "log.Fatal")):
				found = append(found, fmt.Sprintf("%s: %s: main exits, run returns", tr.at(n.Pos()), name))
			case pure && (name == "time.Now" || name == "time.Since" || name == "time.Local"):
				found = append(found, fmt.Sprintf("%s: %s: rendering is a pure function", tr.at(n.Pos()), name))
			}
			return true
		})
	}
	return found
}

// selector is "x.Sel" where x is a name, usually a package's.
func selector(sel *ast.SelectorExpr) string {
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + sel.Sel.Name
}

// variables are those of a package: by name, and by where they are declared.
type variables struct {
	names map[string]bool
	specs map[any]bool
}

func packageVars(files []file) variables {
	vars := variables{names: map[string]bool{}, specs: map[any]bool{}}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				vars.specs[s] = true
				for _, name := range s.(*ast.ValueSpec).Names {
					vars.names[name.Name] = true
				}
			}
		}
	}
	return vars
}

// meant says whether the name means one of the variables. The parser resolves
// names within a file and leaves those of other files open; that is enough
// here, and type-checking the module would take a hundred times as long.
func (v variables) meant(id *ast.Ident) bool {
	if id.Obj == nil {
		return v.names[id.Name]
	}
	return v.specs[id.Obj.Decl]
}

// checkState finds package-level variables that are written to, or that exist
// to be: a lock, an atomic.
func (tr *tree) checkState(f file, vars variables) []string {
	var found []string
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			for _, s := range d.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok || d.Tok != token.VAR {
					continue
				}
				if sel, ok := v.Type.(*ast.SelectorExpr); ok && (strings.HasPrefix(selector(sel), "sync.") || strings.HasPrefix(selector(sel), "atomic.")) {
					found = append(found, fmt.Sprintf("%s: package-level %s %s: pass state in", tr.at(v.Pos()), v.Names[0].Name, selector(sel)))
				}
			}
		case *ast.FuncDecl:
			found = append(found, tr.writes(d, vars)...)
		}
	}
	return found
}

func (tr *tree) writes(d *ast.FuncDecl, vars variables) []string {
	var found []string
	check := func(e ast.Expr) {
		if id := root(e); id != nil && vars.meant(id) {
			found = append(found, fmt.Sprintf("%s: writes package-level %s: pass state in", tr.at(e.Pos()), id.Name))
		}
	}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					check(e)
				}
			}
		case *ast.IncDecStmt:
			check(n.X)
		}
		return true
	})
	return found
}

// root is the variable that an assignment to e changes.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
