package checklist

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// document is one checklist file as written.
type document struct {
	Interval   *Duration           `yaml:"evaluation_interval"`
	Selectors  map[string]string   `yaml:"selectors"`
	RuleLabels map[string]string   `yaml:"rule_labels"`
	Sources    map[string][]string `yaml:"sources"`
	RunbookURL *string             `yaml:"runbook_url"`
	AbsentFor  *Duration           `yaml:"absent_for"`
	Checks     map[string]settings `yaml:"checks"`
	Routing    routingDocument     `yaml:"routing"`
}

type routingDocument struct {
	Alertmanager *string                 `yaml:"alertmanager"`
	SecretsDir   *string                 `yaml:"secrets_dir"`
	Audiences    map[Audience][]Receiver `yaml:"audiences"`

	GroupWait      *Duration `yaml:"group_wait"`
	GroupInterval  *Duration `yaml:"group_interval"`
	RepeatInterval *Duration `yaml:"repeat_interval"`
}

// layTiming takes the notification intervals over.
func (b *builder) layTiming(d routingDocument) {
	r := &b.c.Routing
	for _, t := range []struct {
		key  string
		to   *Duration
		from *Duration
	}{
		{"group_wait", &r.GroupWait, d.GroupWait},
		{"group_interval", &r.GroupInterval, d.GroupInterval},
		{"repeat_interval", &r.RepeatInterval, d.RepeatInterval},
	} {
		setIf(t.to, t.from)
		if t.from != nil && *t.from <= 0 {
			b.doc.Addf("routing."+t.key, "must be longer than 0s")
		}
	}
}

// settings is what a checklist file says of one check.
type settings struct {
	Enabled       *bool      `yaml:"enabled"`
	Info          *threshold `yaml:"info"`
	Warning       *threshold `yaml:"warning"`
	Critical      *threshold `yaml:"critical"`
	For           *Duration  `yaml:"for"`
	Window        *Duration  `yaml:"window"`
	KeepFiringFor *Duration  `yaml:"keep_firing_for"`
	MinRequests   *float64   `yaml:"min_requests"`
}

// threshold is a number, a percentage, or `off` to take a level away.
type threshold struct {
	value   float64
	percent bool
	off     bool
}

// UnmarshalYAML reads the three forms.
func (t *threshold) UnmarshalYAML(n *yaml.Node) error {
	text, percent := strings.CutSuffix(strings.TrimSpace(n.Value), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case n.Kind == yaml.ScalarNode && text == "off":
		t.off = true
	case n.Kind != yaml.ScalarNode || err != nil || math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Errorf("%q is not a threshold; write a number, a percentage such as 90%%, or off", n.Value)
	case percent:
		t.value, t.percent = v/100, true
	default:
		t.value = v
	}
	return nil
}

func (s settings) level(sev Severity) *threshold {
	switch sev {
	case Info:
		return s.Info
	case Warning:
		return s.Warning
	}
	return s.Critical
}

// maxInterval leaves room for one missed evaluation before a sample is stale.
const maxInterval = Duration(2 * time.Minute)

// builder lays files over one another and collects what is wrong.
type builder struct {
	c        *Checklist
	settings map[string]*settings
	doc      *strictyaml.Doc
}

// lay decodes one file and puts it over what is there.
func (b *builder) lay(l layer) error {
	var d document
	b.doc = strictyaml.Decode(l.name, l.data, &d)
	c := b.c
	setIf(&c.Interval, d.Interval)
	setIf(&c.RunbookURL, d.RunbookURL)
	setIf(&c.AbsentFor, d.AbsentFor)
	setIf(&c.Routing.Alertmanager, d.Routing.Alertmanager)
	setIf(&c.Routing.SecretsDir, d.Routing.SecretsDir)
	b.layTiming(d.Routing)
	overlay(&c.RuleLabels, d.RuleLabels)
	overlay(&c.Selectors, d.Selectors)
	overlay(&c.SourcesOf, d.Sources)
	overlay(&c.Routing.Audiences, d.Routing.Audiences)
	b.checkReferences(d)
	for _, id := range slices.Sorted(maps.Keys(d.Checks)) {
		b.layCheck(id, d.Checks[id])
	}
	for _, f := range c.Routing.faults() {
		b.doc.Addf("routing."+f.path, "%s", f.reason)
	}
	switch {
	case c.Interval <= 0:
		b.doc.Addf("evaluation_interval", "must be longer than 0s")
	case c.Interval > maxInterval:
		b.doc.Addf("evaluation_interval", "must be at most %s: Prometheus forgets a sample after 5m, and rules read one another's", maxInterval)
	}
	if c.AbsentFor <= 0 {
		b.doc.Addf("absent_for", "must be longer than 0s")
	}
	return b.doc.Err()
}

