package render

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// group is one rule group of a section. Expressions and texts are symbolic:
// they hold parameters as %(name)s until a renderer fills them, so that plain
// files, the CRD and the mixin come from the same text.
type group struct {
	Name     string
	Section  string
	Interval checklist.Duration
	Rules    []rule
}

// rule is a recording rule (Record set) or an alert (Alert set).
type rule struct {
	Record, Alert string
	Expr          string
	For, Keep     checklist.Duration
	Labels        map[string]string
	Annotations   map[string]string
}

// absentAlert is the twin that tells of a signal that is not there; watchdog
// always fires, so that silence is noticed.
const (
	absentAlert = "GenAISignalAbsent"
	watchdog    = "Watchdog"
)

// ruleGroups makes one group per section, recording rules before the alerts
// that read them.
func (b *bundle) ruleGroups() []group {
	var groups []group
	for _, s := range b.c.Sections {
		g := group{Name: "genai-" + s.ID, Section: s.ID, Interval: b.c.Interval}
		for _, signal := range s.Signals {
			g.Rules = append(g.Rules, rule{Record: signal.Record, Expr: b.signalExpr(signal)})
		}
		for _, ch := range s.Checks {
			for _, l := range ch.Levels {
				g.Rules = append(g.Rules, b.alert(s, ch, l))
			}
		}
		for _, signal := range s.Signals {
			if b.missed(s, signal) {
				g.Rules = append(g.Rules, b.absent(s, signal))
			}
		}
		if s.ID == "meta" {
			g.Rules = append(g.Rules, b.watchdog())
		}
		if len(g.Rules) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// signalExpr joins the arms of a signal, the preferred source first.
func (b *bundle) signalExpr(s checklist.Signal) string {
	var arms []string
	for _, a := range s.Arms {
		if a.Each == "" {
			arms = append(arms, a.Expr)
			continue
		}
		for _, runtime := range b.c.Runtimes() {
			arms = append(arms, strings.ReplaceAll(a.Expr, checklist.Hole("each"), runtime))
		}
	}
	labels := s.Labels
	if s.Prefer != nil {
		labels = s.Prefer
	}
	join := fmt.Sprintf("\nor on (%s)\n", strings.Join(withCluster(labels), ", "))
	return strings.Join(arms, join)
}

func withCluster(labels []string) []string { return append([]string{"cluster"}, labels...) }

// alert is one level of a check.
func (b *bundle) alert(s checklist.Section, ch checklist.Check, l checklist.Level) rule {
	signal, _ := b.c.Signal(ch.Signal)
	threshold := checklist.Hole(ch.ThresholdParam(l))
	expr := l.Condition(signal.Record, threshold)
	if ch.Guard != "" {
		expr = fmt.Sprintf("(%s)\nand on (%s) (%s)", expr, strings.Join(withCluster(signal.Labels), ", "), ch.Guard)
	}
	description := strings.NewReplacer(
		"{value}", signal.Unit.ValueTemplate(),
		"{threshold}", signal.Unit.BoundTemplate(threshold),
	).Replace(ch.Description.In(b.lang))
	return rule{
		Alert: ch.Alert, Expr: expr, For: ch.For, Keep: ch.KeepFiringFor,
		Labels: map[string]string{
			"severity": string(l.Severity), "category": ch.Category, "signal": ch.Signal, "check": ch.ID,
		},
		Annotations: map[string]string{
			"summary":     ch.Summary.In(b.lang),
			"description": description,
			"action":      ch.Action.In(b.lang),
			"runbook_url": b.runbook(ch.ID),
		},
	}
}

// runbook is where the runbook of a check is found.
func (b *bundle) runbook(id string) string {
	return strings.NewReplacer("{lang}", b.lang, "{check}", id).Replace(b.c.RunbookURL)
}

// absent fires when an expected signal has no series at all: rules that read
// it would otherwise be silent for ever.
func (b *bundle) absent(s checklist.Section, signal checklist.Signal) rule {
	summary := checklist.Text{
		EN: "A signal of the checklist is missing.",
		KO: "점검 항목의 지표가 들어오지 않습니다.",
	}
	description := checklist.Text{
		EN: "Not watched now: " + strings.Join(b.watchers(s, signal.ID), ", ") + ". Nothing records " + signal.Record + ".",
		KO: "지금 감시되지 않는 항목: " + strings.Join(b.watchers(s, signal.ID), ", ") + ". " + signal.Record + " 지표가 기록되지 않고 있습니다.",
	}
	action := checklist.Text{
		EN: "Look at the targets and at the exporter's page; if this is not expected here, take the source out of `sources` in the checklist and render again.",
		KO: "수집 대상과 익스포터 페이지를 확인하십시오. 여기에 없는 지표라면 점검표의 sources에서 빼고 다시 렌더링하십시오.",
	}
	return rule{
		Alert: absentAlert, Expr: "absent(" + signal.Record + ")", For: b.c.AbsentFor,
		Labels: map[string]string{
			"severity": string(checklist.Warning), "category": "meta", "signal": signal.ID, "check": "signal_absent",
		},
		Annotations: map[string]string{
			"summary": summary.In(b.lang), "description": description.In(b.lang),
			"action": action.In(b.lang), "runbook_url": b.runbook("signal_absent"),
		},
	}
}

// watchers are the titles of the checks that a signal feeds, directly or
// through other signals of its section.
func (b *bundle) watchers(s checklist.Section, id string) []string {
	fed := map[string]bool{id: true}
	for _, g := range s.Signals { // a signal stands after those it needs
		if slices.ContainsFunc(g.Needs, func(need string) bool { return fed[need] }) {
			fed[g.ID] = true
		}
	}
	var titles []string
	for _, ch := range s.Checks {
		if fed[ch.Signal] {
			titles = append(titles, ch.Title.In(b.lang))
		}
	}
	return titles
}

// missed says whether the absence of a signal is told: it is expected, and a
// check that is on waits for it.
func (b *bundle) missed(s checklist.Section, signal checklist.Signal) bool {
	return signal.Expected && len(b.watchers(s, signal.ID)) > 0
}

// watchdog always fires; the dead-man receiver tells when it stops.
func (b *bundle) watchdog() rule {
	summary := checklist.Text{
		EN: "Alerting works.",
		KO: "경보 경로가 동작 중입니다.",
	}
	description := checklist.Text{
		EN: "This alert always fires; when it stops arriving, rules or notifications have stopped.",
		KO: "항상 발생하는 경보입니다. 더 이상 도착하지 않으면 규칙이나 알림이 멈춘 것입니다.",
	}
	return rule{
		Alert: watchdog, Expr: "vector(1)",
		Labels: map[string]string{"severity": "none", "category": "meta", "signal": "watchdog", "check": "watchdog"},
		Annotations: map[string]string{
			"summary": summary.In(b.lang), "description": description.In(b.lang), "runbook_url": b.runbook("watchdog"),
		},
	}
}

// ruleFiles are rules/<section>.yml for any Prometheus.
func ruleFiles(b *bundle) ([]File, error) {
	var out []File
	for _, g := range b.groups {
		data, err := marshalYAML(map[string]any{"groups": []any{b.plainGroup(g)}})
		if err != nil {
			return nil, fmt.Errorf("rules of %s: %w", g.Section, err)
		}
		out = append(out, File{"rules/" + g.Section + ".yml", append([]byte(header("#")), data...)})
	}
	return out, nil
}

// plainGroup is a group as Prometheus reads it, parameters filled.
func (b *bundle) plainGroup(g group) ruleGroupYAML {
	out := ruleGroupYAML{Name: g.Name, Interval: g.Interval.String()}
	for _, r := range g.Rules {
		y := ruleYAML{Alert: r.Alert, Record: b.fill(r.Record), Expr: b.fill(r.Expr), Labels: r.Labels}
		if r.Alert != "" {
			y.For = r.For.String()
		}
		if r.Keep > 0 {
			y.KeepFiringFor = r.Keep.String()
		}
		if r.Annotations != nil {
			y.Annotations = map[string]string{}
			for k, v := range r.Annotations {
				y.Annotations[k] = b.fill(v)
			}
		}
		out.Rules = append(out.Rules, y)
	}
	return out
}

// ruleGroupYAML and ruleYAML are the fields of a rule file that Prometheus
// 2.42 knows; `for` is written even where it is zero seconds long.
type ruleGroupYAML struct {
	Name     string     `yaml:"name" json:"name"`
	Interval string     `yaml:"interval" json:"interval"`
	Rules    []ruleYAML `yaml:"rules" json:"rules"`
}

type ruleYAML struct {
	Alert         string            `yaml:"alert,omitempty" json:"alert,omitempty"`
	Record        string            `yaml:"record,omitempty" json:"record,omitempty"`
	Expr          string            `yaml:"expr" json:"expr"`
	For           string            `yaml:"for,omitempty" json:"for,omitempty"`
	KeepFiringFor string            `yaml:"keep_firing_for,omitempty" json:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty" json:"annotations,omitempty"`
}

// marshalYAML writes with two spaces; keys of maps are sorted by the library.
func marshalYAML(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
