package check

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// TestMixinIsThePlainBundle compares what the mixin evaluates to with the plain
// files, for the default and for a changed value of each kind of parameter.
func TestMixinIsThePlainBundle(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ checklist, overrides string }{
		"default":   {"", ""},
		"threshold": {"checks: {gpu_memory: {warning: 85%}}", "{ _config+:: { gpu_memory_warning: 0.85 } }"},
		"below":     {"checks: {gpu_idle: {warning: 12.5%}}", "{ _config+:: { gpu_idle_warning: 0.125 } }"},
		"large":     {"checks: {daily_cost: {warning: 1234567}}", "{ _config+:: { daily_cost_warning: 1234567 } }"},
		"requests":  {"checks: {inference_latency: {min_requests: 7}}", "{ _config+:: { inference_latency_min_requests: 7 } }"},
		"window":    {"checks: {inference_errors: {window: 1h30m}}", "{ _config+:: { inference_errors_window: '1h30m' } }"},
		"interval":  {"evaluation_interval: 1m", "{ _config+:: { evaluation_interval: '1m' } }"},
		"selector":  {`selectors: {genai_exporter: 'job="x"'}`, `{ _config+:: { genai_exporter: 'job="x"' } }`},
		"empty":     {`selectors: {genai_exporter: "", dcgm_exporter: ""}`, `{ _config+:: { genai_exporter: '', dcgm_exporter: '' } }`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, mixin, err := renderedFiles(load(t, ""), rendered(t, load(t, ""), "en"))
			if err != nil {
				t.Fatal(err)
			}
			rules, alerts, boards, err := evaluateMixin(mixin, tc.overrides)
			if err != nil {
				t.Fatal(err)
			}
			plain := rendered(t, load(t, tc.checklist), "en")
			var want []any
			for _, section := range []string{"gpu", "inference", "cost", "meta"} {
				want = append(want, normalised(t, plain["rules/"+section+".yml"].Data, "")...)
			}
			got := append(normalised(t, rules, ".rules"), normalised(t, alerts, ".alerts")...)
			if d := cmp.Diff(byGroupAndKind(want), byGroupAndKind(got)); d != "" {
				t.Errorf("rules differ (-plain +mixin):\n%s", d)
			}
			var wantBoard, gotBoard any
			if err := json.Unmarshal(plain["dashboards/overview.json"].Data, &wantBoard); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(boards["overview.json"], &gotBoard); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(wantBoard, gotBoard); d != "" {
				t.Errorf("boards differ (-plain +mixin):\n%s", d)
			}
		})
	}
}

// TestOverrideChangesTheMixin guards the test above against comparing two
// things that ignore the parameter.
func TestOverrideChangesTheMixin(t *testing.T) {
	t.Parallel()
	_, mixin, err := renderedFiles(load(t, ""), rendered(t, load(t, ""), "en"))
	if err != nil {
		t.Fatal(err)
	}
	_, alerts, boards, err := evaluateMixin(mixin, "{ _config+:: { gpu_temperature_warning: 77 } }")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"genai:gpu_temperature:celsius > 77", "threshold 77 °C"} {
		if !strings.Contains(string(alerts), want) {
			t.Errorf("alerts do not hold %q", want)
		}
	}
	if !strings.Contains(string(boards["overview.json"]), `"value": 77`) {
		t.Error("the board does not draw 77")
	}
}

// normalised are the rules of all groups, with PromQL as the parser prints it
// and the name of the group without its suffix in each.
func normalised(t *testing.T, data []byte, suffix string) []any {
	t.Helper()
	var file struct {
		Groups []struct {
			Name     string
			Interval string
			Rules    []map[string]any
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	p := parser.NewParser(parser.Options{})
	var out []any
	for _, g := range file.Groups {
		name, ok := strings.CutSuffix(g.Name, suffix)
		if !ok {
			t.Errorf("group %s does not end in %s", g.Name, suffix)
		}
		for _, r := range g.Rules {
			e, err := p.ParseExpr(r["expr"].(string))
			if err != nil {
				t.Fatalf("%v: %v", r["expr"], err)
			}
			r["expr"] = e.String()
			r["group"], r["interval"] = name, g.Interval
			out = append(out, r)
		}
	}
	return out
}

// byGroupAndKind are rules in their order, recording ones apart from alerts.
func byGroupAndKind(rules []any) map[string][]any {
	out := map[string][]any{}
	for _, r := range rules {
		r := r.(map[string]any)
		kind := "alert"
		if r["record"] != nil {
			kind = "record"
		}
		key := r["group"].(string) + " " + kind
		out[key] = append(out[key], r)
	}
	return out
}

// TestMixinHoldsEveryParameter: a parameter that no file uses would be a switch
// that does nothing.
func TestMixinHoldsEveryParameter(t *testing.T) {
	t.Parallel()
	c := load(t, "")
	folder := rendered(t, c, "en")
	for _, p := range c.Params() {
		if !strings.Contains(string(folder["mixin/config.libsonnet"].Data), "    "+p.Name+": ") {
			t.Errorf("%s is not in _config", p.Name)
		}
	}
	for name, f := range folder {
		if strings.HasPrefix(name, "mixin/") && strings.Contains(string(f.Data), checklist.Hole("")[:2]) {
			t.Errorf("%s has a parameter left unresolved", name)
		}
	}
}
