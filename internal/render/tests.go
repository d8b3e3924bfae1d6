package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// margin is how far "just above" and "just below" are from a threshold.
const margin = 0.01

// testFile, testCase and exprTest are the fields of promtool's unit tests that
// Prometheus 2.42 knows.
type testFile struct {
	RuleFiles  []string   `yaml:"rule_files"`
	Evaluation string     `yaml:"evaluation_interval"`
	Tests      []testCase `yaml:"tests"`
}

type testCase struct {
	Name        string       `yaml:"name"`
	Interval    string       `yaml:"interval"`
	InputSeries []testSeries `yaml:"input_series"`
	Exprs       []exprTest   `yaml:"promql_expr_test"`
}

type testSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type exprTest struct {
	Expr     string       `yaml:"expr"`
	EvalTime string       `yaml:"eval_time"`
	Samples  []testSample `yaml:"exp_samples"`
}

type testSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// ruleTests are testdata/rules/<section>.yml: every level of every check is
// silent just below its threshold, pending and then firing just above it,
// fires on while keep_firing_for lasts, resolves, and is silent without data.
func ruleTests(b *bundle) ([]File, error) {
	var out []File
	for _, s := range b.c.Sections {
		p := &prover{b: b, step: time.Duration(b.c.Interval)}
		for _, ch := range s.Checks {
			p.check(ch)
		}
		p.noData(s)
		if len(p.cases) == 0 {
			continue
		}
		data, err := marshalYAML(testFile{[]string{"../../rules/" + s.ID + ".yml"}, b.c.Interval.String(), p.cases})
		if err != nil {
			return nil, fmt.Errorf("rule tests of %s: %w", s.ID, err)
		}
		out = append(out, File{"testdata/rules/" + s.ID + ".yml", append([]byte(header("#")), data...)})
	}
	return out, nil
}

// prover writes the cases of one file. Time is counted in evaluation steps.
type prover struct {
	b     *bundle
	step  time.Duration
	cases []testCase
}

// phase is a stretch of time in which a check's value stays the same.
type phase struct {
	value float64
	kind  phaseKind
	steps int
}

type phaseKind int

// A good phase is just inside the threshold, a bad one just outside, and in a
// calm one the value is far inside and sums stop growing.
const (
	phaseGood phaseKind = iota
	phaseBad
	phaseCalm
)

// steps rounds up, so that an alert has had its time.
func (p *prover) steps(d checklist.Duration) int {
	return int((time.Duration(d) + p.step - 1) / p.step)
}

func (p *prover) at(steps int) string {
	return (time.Duration(steps) * p.step).String()
}

func (p *prover) check(ch checklist.Check) {
	proofs := map[string][]checklist.Proof{}
	for section, sources := range p.b.c.SourcesOf {
		if slices.ContainsFunc(p.b.c.Sections, func(s checklist.Section) bool {
			return s.ID == section && slices.ContainsFunc(s.Checks, func(c checklist.Check) bool { return c.ID == ch.ID })
		}) {
			for _, source := range sources {
				if arm, ok := ch.ProofArms[source]; ok {
					proofs[source] = arm
				} else if source == "genai_exporter" {
					proofs[source] = ch.Proof
				}
			}
		}
	}
	for _, l := range ch.Levels {
		for _, source := range slices.Sorted(maps.Keys(proofs)) {
			p.level(ch, l, source, proofs[source])
		}
		if proof, ok := proofs["genai_exporter"]; ok && len(ch.ProofLabels) > 0 && ch.Category != "meta" {
			p.duplicated(ch, l, proof)
		}
		if proof, ok := proofs["genai_exporter"]; ok && ch.MinRequests > 0 {
			p.fewRequests(ch, l, proof)
		}
	}
}

// timing is when a case looks.
type timing struct {
	fires, end int // the step at which the alert must fire, and the end of the bad phase
	gone       int // the step by which it must have resolved
}

func (p *prover) timing(ch checklist.Check) timing {
	fires := p.steps(ch.For) + p.steps(ch.Window)
	if slices.ContainsFunc(ch.Proof, func(x checklist.Proof) bool { return x.Jump }) {
		fires += p.steps(ch.Window)
	}
	t := timing{fires: fires, end: fires + 3}
	t.gone = t.end + p.steps(ch.Window) + p.steps(ch.KeepFiringFor) + 4
	return t
}