// matchers is what may stand in braces after a metric's name; Prometheus'
// parser has the last word in genaictl check.
var matchers = regexp.MustCompile(`^(\w+\s*(=|!=|=~|!~)\s*"(\\.|[^"\\\n])*"(\s*,\s*\w+\s*(=|!=|=~|!~)\s*"(\\.|[^"\\\n])*")*)?$`)

// checkReferences looks at the names of sections and sources that a file uses.
func (b *builder) checkReferences(d document) {
	known := slices.Sorted(maps.Keys(b.c.Contracts))
	for _, id := range slices.Sorted(maps.Keys(d.Selectors)) {
		if !slices.Contains(known, id) {
			b.doc.Addf("selectors."+id, "unknown source%s", strictyaml.Suggest(id, known))
		} else if !matchers.MatchString(d.Selectors[id]) {
			b.doc.Addf("selectors."+id, "is not a list of PromQL matchers such as job=\"a\", env=~\"b|c\"")
		}
	}
	for _, section := range slices.Sorted(maps.Keys(d.Sources)) {
		if !slices.Contains(sectionOrder(), section) {
			b.doc.Addf("sources."+section, "unknown section%s", strictyaml.Suggest(section, sectionOrder()))
		}
		for i, id := range d.Sources[section] {
			at := fmt.Sprintf("sources.%s[%d]", section, i)
			switch {
			case !slices.Contains(known, id):
				b.doc.Addf(at, "unknown source %q%s", id, strictyaml.Suggest(id, known))
			case slices.Contains(d.Sources[section][:i], id):
				b.doc.Addf(at, "source %s is named twice", id)
			case slices.Contains(sectionOrder(), section) && !slices.Contains(b.measuring(section), id):
				b.doc.Addf(at, "source %s measures nothing of this section%s", id, strictyaml.Suggest(id, b.measuring(section)))
			}
		}
	}
}

// measuring are the sources that measure some signal of a section.
func (b *builder) measuring(section string) []string {
	var out []string
	for _, s := range b.c.Sections {
		if s.ID != section {
			continue
		}
		for _, g := range s.Signals {
			for _, a := range g.Arms {
				if a.Source != "" && !slices.Contains(out, a.Source) {
					out = append(out, a.Source)
				}
			}
		}
	}
	return out
}

func (b *builder) layCheck(id string, s settings) {
	ch, ok := b.findCheck(id)
	if !ok {
		var known []string
		for _, c := range b.c.Checks() {
			known = append(known, c.ID)
		}
		b.doc.Addf("checks."+id, "unknown check%s", strictyaml.Suggest(id, known))
		return
	}
	b.checkThresholds(ch, s)
	b.checkTimes(ch, s)
	into := b.settings[id]
	if into == nil {
		into = &settings{}
		b.settings[id] = into
	}
	for _, p := range []struct{ to, from **threshold }{{&into.Info, &s.Info}, {&into.Warning, &s.Warning}, {&into.Critical, &s.Critical}} {
		if *p.from != nil {
			*p.to = *p.from
		}
	}
	for _, p := range []struct{ to, from **Duration }{{&into.For, &s.For}, {&into.Window, &s.Window}, {&into.KeepFiringFor, &s.KeepFiringFor}} {
		if *p.from != nil {
			*p.to = *p.from
		}
	}
	if s.Enabled != nil {
		into.Enabled = s.Enabled
	}
	if s.MinRequests != nil {
		into.MinRequests = s.MinRequests
	}
	b.checkOrder(ch, *into)
}

