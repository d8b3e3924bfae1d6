package check

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// runbookDir is below docs; runbook_url of the checklist points there.
const runbookDir = "runbooks"

// oneScreen is how many lines a runbook may have.
const oneScreen = 80

// runbookHeadings are the sections of a runbook, in order. They are all that
// two runbooks of a language share.
func runbookHeadings() map[string][]string {
	return map[string][]string{
		"en": {
			"## Meaning", "## Impact", "## Do this first", "## Diagnosis",
			"## False alarm: change this line, `genaictl render`, reload Prometheus", "## Escalation",
		},
		"ko": {
			"## 의미", "## 영향", "## 먼저 할 일", "## 진단",
			"## 오탐이라면: 이 줄을 고치고 `genaictl render` 후 Prometheus 다시 읽기", "## 에스컬레이션",
		},
	}
}

// prometheusOwn are metrics that Prometheus exports about itself, as seen on
// /metrics of 3.x, with the labels that a runbook may use.
func prometheusOwn() map[string]carried {
	return map[string]carried{
		"prometheus_config_last_reload_successful":          labelSet(),
		"prometheus_notifications_alertmanagers_discovered": labelSet(),
		"prometheus_notifications_dropped_total":            labelSet(),
		"prometheus_notifications_errors_total":             labelSet("alertmanager"),
		"prometheus_rule_evaluation_failures_total":         labelSet("rule_group"),
	}
}

// runbook is one file, cut into its parts.
type runbook struct {
	name, title string
	headings    []string
	// prose is every line outside of fences that is no heading.
	prose  []string
	blocks []block
}

// block is the inside of a fence.
type block struct {
	line       int
	kind, text string
}

func parseRunbook(name, text string) runbook {
	r := runbook{name: name}
	var in *block
	for i, line := range strings.Split(text, "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && in == nil:
			in = &block{line: i + 2, kind: kind}
		case fence:
			r.blocks = append(r.blocks, *in)
			in = nil
		case in != nil:
			in.text += line + "\n"
		case strings.HasPrefix(line, "# "):
			r.title = line
		case strings.HasPrefix(line, "#"):
			r.headings = append(r.headings, line)
		case strings.TrimSpace(line) != "":
			r.prose = append(r.prose, line)
		}
	}
	if in != nil {
		r.blocks = append(r.blocks, block{in.line, "unclosed", in.text})
	}
	return r
}

// runbookChecker collects what is wrong with the runbooks below a folder.
type runbookChecker struct {
	c      *checklist.Checklist
	u      *universe
	docs   fs.FS
	faults []string
}

func (k *runbookChecker) faultf(format string, a ...any) {
	k.faults = append(k.faults, fmt.Sprintf(format, a...))
}

// runbookFaults holds the runbooks to the alerts that the default checklist
// renders. docs is the folder above runbooks/.
func runbookFaults(t *testing.T, docs fs.FS) []string {
	t.Helper()
	c := load(t, "")
	alerts := map[string]string{} // by check
	var u *universe
	for _, lang := range checklist.Languages() {
		folder := rendered(t, c, lang)
		k := &checker{c: c, have: map[string][]byte{}, parser: parser.NewParser(parser.Options{})}
		for name, f := range folder {
			k.have[name] = f.Data
		}
		k.ruleFiles()
		u = k.plain
		maps.Copy(u.emitted, prometheusOwn())
		for _, r := range u.rules {
			if r.Alert == "" {
				continue
			}
			alerts[r.Labels["check"]] = r.Alert
			if want := fmt.Sprintf("docs/%s/%s/%s.md", runbookDir, lang, r.Labels["check"]); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
				t.Errorf("%s links to %s, want …/%s", r.Alert, r.Annotations["runbook_url"], want)
			}
		}
	}
	for _, ch := range c.Checks() {
		if alerts[ch.ID] != ch.Alert {
			t.Errorf("check %s renders alert %q, want %s", ch.ID, alerts[ch.ID], ch.Alert)
		}
	}
	k := &runbookChecker{c: c, u: u, docs: docs}
	k.all(alerts)
	return k.faults
}