func (p *prover) level(ch checklist.Check, l checklist.Level, source string, proof []checklist.Proof) {
	t := p.timing(ch)
	inside, outside, far := around(l)
	name := fmt.Sprintf("%s %s from %s: ", ch.Alert, l.Severity, source)
	p.add(name+"silent just inside", proof, ch, []phase{{inside, phaseGood, t.gone}},
		p.none(ch, l, t.fires), p.none(ch, l, t.end))
	expect := []exprTest{p.one(ch, l, "firing", t.fires), p.one(ch, l, "firing", t.end-1)}
	if ch.For > 0 {
		expect = append([]exprTest{p.one(ch, l, "pending", t.fires-1)}, expect...)
	}
	// Three steps early, because a difference of sums leaves its threshold before the phase ends.
	if keep := p.steps(ch.KeepFiringFor); keep > 3 {
		expect = append(expect, p.one(ch, l, "firing", t.end+keep-3))
	}
	p.add(name+"fires just outside, then resolves", proof, ch, []phase{{outside, phaseBad, t.end}, {far, phaseCalm, t.gone - t.end + 4}},
		append(expect, p.none(ch, l, t.gone+2))...)
}

// around gives values just inside and just outside a threshold, and one well inside.
func around(l checklist.Level) (inside, outside, far float64) {
	lower, upper := l.Threshold*(1-margin), l.Threshold*(1+margin)
	if l.Bad == checklist.Below {
		return upper, lower, l.Threshold * 2
	}
	return lower, upper, l.Threshold / 2
}

// duplicated repeats every series under a second scrape job: the alert must
// still be one, because a rule that fails on many-to-many tells nobody.
func (p *prover) duplicated(ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	if slices.ContainsFunc(proof, func(x checklist.Proof) bool { return x.Increase || x.Jump }) {
		return
	}
	twice := slices.Clone(proof)
	for _, x := range proof {
		x.Series = strings.Replace(x.Series, `job="genai_exporter"`, `job="genai_exporter_again"`, 1)
		twice = append(twice, x)
	}
	t := p.timing(ch)
	_, outside, _ := around(l)
	p.add(fmt.Sprintf("%s %s: one alert when the exporter is scraped twice", ch.Alert, l.Severity), twice, ch,
		[]phase{{outside, phaseBad, t.end}}, p.one(ch, l, "firing", t.end-1))
}

// fewRequests has the worst ratio there can be, but too few requests, and then none.
func (p *prover) fewRequests(ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	t := p.timing(ch)
	few := 0.5 * ch.MinRequests / time.Duration(ch.Window).Seconds()
	_, outside, _ := around(l)
	for _, c := range []struct {
		name string
		rate float64
	}{{"too few requests", few}, {"no requests", 0}} {
		scaled := slices.Clone(proof)
		for i := range scaled {
			for _, f := range []**float64{&scaled[i].Rate, &scaled[i].Counter, &scaled[i].Histogram} {
				if *f != nil {
					*f = &c.rate
				}
			}
		}
		p.add(fmt.Sprintf("%s %s: silent with %s", ch.Alert, l.Severity, c.name), scaled, ch,
			[]phase{{outside, phaseBad, t.end}}, p.none(ch, l, t.fires), p.none(ch, l, t.end-1))
	}
}

// noData has no series at all: no check fires, and each expected signal is missed.
func (p *prover) noData(s checklist.Section) {
	absent := p.steps(p.b.c.AbsentFor)
	var expect []exprTest
	for _, signal := range s.Signals {
		if !signal.Expected {
			continue
		}
		for _, x := range []struct {
			state string
			at    int
		}{{"pending", absent - 1}, {"firing", absent}} {
			labels := map[string]string{
				"alertname": absentAlert, "alertstate": x.state, "severity": "warning", "category": "meta",
				"signal": signal.ID, "check": "signal_absent",
			}
			expect = append(expect, exprTest{
				Expr:     fmt.Sprintf("ALERTS{alertname=%q, signal=%q}", absentAlert, signal.ID),
				EvalTime: p.at(x.at), Samples: []testSample{{series("ALERTS", labels), 1}},
			})
		}
	}
	for _, ch := range s.Checks {
		expect = append(expect, exprTest{Expr: fmt.Sprintf("ALERTS{alertname=%q}", ch.Alert), EvalTime: p.at(absent + 2)})
	}
	if len(expect) > 0 {
		p.cases = append(p.cases, testCase{
			Name: s.ID + ": no data, no alert but the missing signals", Interval: p.b.c.Interval.String(),
			InputSeries: []testSeries{}, Exprs: expect,
		})
	}
}

// one expects the alert, once, in a state; none expects it in no state.
func (p *prover) one(ch checklist.Check, l checklist.Level, state string, at int) exprTest {
	labels := map[string]string{
		"alertname": ch.Alert, "alertstate": state, "severity": string(l.Severity), "category": ch.Category,
		"signal": ch.Signal, "check": ch.ID,
	}
	maps.Copy(labels, ch.ProofLabels)
	t := p.none(ch, l, at)
	t.Samples = []testSample{{series("ALERTS", labels), 1}}
	return t
}

