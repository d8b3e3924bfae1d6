package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// carried are the labels that every series of an expression has. Of an open
// set nothing is known, and nothing is complained about.
type carried struct {
	names map[string]bool
	open  bool
}

func labelSet(names ...string) carried {
	c := carried{names: map[string]bool{}}
	for _, n := range names {
		c.names[n] = true
	}
	return c
}

func (c carried) has(name string) bool { return c.open || c.names[name] }

func (c carried) with(names ...string) carried {
	out := carried{names: maps.Clone(c.names), open: c.open}
	for _, n := range names {
		out.names[n] = true
	}
	return out
}

func (c carried) without(names ...string) carried {
	out := carried{names: maps.Clone(c.names), open: c.open}
	for _, n := range names {
		delete(out.names, n)
	}
	return out
}

// both are the labels that are in each of two sets.
func both(a, b carried) carried {
	switch {
	case a.open:
		return b
	case b.open:
		return a
	}
	out := labelSet()
	for n := range a.names {
		if b.names[n] {
			out.names[n] = true
		}
	}
	return out
}

func (c carried) String() string { return strings.Join(slices.Sorted(maps.Keys(c.names)), ", ") }

// universe is a set of rules that belong together, and the metrics that they
// may read: what sources emit and what the rules record.
type universe struct {
	*checker
	rules []rule
	// emitted are the labels by metric name of the sources that are present.
	emitted map[string]carried
	// elsewhere is the source, not present, that would emit a name.
	elsewhere map[string]string
	recorded  map[string]carried
	busy      map[string]bool
}

// targetLabels come with every scraped series, by Prometheus or by its
// external labels.
func targetLabels() []string { return []string{"job", "instance", "cluster"} }

func (k *checker) newUniverse() *universe {
	u := &universe{
		checker: k, emitted: map[string]carried{}, elsewhere: map[string]string{},
		recorded: map[string]carried{}, busy: map[string]bool{},
	}
	present := map[string]bool{}
	for _, sources := range k.c.SourcesOf {
		for _, s := range sources {
			present[s] = true
		}
	}
	for id, s := range k.c.Contracts {
		for _, f := range s.Families {
			for name, labels := range seriesOf(f) {
				if !present[id] {
					u.elsewhere[name] = id
					continue
				}
				// A selector of the user's may name labels of his own.
				u.emitted[name] = labels.with(targetLabels()...).with(u.selectorLabels(k.c.Selectors[id])...)
			}
		}
	}
	for _, name := range []string{
		"up", "scrape_duration_seconds", "scrape_samples_scraped",
		"scrape_samples_post_metric_relabeling", "scrape_series_added",
	} {
		own := labelSet(targetLabels()...)
		for _, selector := range k.c.Selectors {
			own = own.with(u.selectorLabels(selector)...)
		}
		u.emitted[name] = own
	}
	return u
}

// seriesOf are the names under which a family is stored.
func seriesOf(f checklist.Family) map[string]carried {
	labels := labelSet(f.Labels...)
	if f.Type != "histogram" {
		return map[string]carried{f.Name: labels}
	}
	return map[string]carried{f.Name + "_bucket": labels.with("le"), f.Name + "_sum": labels, f.Name + "_count": labels}
}

func (u *universe) selectorLabels(selector string) []string {
	matchers, err := u.parser.ParseMetricSelector("{" + selector + "}")
	if err != nil {
		return nil // the rule that holds the selector does not parse either
	}
	var out []string
	for _, m := range matchers {
		out = append(out, m.Name)
	}
	return out
}

// check looks at every rule once, with its findings noted.
func (u *universe) check() {
	for _, r := range u.rules {
		labels := u.inferRule(r, true)
		if r.Alert != "" {
			u.templates(r, labels)
		}
	}
}

// inferRule is what the result of a rule carries.
func (u *universe) inferRule(r rule, report bool) carried {
	e, err := u.parser.ParseExpr(r.Expr)
	if err != nil {
		return carried{names: map[string]bool{}, open: true} // the rule parser has said so
	}
	in := &inferrer{u: u}
	if report {
		in.report = func(reason, advice string) {
			u.add(Finding{File: r.file, Line: r.line, Subject: r.name(), Reason: reason, Advice: advice})
		}
	}
	labels := in.expr(e).with(slices.Collect(maps.Keys(r.Labels))...)
	if r.Alert != "" {
		return labels.with("alertname")
	}
	return labels
}

// series are the labels of a name; known is false where nobody has it.
func (u *universe) series(name string) (labels carried, known bool) {
	if labels, ok := u.emitted[name]; ok {
		return labels, true
	}
	if name == "ALERTS" || name == "ALERTS_FOR_STATE" {
		return u.alerts(), true
	}
	if labels, ok := u.recorded[name]; ok {
		return labels, true
	}
	if u.busy[name] {
		return carried{names: map[string]bool{}, open: true}, true
	}
	u.busy[name] = true
	defer delete(u.busy, name)
	for _, r := range u.rules {
		if r.Record != name {
			continue
		}
		here := u.inferRule(r, false)
		if known {
			here = both(labels, here)
		}
		labels, known = here, true
	}
	if known {
		u.recorded[name] = labels
	}
	return labels, known
}

// alerts are the labels of any alert: one series need not have them all.
func (u *universe) alerts() carried {
	labels := labelSet("alertname", "alertstate")
	for _, r := range u.rules {
		if r.Alert != "" && !strings.HasPrefix(r.Expr, "ALERTS") {
			labels = labels.with(slices.Collect(maps.Keys(u.inferRule(r, false).names))...)
		}
	}
	return labels
}

// unknownMetric is the reason and the advice for a name that nobody has.
func (u *universe) unknownMetric(name string) (reason, advice string) {
	reason = fmt.Sprintf("names the metric %s, which no source of the checklist emits and no rule records", name)
	if source, ok := u.elsewhere[name]; ok {
		return reason, fmt.Sprintf("add %s to `sources` in the checklist, or take the rule out", source)
	}
	known := slices.Collect(maps.Keys(u.emitted))
	for _, r := range u.rules {
		if r.Record != "" {
			known = append(known, r.Record)
		}
	}
	slices.Sort(known)
	if s := strictyaml.Suggest(name, known); strings.Contains(s, "did you mean") {
		return reason, strings.TrimPrefix(s, ", ")
	}
	return reason, "see docs/metrics.md for the names there are"
}

// carriesCatalogue holds recorded series to the labels that the catalogue
// promises to boards and reports.
func (u *universe) carriesCatalogue() {
	for _, s := range u.c.Sections {
		for _, g := range s.Signals {
			name := checklist.Fill(g.Record, u.c.Params())
			labels, known := u.series(name)
			if !known {
				continue // freshness has said that the file is not right
			}
			for _, l := range append([]string{"cluster"}, g.Labels...) {
				if labels.has(l) {
					continue
				}
				i := slices.IndexFunc(u.rules, func(r rule) bool { return r.Record == name })
				u.add(Finding{
					File: u.rules[i].file, Line: u.rules[i].line, Subject: name,
					Reason: fmt.Sprintf("records no label %s, which signal %s of the catalogue has", l, g.ID),
					Advice: "keep it in the aggregation, or take it out of the signal's labels",
				})
			}
		}
	}
}

// selectorName is the metric that a selector names; "" for none.
func selectorName(v *parser.VectorSelector) string {
	if v.Name != "" {
		return v.Name
	}
	for _, m := range v.LabelMatchers {
		if m.Name == "__name__" && m.Type.String() == "=" {
			return m.Value
		}
	}
	return ""
}
