// Package check reads rendered files the way Prometheus, Alertmanager, an
// operator, Grafana and jsonnet read them, and finds what those let through:
// files that are not fresh, metrics that nobody emits, labels that a series
// does not carry, inhibition that would mute the wrong alert.
package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
)

// Finding is one thing that is wrong with the rendered files.
type Finding struct {
	// File is relative to the checked folder, with slashes.
	File string
	// Line counts from 1; 0 where it is not known.
	Line int
	// Subject is the rule, panel, receiver or message; "" for the whole file.
	Subject string
	Reason  string
	// Advice is what to do about it.
	Advice string
}

// String is the finding on one line.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Subject != "" {
		b.WriteString(": " + f.Subject)
	}
	b.WriteString(": " + f.Reason)
	if f.Advice != "" {
		b.WriteString("; " + f.Advice)
	}
	return b.String()
}

// Result is what a check saw.
type Result struct {
	// Files is how many rendered files were read.
	Files    int
	Findings []Finding
}

// Bundle checks what was rendered into a folder against the checklist it is
// said to come from. All findings come at once, in the order of files and
// lines. The error means that the folder could not be read.
func Bundle(c *checklist.Checklist, folder fs.FS) (Result, error) {
	wanted, have, err := renderedFiles(c, folder)
	if err != nil {
		return Result{}, err
	}
	k := newChecker(c, have)
	k.freshness(wanted)
	k.ruleFiles()
	k.prometheusRules()
	k.mixin()
	k.boards()
	k.alertmanager()
	seen := map[Finding]bool{}
	k.findings = slices.DeleteFunc(k.findings, func(f Finding) bool {
		twice := seen[f]
		seen[f] = true
		return twice
	})
	slices.SortStableFunc(k.findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return Result{Files: len(have), Findings: k.findings}, nil
}

// checker collects findings over the files of a folder.
type checker struct {
	c        *checklist.Checklist
	have     map[string][]byte
	parser   parser.Parser
	findings []Finding
	// plain are the rules of rules/, which boards and routing belong to.
	plain *universe
}

func newChecker(c *checklist.Checklist, have map[string][]byte) *checker {
	return &checker{c: c, have: have, parser: parser.NewParser(parser.Options{})}
}

func (k *checker) add(f Finding) { k.findings = append(k.findings, f) }

// files are the names below a folder that end in suffix, sorted.
func (k *checker) files(dir, suffix string) []string {
	var out []string
	for name := range k.have {
		if path.Dir(name) == dir && strings.HasSuffix(name, suffix) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// renderedFiles renders the checklist in the language that the folder is in,
// and reads every rendered file of the folders that rendering writes to.
func renderedFiles(c *checklist.Checklist, folder fs.FS) (wanted, have map[string][]byte, err error) {
	most := -1
	for _, lang := range checklist.Languages() {
		files, err := render.All(c, render.Options{Lang: lang})
		if err != nil {
			return nil, nil, err
		}
		if have == nil {
			if have, err = read(folder, files); err != nil {
				return nil, nil, err
			}
		}
		byPath, same := map[string][]byte{}, 0
		for _, f := range files {
			byPath[f.Path] = f.Data
			if string(have[f.Path]) == string(f.Data) {
				same++
			}
		}
		if same > most {
			wanted, most = byPath, same
		}
	}
	return wanted, have, nil
}

// read takes what rendering would write and whatever else bears its mark.
func read(folder fs.FS, files []render.File) (map[string][]byte, error) {
	have := map[string][]byte{}
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.Path] = true
	}
	for _, dir := range render.Folders() {
		entries, err := fs.ReadDir(folder, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.IsDir() {
				continue
			}
			data, err := fs.ReadFile(folder, name)
			if err != nil {
				return nil, err
			}
			if wanted[name] || render.Rendered(data) {
				have[name] = data
			}
		}
	}
	return have, nil
}