// checkOrder wants each level worse than the milder ones, or the worse could
// never tell more than the milder.
func (b *builder) checkOrder(ch Check, s settings) {
	mildest := Level{}
	for _, sev := range Severities() {
		t := s.level(sev)
		if t == nil || t.off {
			continue
		}
		l := Level{sev, ch.Bad, t.value}
		if mildest.Severity != "" && !mildest.Breached(l.Threshold) {
			at := "checks." + ch.ID + "." + string(sev)
			if !b.doc.Has(at) {
				at = "checks." + ch.ID + "." + string(mildest.Severity)
			}
			b.doc.Addf(at, "%s %s does not lie beyond %s %s; the worse level needs the worse threshold",
				sev, l.Bound(), mildest.Severity, mildest.Bound())
		}
		mildest = l
	}
}

func (b *builder) checkThresholds(ch Check, s settings) {
	unit := b.c.UnitOf(ch)
	for _, sev := range Severities() {
		t, at := s.level(sev), "checks."+ch.ID+"."+string(sev)
		switch {
		case t == nil || t.off && ch.Fixed == nil:
		case ch.Fixed != nil:
			b.doc.Addf(at, "this check has no threshold to set: it is either so or not")
		case t.percent && unit != Ratio:
			b.doc.Addf(at, "a percentage, but the signal is in %s", unit)
		case unit == Ratio && (t.value < 0 || t.value > 1):
			b.doc.Addf(at, "%v is outside 0 to 1; write 90%% or 0.9", t.value)
		case t.value < 0:
			b.doc.Addf(at, "%v is negative; the signal never is", t.value)
		case unit == Ratio && ch.Bad == Above && t.value == 1 || ch.Bad == Below && t.value == 0:
			b.doc.Addf(at, "nothing is ever %s %v; write off to take the level away", ch.Bad, t.value)
		case b.unmeasurable(ch, t.value) != "":
			b.doc.Addf(at, "%s", b.unmeasurable(ch, t.value))
		}
	}
}

// unmeasurable says why a histogram cannot tell values above from below the
// threshold: a quantile saturates at the last bound and cannot fall under the
// first one.
func (b *builder) unmeasurable(ch Check, v float64) string {
	signal, _ := b.c.Signal(ch.Signal)
	for _, source := range slices.Sorted(maps.Keys(signal.Histogram)) {
		for _, f := range b.c.Contracts[source].Families {
			if f.Name != signal.Histogram[source] || len(f.Buckets) == 0 {
				continue
			}
			first, last := f.Buckets[0], f.Buckets[len(f.Buckets)-1]
			if v < first || v >= last {
				return fmt.Sprintf("%v cannot be measured: %s has bounds from %v to %v", v, f.Name, first, last)
			}
		}
	}
	return ""
}

func (b *builder) checkTimes(ch Check, s settings) {
	windowed, at := b.takesWindow(ch), "checks."+ch.ID+"."
	if s.Window != nil && !windowed {
		b.doc.Addf(at+"window", "this check reads a gauge; it takes `for`, not `window`")
	}
	if s.For != nil && windowed {
		b.doc.Addf(at+"for", "the signal is smoothed over `window` already; `for` on top of it would only delay the alert")
	}
	if s.Window != nil && *s.Window <= 0 {
		b.doc.Addf(at+"window", "must be longer than 0s")
	}
	if s.MinRequests != nil {
		if !slices.Contains(Holes(ch.Guard), ch.ID+"_min_requests") {
			b.doc.Addf(at+"min_requests", "this check does not count requests")
		} else if *s.MinRequests <= 0 {
			b.doc.Addf(at+"min_requests", "must be more than 0")
		}
	}
}

// takesWindow says whether any part of the check's measurement holds its window.
func (b *builder) takesWindow(ch Check) bool {
	signal, _ := b.c.Signal(ch.Signal)
	return slices.Contains(Holes(signal.Record), ch.ID+"_window")
}

func (b *builder) findCheck(id string) (Check, bool) {
	for _, ch := range b.c.Checks() {
		if ch.ID == id {
			return ch, true
		}
	}
	return Check{}, false
}

func setIf[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func overlay[K comparable, V any](to *map[K]V, from map[K]V) {
	if *to == nil {
		*to = map[K]V{}
	}
	maps.Copy(*to, from)
}
