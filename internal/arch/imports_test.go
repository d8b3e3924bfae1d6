package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Groups of import paths that several rules name. A name ending in /... means
// the package and everything below; names without a dot in the first element
// are packages of the module or of the standard library.
const (
	promServer  = "github.com/prometheus/prometheus/..."
	alertServer = "github.com/prometheus/alertmanager/..."
	clientLib   = "github.com/prometheus/client_golang/..."
	jsonnet     = "github.com/google/go-jsonnet/..."
	grafana     = "github.com/grafana/grafana-foundation-sdk/..."
	binding     = "github.com/NVIDIA/go-nvml/..."
	kingpin     = "github.com/alecthomas/kingpin/..."
)

// importRule forbids imports. from and to are patterns as above; except names
// packages of from that may.
type importRule struct {
	from, except, to []string
	// reach also forbids getting there through other packages.
	reach  bool
	reason string
}

// feeders produce values for the collectors.
func feeders() []string {
	return []string{"internal/nvml", "internal/podresources", "internal/tail", "internal/dify", "internal/pricebook"}
}

func importRules() []importRule {
	return []importRule{
		{
			from: feeders(), to: append(feeders(), clientLib, "collector", "checklist", "internal/render", "internal/config"), reach: true,
			reason: "feeders produce values: they know no metrics, no configuration and not each other",
		},
		{
			from: []string{"collector"}, to: []string{"checklist", "internal/render", kingpin, promServer, alertServer}, reach: true,
			reason: "the exporter knows no thresholds, flags belong to cmd, and a daemon on every node stays small",
		},
		{
			from: []string{"internal/render"}, to: []string{"collector", "os", "os/exec", "net", "net/http", "path/filepath", "math/rand/..."},
			reason: "rendering is a pure function: same checklist, same bytes, whatever the machine",
		},
		{
			from: []string{"internal/render"}, to: []string{"collector", promServer, alertServer}, reach: true,
			reason: "the two halves meet in metric names only, and rules are written, not run, here",
		},
		{
			from: []string{"checklist"}, to: []string{"collector", "cmd/...", "internal/render", "internal/check", "internal/stack", clientLib, promServer, alertServer},
			reach: true, reason: "the checklist is the vocabulary: everything else may know it, it knows nothing else",
		},
		{
			from: []string{"..."}, to: []string{promServer, alertServer},
			except: []string{"internal/stack", "internal/check", "internal/lint", "internal/route", "internal/backtest"},
			reason: "only these packages speak to Prometheus' and Alertmanager's code, so that an upgrade of theirs has one place",
		},
		{
			from: []string{"cmd/genai_exporter"}, to: []string{promServer, alertServer, jsonnet, grafana, "checklist", "internal/render"}, reach: true,
			reason: "the exporter runs on every node: it stays small and knows no rules",
		},
		{
			from: []string{"cmd/genaictl"}, to: []string{binding, "internal/nvml", "C"}, reach: true,
			reason: "genaictl is a static binary for any machine",
		},
		{
			from: []string{"..."}, except: []string{"internal/skiptest"}, to: []string{"testing", "testing/...", "internal/skiptest"}, reach: true,
			reason: "what tests need does not belong in the product; a package for tests has a name that ends in test",
		},
		{
			from: []string{"..."}, to: []string{"cmd/...", "demo/...", "internal/arch"},
			reason: "commands and the arch tests are not libraries",
		},
	}
}

// matches says whether importPath is meant by pattern.
func matches(pattern, importPath string) bool {
	if first, _, _ := strings.Cut(pattern, "/"); !strings.Contains(first, ".") || pattern == "..." {
		if r := rel(importPath); r != "" {
			importPath = r
		} else if pattern == "..." {
			return false
		}
	}
	if pattern == "..." {
		return true
	}
	prefix, below := strings.CutSuffix(pattern, "/...")
	return importPath == prefix || below && strings.HasPrefix(importPath, prefix+"/")
}

func anyMatch(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, importPath) })
}

// checkImports is what breaks a rule, with the reason.
func (tr *tree) checkImports() []string {
	var found []string
	for _, rule := range importRules() {
		for _, p := range tr.ours {
			if !anyMatch(rule.from, p.ImportPath) || anyMatch(rule.except, p.ImportPath) || strings.HasSuffix(path.Base(p.ImportPath), "test") {
				continue
			}
			for _, bad := range tr.forbidden(p, rule) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", rel(p.ImportPath), bad, rule.reason))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// forbidden lists what p imports against the rule, each with the way there.
// Reaching stops at packages of the standard library, and cgo in it is fine.
func (tr *tree) forbidden(p *pkg, rule importRule) []string {
	var bad []string
	seen := map[string]bool{p.ImportPath: true}
	type step struct {
		p   *pkg
		way string
	}
	for queue := []step{{p, ""}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, imp := range at.p.Imports {
			if seen[imp] {
				continue
			}
			seen[imp] = true
			if anyMatch(rule.to, imp) && imp != p.ImportPath {
				bad = append(bad, imp+at.way)
				continue
			}
			next := tr.byPath[imp]
			if rule.reach && next != nil && !next.Standard && (rule.followsForeign() || rel(imp) != "") {
				queue = append(queue, step{next, at.way + " (through " + short(imp) + ")"})
			}
		}
	}
	return bad
}

// followsForeign says whether the way may lead through packages of others: not
// for testing, which some libraries import for reasons of their own.
func (r importRule) followsForeign() bool { return !slices.Contains(r.to, "testing") }

func short(importPath string) string {
	if r := rel(importPath); r != "" {
		return r
	}
	return importPath
}