func (k *runbookChecker) all(alerts map[string]string) {
	found, _ := fs.Glob(k.docs, runbookDir+"/*/*") // the pattern is a constant
	for _, name := range found {
		id, isRunbook := strings.CutSuffix(path.Base(name), ".md")
		if _, ok := alerts[id]; !ok || !isRunbook || !slices.Contains(checklist.Languages(), path.Base(path.Dir(name))) {
			k.faultf("%s belongs to no alert", name)
		}
	}
	code := map[string]string{} // by check: that of the first language
	for _, lang := range checklist.Languages() {
		seen := map[string]string{}
		for _, id := range slices.Sorted(maps.Keys(alerts)) {
			name := path.Join(runbookDir, lang, id+".md")
			data, err := fs.ReadFile(k.docs, name)
			if err != nil {
				k.faultf("%s of %s is missing", name, alerts[id])
				continue
			}
			r := parseRunbook(name, string(data))
			k.shape(r, lang, alerts[id], string(data))
			k.names(r, string(data))
			k.inside(r, id)
			for _, line := range r.prose {
				if other, twice := seen[line]; twice {
					k.faultf("%s repeats a line of %s: %s", name, other, line)
				}
				seen[line] = name
			}
			switch own := codeOf(r); {
			case code[id] == "":
				code[id] = own
			case code[id] != own:
				k.faultf("%s has other queries or commands than its twin:\n%s", name, cmp.Diff(code[id], own))
			}
		}
	}
}

// shape is what the eye sees: title, sections, length.
func (k *runbookChecker) shape(r runbook, lang, alert, text string) {
	if !strings.HasPrefix(r.title, "# "+alert+": ") {
		k.faultf("%s has the title %q, want %q and what is wrong", r.name, r.title, "# "+alert+": ")
	}
	if want := runbookHeadings()[lang]; !slices.Equal(r.headings, want) {
		k.faultf("%s has other sections:\n%s", r.name, cmp.Diff(want, r.headings))
	}
	if n := strings.Count(text, "\n"); n > oneScreen {
		k.faultf("%s has %d lines, which is more than a screen of %d", r.name, n, oneScreen)
	}
}

// metricName is what looks like a metric of ours, of dcgm-exporter or of the seed.
var metricName = regexp.MustCompile(`\b(?:genai[_:][a-zA-Z0-9_:]*[a-zA-Z0-9]|DCGM_FI_[A-Z0-9_]+|inference_request_[a-z0-9_]+)\b`)

// names looks at metrics everywhere, in sentences and commands too.
func (k *runbookChecker) names(r runbook, text string) {
	for _, name := range metricName.FindAllString(text, -1) {
		if _, known := k.u.series(name); !known && name != "genai_exporter" {
			k.faultf("%s names %s, which nothing emits or records", r.name, name)
		}
	}
}

// inside looks into the fences.
func (k *runbookChecker) inside(r runbook, id string) {
	kinds := map[string]int{}
	for _, b := range r.blocks {
		at := fmt.Sprintf("%s:%d", r.name, b.line)
		kinds[b.kind]++
		switch b.kind {
		case "promql":
			for _, q := range strings.Split(strings.TrimSpace(b.text), "\n\n") {
				k.query(at, q)
			}
		case "yaml checklist":
			k.snippet(at, id, b.text)
		case "sh":
		default:
			k.faultf("%s: a block of kind %q, want promql, sh or yaml checklist", at, b.kind)
		}
	}
	for _, kind := range []string{"promql", "sh", "yaml checklist"} {
		if kinds[kind] == 0 {
			k.faultf("%s has no block of kind %q", r.name, kind)
		}
	}
}

func (k *runbookChecker) query(at, q string) {
	e, err := k.u.parser.ParseExpr(q)
	if err != nil {
		k.faultf("%s: %v", at, err)
		return
	}
	in := &inferrer{u: k.u, report: func(reason, advice string) { k.faultf("%s: %s; %s", at, reason, advice) }}
	in.expr(e)
}

// snippet must load, and must change what the runbook is about.
func (k *runbookChecker) snippet(at, id, text string) {
	c, err := checklist.Load("checklist.yaml", []byte(text))
	if err != nil {
		k.faultf("%s: %v", at, err)
		return
	}
	find := func(c *checklist.Checklist) any {
		switch id {
		case "signal_absent":
			return []any{c.AbsentFor, c.SourcesOf}
		case "watchdog":
			return c.Routing.Audiences[checklist.DeadMan]
		}
		i := slices.IndexFunc(c.Checks(), func(ch checklist.Check) bool { return ch.ID == id })
		if i < 0 {
			return nil // switched off
		}
		return c.Checks()[i]
	}
	if cmp.Equal(find(c), find(k.c), cmpopts.EquateEmpty()) {
		k.faultf("%s: the snippet changes nothing of %s", at, id)
	}
}

