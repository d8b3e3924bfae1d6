// Package strictyaml decodes one YAML document into Go structs and collects
// every problem with its file, line and key, so that a user mends a file once
// and not once per mistake. Unknown and repeated keys are problems, with the
// nearest known key as a suggestion.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what aliases can expand to.
const maxNodes = 200_000

// Problem is one thing that is wrong with a document.
type Problem struct {
	File string
	// Line counts from 1; 0 where the problem is the whole file's.
	Line int
	// Path is the key, such as request_logs[0].files; "" for the document.
	Path string
	Msg  string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	return b.String() + ": " + p.Msg
}

// Errors are all problems of a document in the order of its lines.
type Errors []Problem

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Doc is a decoded document: it knows on which line each key stands, so that
// checks made after decoding name lines too.
type Doc struct {
	name     string
	lines    map[string]int
	problems Errors
	nodes    int
	// undecoded are the keys whose value could not be decoded.
	undecoded map[string]bool
}

// Decode fills out, a pointer to a struct with yaml tags, from data. An empty
// document leaves out as it is. Problems are in Err of the Doc returned.
func Decode(name string, data []byte, out any) *Doc {
	d := &Doc{name: name, lines: map[string]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			d.syntax(err)
		}
		return d
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		d.problems = append(d.problems, Problem{name, next.Line, "", "a second document starts here: one file holds one"})
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	if len(root.Content) == 1 {
		d.value(root.Content[0], reflect.ValueOf(out).Elem(), "")
	}
	d.undecoded = map[string]bool{}
	for _, p := range d.problems {
		d.undecoded[p.Path] = true
	}
	return d
}

// syntax splits "yaml: line 3: ..." into a line and a message.
func (d *Doc) syntax(err error) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if n, _ := fmt.Sscanf(msg, "line %d:", &line); n == 1 {
		_, msg, _ = strings.Cut(msg, ": ")
	}
	d.problems = append(d.problems, Problem{d.name, line, "", "not valid YAML: " + msg})
}

// Addf notes a problem at path, on the line of its nearest written ancestor.
// A value that could not be decoded has its problem already.
func (d *Doc) Addf(path, format string, args ...any) {
	if d.undecoded[path] {
		return
	}
	d.problems = append(d.problems, Problem{d.name, d.Line(path), path, fmt.Sprintf(format, args...)})
}

// Line is the line of path or of its nearest ancestor, 0 if there is none.
func (d *Doc) Line(path string) int {
	for path != "" {
		if n, ok := d.lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// Has tells whether path is written in the document.
func (d *Doc) Has(path string) bool { _, ok := d.lines[path]; return ok }

// Err is nil or Errors.
func (d *Doc) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int { return a.Line - b.Line })
	return d.problems
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// value decodes n into v; null leaves v as it is, like an absent key.
func (d *Doc) value(n *yaml.Node, v reflect.Value, path string) {
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.Addf(path, "the document expands to more than %d values", maxNodes)
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Addr().Type().Implements(reflect.TypeFor[yaml.Unmarshaler]()):
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.Addf(path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
	case v.Kind() == reflect.Struct:
		d.structure(n, v, path)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// structure decodes a mapping by the yaml tags of a struct.
func (d *Doc) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.Addf(path, "is %s, want keys and values", kindOf(n))
		return
	}
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key != "" && key != "-" {
			fields[key] = i
			known = append(known, key)
		}
	}
	d.eachKey(n, path, func(key string, value *yaml.Node, at string) {
		i, ok := fields[key]
		if !ok {
			d.Addf(at, "unknown key%s", Suggest(key, known))
			return
		}
		d.value(value, v.Field(i), at)
	})
}

// eachKey walks a mapping, notes lines and refuses repeated keys.
func (d *Doc) eachKey(n *yaml.Node, path string, visit func(key string, value *yaml.Node, at string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := join(path, k.Value)
		if first, dup := seen[k.Value]; dup {
			d.problems = append(d.problems, Problem{d.name, k.Line, at, fmt.Sprintf("is written twice, first on line %d", first)})
			continue
		}
		seen[k.Value] = k.Line
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			d.problems = append(d.problems, Problem{d.name, k.Line, path, "merge keys and keys that are not words are not supported"})
			continue
		}
		d.lines[at] = k.Line
		visit(k.Value, n.Content[i+1], at)
	}
}

func (d *Doc) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.Addf(path, "is %s, want keys and values", kindOf(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.eachKey(n, path, func(key string, value *yaml.Node, at string) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(value, e, at)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
	})
}

func (d *Doc) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.Addf(path, "is %s, want a list", kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = c.Line
		d.value(c, v.Index(i), at)
	}
}

// scalar decodes one leaf. A string field takes any scalar as it is written,
// so that a price of 0.10 or a version of 1.20 keeps its digits.
func (d *Doc) scalar(n *yaml.Node, v reflect.Value, path string) {
	want := map[reflect.Kind]string{
		reflect.String: "a text", reflect.Bool: "true or false", reflect.Int: "a whole number",
		reflect.Int64: "a whole number", reflect.Float64: "a number",
	}[v.Kind()]
	if n.Kind != yaml.ScalarNode {
		d.Addf(path, "is %s, want %s", kindOf(n), want)
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(n.Value)
		return
	}
	err := n.Decode(v.Addr().Interface())
	if v.Type().PkgPath() != "" { // a type with a decoder of its own, such as a duration
		if err != nil {
			d.Addf(path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		return
	}
	whole := v.Kind() == reflect.Int || v.Kind() == reflect.Int64
	if err != nil || whole && n.ShortTag() != "!!int" {
		d.Addf(path, "is %q, want %s", n.Value, want)
	}
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

// Suggest is `, did you mean "x"?` for the nearest known word, or the list of
// known words when none is near.
func Suggest(word string, known []string) string {
	best, at := "", 1+(len(word)+2)/3
	for _, k := range known {
		if n := distance(word, k); n < at {
			best, at = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	sorted := slices.Sorted(slices.Values(known))
	return ", want one of " + strings.Join(sorted, ", ")
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