func (p *prover) none(ch checklist.Check, l checklist.Level, at int) exprTest {
	return exprTest{Expr: fmt.Sprintf("ALERTS{alertname=%q, severity=%q}", ch.Alert, l.Severity), EvalTime: p.at(at)}
}

func series(name string, labels map[string]string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", k, labels[k]))
	}
	return name + "{" + strings.Join(pairs, ", ") + "}"
}

func (p *prover) add(name string, proof []checklist.Proof, ch checklist.Check, phases []phase, expect ...exprTest) {
	var input []testSeries
	for _, x := range proof {
		if x.Histogram != nil {
			input = append(input, p.histogram(x, phases)...)
			continue
		}
		input = append(input, testSeries{x.Series, p.values(x, ch, phases)})
	}
	p.cases = append(p.cases, testCase{Name: name, Interval: p.b.c.Interval.String(), InputSeries: input, Exprs: expect})
}

// values writes a series phase by phase in promtool's notation.
func (p *prover) values(x checklist.Proof, ch checklist.Check, phases []phase) string {
	if x.Jump {
		rest := p.steps(ch.Window)
		phases = slices.Concat([]phase{{0, phaseCalm, rest + 1}}, phases)
		phases[1].steps -= rest
	}
	var w seriesWriter
	for _, ph := range phases {
		v := ph.value
		switch {
		case x.Const != nil:
			w.gauge(*x.Const, ph.steps)
		case x.State != nil && ph.kind == phaseBad:
			w.gauge(*x.State, ph.steps)
		case x.State != nil:
			w.gauge(1-*x.State, ph.steps)
		case x.Gauge != nil:
			w.gauge(v**x.Gauge, ph.steps)
		case x.Complement != nil:
			w.gauge((1-v)**x.Complement, ph.steps)
		case x.Rate != nil:
			w.counter(*x.Rate*p.step.Seconds(), ph.steps)
		case x.Counter != nil:
			w.counter(v**x.Counter*p.step.Seconds(), ph.steps)
		case ph.kind == phaseCalm:
			w.counter(0, ph.steps)
		default:
			w.counter(v*p.step.Seconds()/time.Duration(ch.Window).Seconds(), ph.steps)
		}
	}
	return w.String()
}

// histogram writes bucket series whose P99 is the phase's value: the share
// below the bucket that holds the value is chosen so that linear interpolation
// lands on it.
func (p *prover) histogram(x checklist.Proof, phases []phase) []testSeries {
	name, labels, _ := strings.Cut(strings.TrimSuffix(x.Series, "}"), "{")
	bounds := p.bounds(name)
	var out []testSeries
	for i := range len(bounds) + 1 {
		var w seriesWriter
		for _, ph := range phases {
			w.counter(*x.Histogram*p.step.Seconds()*share(bounds, i, ph.value), ph.steps)
		}
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i], 'f', -1, 64)
		}
		out = append(out, testSeries{fmt.Sprintf("%s_bucket{%s,le=%q}", name, labels, le), w.String()})
	}
	return out
}

// share is the cumulative share of observations in bucket i for a P99 of v.
func share(bounds []float64, i int, v float64) float64 {
	holds, _ := slices.BinarySearch(bounds, v)
	if holds == len(bounds) {
		holds-- // the quantile saturates at the last bound
	}
	if i >= holds {
		return 1
	}
	lower := 0.0
	if holds > 0 {
		lower = bounds[holds-1]
	}
	x := (v - lower) / (bounds[holds] - lower)
	return max(0, (0.99-x)/(1-x))
}

// bounds are the contract's, or for sources that state none a usual set.
func (p *prover) bounds(family string) []float64 {
	for _, id := range slices.Sorted(maps.Keys(p.b.c.Contracts)) {
		for _, f := range p.b.c.Contracts[id].Families {
			if f.Name == family && len(f.Buckets) > 0 {
				return f.Buckets
			}
		}
	}
	return []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60}
}

// seriesWriter joins phases; a counter goes on where it was.
type seriesWriter struct {
	parts   []string
	last    float64
	started bool
}

func (w *seriesWriter) gauge(v float64, steps int) {
	w.parts = append(w.parts, fmt.Sprintf("%s+0x%d", sampleNumber(v), steps-1))
	w.last, w.started = v, true
}

func (w *seriesWriter) counter(perStep float64, steps int) {
	start := w.last + perStep
	if !w.started {
		start = 0
	}
	w.parts = append(w.parts, fmt.Sprintf("%s+%sx%d", sampleNumber(start), sampleNumber(perStep), steps-1))
	w.last, w.started = start+perStep*float64(steps-1), true
}

func (w *seriesWriter) String() string { return strings.Join(w.parts, " ") }

// sampleNumber keeps twelve significant digits, so that 0.0101 is not written as
// what binary fractions make of it.
func sampleNumber(v float64) string {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		short = v
	}
	return strconv.FormatFloat(short, 'f', -1, 64)
}