// codeOf is what must be the same in every language: all but the comments.
func codeOf(r runbook) string {
	comment := regexp.MustCompile(`(?m)\s*(?:^|\s)#.*$`)
	var b strings.Builder
	for _, block := range r.blocks {
		fmt.Fprintf(&b, "%s\n%s\n", block.kind, strings.TrimSpace(comment.ReplaceAllString(block.text, "")))
	}
	return b.String()
}

// docsFolder is docs/ as it is in the repository.
func docsFolder(t *testing.T) string {
	t.Helper()
	return filepath.Join(skiptest.Root(t), "docs")
}

func TestRunbooksAnswerEveryAlertInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, fault := range runbookFaults(t, os.DirFS(docsFolder(t))) {
		t.Error(fault)
	}
}

func TestRunbookFaultsAreFound(t *testing.T) {
	t.Parallel()
	const name = "runbooks/en/gpu_memory.md"
	replace := func(file, old, with string) func(fstest.MapFS) {
		return func(docs fstest.MapFS) {
			text := string(docs[file].Data)
			if !strings.Contains(text, old) {
				panic(file + " has no " + old)
			}
			docs[file] = &fstest.MapFile{Data: []byte(strings.Replace(text, old, with, 1))}
		}
	}
	for want, spoil := range map[string]func(fstest.MapFS){
		name + " of GPUMemoryHigh is missing": func(docs fstest.MapFS) { delete(docs, name) },
		"runbooks/ko/watchdog.md of Watchdog is missing": func(docs fstest.MapFS) {
			delete(docs, "runbooks/ko/watchdog.md")
		},
		"runbooks/en/no_check.md belongs to no alert": func(docs fstest.MapFS) {
			docs["runbooks/en/no_check.md"] = docs[name]
		},
		"runbooks/fr/gpu_memory.md belongs to no alert": func(docs fstest.MapFS) {
			docs["runbooks/fr/gpu_memory.md"] = docs[name]
		},
		name + " has the title":                                   replace(name, "# GPUMemoryHigh: ", "# GPUMemory: "),
		name + " has other sections":                              replace(name, "## Impact", "## Effect"),
		name + " has 1":                                           replace(name, "## Impact\n", "## Impact\n"+strings.Repeat("\n", 100)),
		"no source of the checklist emits":                        replace(name, "\ngenai:gpu_memory_used:ratio{", "\ngenai:gpu_memory_usde:ratio{"),
		name + " names genai_gpu_memory_bytes, which":             replace(name, "## Impact\n", "## Impact\n\n`genai_gpu_memory_bytes`\n"),
		"matches label host of genai:gpu_memory_used:ratio":       replace(name, `:ratio{node="NODE"`, `:ratio{host="NODE"`),
		"parse error":                                             replace(name, "\ngenai:gpu_memory_used:ratio{", "\ngenai:gpu_memory_used:ratio{{"),
		"checks.gpu_memory.waning":                                replace(name, "{warning: ", "{waning: "),
		"the snippet changes nothing of gpu_":                     replace(name, "  gpu_memory: {", "  gpu_temperature: {critical: 1, warning: 0.5} #"),
		"a block of kind \"yaml\"":                                replace(name, "```yaml checklist", "```yaml"),
		name + " has no block of kind \"sh\"":                     replace(name, "```sh", "```promql"),
		"runbooks/ko/gpu_memory.md has other queries or commands": replace(name, "memory.total", "memory.free"),
		"gpu_memory.md repeats a line of": func(docs fstest.MapFS) {
			line := parseRunbook("", string(docs["runbooks/en/gpu_idle.md"].Data)).prose[0]
			replace(name, "## Impact\n", "## Impact\n\n"+line+"\n")(docs)
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			docs := fstest.MapFS{}
			real := os.DirFS(docsFolder(t))
			files, err := fs.Glob(real, runbookDir+"/*/*.md")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				data, err := fs.ReadFile(real, f)
				if err != nil {
					t.Fatal(err)
				}
				docs[f] = &fstest.MapFile{Data: data}
			}
			spoil(docs)
			if got := runbookFaults(t, docs); !strings.Contains(strings.Join(got, "\n"), want) {
				t.Errorf("not found; got %q", got)
			}
		})
	}
}
