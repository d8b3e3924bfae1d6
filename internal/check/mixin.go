package check

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-jsonnet"
)

// evaluateMixin gives what a user of the mixin gets; overrides is jsonnet put
// over it, such as { _config+:: { gpu_memory_warning: 0.8 } }, or "".
func evaluateMixin(files map[string][]byte, overrides string) (rules, alerts []byte, boards map[string]json.RawMessage, err error) {
	data := map[string]jsonnet.Contents{}
	for name, text := range files {
		if path.Dir(name) == "mixin" {
			data[path.Base(name)] = jsonnet.MakeContents(string(text))
		}
	}
	vm := jsonnet.MakeVM()
	vm.Importer(&jsonnet.MemoryImporter{Data: data})
	snippet := "local mixin = import 'mixin.libsonnet';\n" +
		"local m = mixin " + overrides + ";\n" +
		"{ rules: m.prometheusRules, alerts: m.prometheusAlerts, boards: m.grafanaDashboards }"
	text, err := vm.EvaluateAnonymousSnippet("mixin", snippet)
	if err != nil {
		return nil, nil, nil, err
	}
	var out struct {
		Rules, Alerts json.RawMessage
		Boards        map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, nil, nil, err
	}
	return out.Rules, out.Alerts, out.Boards, nil
}

// mixin evaluates mixin/ and checks the rules and boards that come out.
func (k *checker) mixin() {
	const entry = "mixin/mixin.libsonnet"
	if _, ok := k.have[entry]; !ok {
		return // freshness has said so
	}
	rules, alerts, boards, err := evaluateMixin(k.have, "")
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		k.add(Finding{File: entry, Reason: "cannot be evaluated: " + first, Advice: "render it again"})
		return
	}
	u := k.newUniverse()
	u.rules = append(k.unplaced("mixin/rules.libsonnet", rules), k.unplaced("mixin/alerts.libsonnet", alerts)...)
	u.check()
	for _, name := range slices.Sorted(maps.Keys(boards)) {
		b := &board{universe: u, file: "mixin/dashboards.libsonnet"}
		b.check(boards[name], name)
	}
}

// unplaced parses evaluated rules; their lines are not those of the file.
func (k *checker) unplaced(name string, data []byte) []rule {
	before := len(k.findings)
	rules := k.parseRules(name, data, 0)
	for i := range k.findings[before:] {
		k.findings[before+i].Line = 0
	}
	for i := range rules {
		rules[i].line = 0
	}
	return rules
}
