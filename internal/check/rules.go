package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"strconv"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"
)

// rule is a recording rule or an alert, with its place.
type rule struct {
	file          string
	line          int
	Record        string            `yaml:"record"`
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
	For           string            `yaml:"for"`
	KeepFiringFor string            `yaml:"keep_firing_for"`
}

// UnmarshalYAML notes the line.
func (r *rule) UnmarshalYAML(n *yaml.Node) error {
	type plain rule
	r.line = n.Line
	return n.Decode((*plain)(r))
}

func (r rule) name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}

type groups struct {
	Groups []struct {
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

// ruleFiles checks rules/ with the parser that Prometheus loads them with.
func (k *checker) ruleFiles() {
	k.plain = k.newUniverse()
	for _, name := range k.files("rules", ".yml") {
		k.plain.rules = append(k.plain.rules, k.parseRules(name, k.have[name], 0)...)
	}
	k.plain.check()
	k.plain.carriesCatalogue()
}

// parseRules are the rules of a rule file; offset is the line before its first.
func (k *checker) parseRules(name string, data []byte, offset int) []rule {
	_, errs := rulefmt.Parse(data, false, model.UTF8Validation, k.parser, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		f := k.ruleError(name, err, offset)
		// Templates are looked at more closely later, with what the alert carries.
		if !strings.HasPrefix(f.Reason, `annotation "`) && !strings.HasPrefix(f.Reason, `label "`) {
			k.add(f)
		}
	}
	var g groups
	if err := yaml.Unmarshal(data, &g); err != nil {
		return nil // rulefmt has said so
	}
	var out []rule
	for _, group := range g.Groups {
		for _, r := range group.Rules {
			r.file = name
			r.line += offset
			out = append(out, r)
		}
	}
	return out
}

// position is how rulefmt and yaml begin a message: "12:5: " or "line 12: ".
var position = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?(?:line )?(\d+):(?:\d+:)? `)

func (k *checker) ruleError(name string, err error, offset int) Finding {
	f := Finding{File: name, Reason: err.Error(), Advice: "Prometheus would refuse the file; render it again"}
	var re *rulefmt.Error
	if errors.As(err, &re) {
		f.Subject, f.Reason = re.RuleName, re.Err.Error()
	}
	if m := position.FindStringSubmatch(f.Reason); m != nil {
		f.Reason = strings.TrimPrefix(f.Reason, m[0])
		if n, err := strconv.Atoi(m[1]); err == nil {
			f.Line = n + offset
		}
	}
	f.Reason = strings.TrimSpace(f.Reason)
	return f
}

// prometheusRules decodes the objects strictly as the operator's own type, and
// checks the rules in them.
func (k *checker) prometheusRules() {
	const dir = "deploy/prometheusrule"
	u := k.newUniverse()
	for _, name := range k.files(dir, ".yaml") {
		if path.Base(name) == "kustomization.yaml" {
			k.kustomization(name)
			continue
		}
		u.rules = append(u.rules, k.prometheusRule(name)...)
	}
	u.check()
}

func (k *checker) prometheusRule(name string) []rule {
	data := k.have[name]
	var tree any
	var object monitoringv1.PrometheusRule
	err := yaml.Unmarshal(data, &tree)
	if err == nil {
		var asJSON []byte
		if asJSON, err = json.Marshal(tree); err == nil {
			d := json.NewDecoder(bytes.NewReader(asJSON))
			d.DisallowUnknownFields()
			err = d.Decode(&object)
		}
	}
	if err == nil && (object.APIVersion != "monitoring.coreos.com/v1" || object.Kind != monitoringv1.PrometheusRuleKind) {
		err = fmt.Errorf("is a %s %s, want a monitoring.coreos.com/v1 PrometheusRule", object.APIVersion, object.Kind)
	}
	if err == nil && object.Name == "" {
		err = errors.New("metadata.name is empty")
	}
	if err != nil {
		k.add(Finding{File: name, Reason: err.Error(), Advice: "the operator would refuse the object; render it again"})
		return nil
	}
	var doc struct {
		Spec yaml.Node `yaml:"spec"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil // cannot be: it was decoded above
	}
	spec, err := yaml.Marshal(&doc.Spec)
	if err != nil {
		k.add(Finding{File: name, Reason: err.Error()})
		return nil
	}
	k.parseRules(name, spec, 0)
	var g groups
	if err := doc.Spec.Decode(&g); err != nil {
		return nil // parseRules has said so
	}
	var out []rule
	for _, group := range g.Groups {
		for _, r := range group.Rules {
			r.file = name
			out = append(out, r)
		}
	}
	return out
}

// kustomization must list exactly the objects beside it.
func (k *checker) kustomization(name string) {
	var doc struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Resources  []string `yaml:"resources"`
	}
	d := yaml.NewDecoder(bytes.NewReader(k.have[name]))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		k.add(Finding{File: name, Reason: err.Error(), Advice: "render it again"})
		return
	}
	listed := map[string]bool{}
	for _, r := range doc.Resources {
		listed[r] = true
		if _, ok := k.have[path.Join(path.Dir(name), r)]; !ok {
			k.add(Finding{File: name, Subject: r, Reason: "the resource is not there", Advice: "render again"})
		}
	}
	for _, other := range k.files(path.Dir(name), ".yaml") {
		if base := path.Base(other); other != name && !listed[base] {
			k.add(Finding{File: name, Subject: base, Reason: "the object is not among the resources", Advice: "render again"})
		}
	}
}
