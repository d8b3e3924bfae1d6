package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// margin is how far "just above" and "just below" are from a threshold.
const margin = 0.005

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
// The watchdog fires always.
func ruleTests(b *bundle) ([]File, error) {
	var out []File
	for _, s := range b.c.Sections {
		p := &prover{b: b, step: time.Duration(b.c.Interval)}
		for _, ch := range s.Checks {
			p.check(s, ch)
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

// steps rounds up, so that an alert has had its time.
func (p *prover) steps(d checklist.Duration) int {
	return int((time.Duration(d) + p.step - 1) / p.step)
}

func (p *prover) at(steps int) string {
	return (time.Duration(steps) * p.step).String()
}

// sourceProof are the series by which one source proves a check.
type sourceProof struct {
	source string
	series []checklist.Proof
}

// proofs are those of the sources that are present, the preferred one first.
func (p *prover) proofs(s checklist.Section, ch checklist.Check) []sourceProof {
	var out []sourceProof
	for _, source := range p.b.c.SourcesOf[s.ID] {
		if series, ok := ch.ProofArms[source]; ok {
			out = append(out, sourceProof{source, series})
		} else if source == ownSource {
			out = append(out, sourceProof{source, ch.Proof})
		}
	}
	return out
}

// ownSource is our exporter, whose series prove what holds for every source.
const ownSource = "genai_exporter"

func (p *prover) check(s checklist.Section, ch checklist.Check) {
	proofs := p.proofs(s, ch)
	for _, l := range ch.Levels {
		for _, x := range proofs {
			p.level(ch, l, x)
		}
		if len(proofs) > 1 {
			p.preferred(ch, l, proofs)
		}
		if i := slices.IndexFunc(proofs, func(x sourceProof) bool { return x.source == ownSource }); i >= 0 {
			own := proofs[i].series
			p.duplicated(s, ch, l, own)
			p.replicas(ch, l, own)
			p.renumbered(ch, l, own)
			p.steady(ch, l, own)
			p.fewRequests(ch, l, own)
		}
	}
}

// timing is when a case looks.
type timing struct {
	fires, end int // the step at which the alert must fire, and the end of the bad phase
	gone       int // the step by which it must have resolved
}

func (p *prover) timing(ch checklist.Check) timing {
	window := p.steps(ch.Window)
	fires := p.steps(ch.For) + window
	if jumps(ch) {
		fires += window + 1
	}
	t := timing{fires: fires, end: fires + 3}
	// A value just outside is back inside when a small part of the window is calm.
	t.gone = t.end + window/20 + p.steps(ch.KeepFiringFor) + 4
	return t
}

// counted looks late enough for every count of requests to have its own window full.
func (p *prover) counted(ch checklist.Check) timing {
	t, more := p.timing(ch), 0
	for _, other := range p.b.c.Checks() {
		if ch.MinRequests > 0 && other.MinRequests > 0 {
			more = max(more, p.steps(other.Window)-p.steps(ch.Window))
		}
	}
	return timing{t.fires + more, t.end + more, t.gone + more}
}

func jumps(ch checklist.Check) bool {
	return slices.ContainsFunc(ch.Proof, func(x checklist.Proof) bool { return x.Jump })
}

func (p *prover) level(ch checklist.Check, l checklist.Level, x sourceProof) {
	t := p.timing(ch)
	inside, outside, far := around(l)
	name := fmt.Sprintf("%s %s from %s: ", ch.Alert, l.Severity, x.source)
	absent := p.steps(p.b.c.AbsentFor) + 1
	silent := []exprTest{p.none(ch, l, t.fires), p.none(ch, l, t.end)}
	for _, signal := range p.expected(ch.Signal) {
		silent = append(silent, exprTest{Expr: fmt.Sprintf("ALERTS{alertname=%q, signal=%q, alertstate=\"firing\"}", absentAlert, signal), EvalTime: p.at(absent)})
	}
	p.add(name+"silent just inside", p.input(x.series, ch, phase{inside, phaseGood, max(t.gone, absent+1)}), silent...)

	var expect []exprTest
	if ch.For > 0 {
		expect = append(expect, p.one(ch, l, "pending", t.fires-1))
	}
	if window := p.steps(ch.Window); window > 3 && ch.MinRequests == 0 {
		// Half a window of readings is no mean of the window, nor half a sum.
		expect = append(expect, p.none(ch, l, t.fires-window/2))
	}
	expect = append(expect, p.one(ch, l, "firing", t.fires), p.one(ch, l, "firing", t.end-1))
	// Three steps early, because a difference of sums leaves its threshold before the phase ends.
	if keep := p.steps(ch.KeepFiringFor); keep > 3 {
		expect = append(expect, p.one(ch, l, "firing", t.end+keep-3))
	}
	p.add(name+"fires just outside, then resolves",
		p.input(x.series, ch, phase{outside, phaseBad, t.end}, phase{far, phaseCalm, t.gone - t.end + 4}),
		append(expect, p.none(ch, l, t.gone))...)
}

// expected are the signals below one that are reported when they are absent.
func (p *prover) expected(id string) []string {
	signal, _ := p.b.c.Signal(id)
	var out []string
	if signal.Expected {
		out = append(out, id)
	}
	for _, below := range signal.Needs {
		for _, id := range p.expected(below) {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}

// around gives values just inside and just outside a threshold, and one well inside.
func around(l checklist.Level) (inside, outside, far float64) {
	lower, upper := l.Threshold*(1-margin), l.Threshold*(1+margin)
	if l.Bad == checklist.Below {
		return upper, lower, l.Threshold * 2
	}
	return lower, upper, l.Threshold / 2
}

// preferred has all sources but the first say that something is wrong: the
// first one is believed.
func (p *prover) preferred(ch checklist.Check, l checklist.Level, proofs []sourceProof) {
	t := p.timing(ch)
	inside, outside, _ := around(l)
	input := p.input(proofs[0].series, ch, phase{inside, phaseGood, t.end})
	for _, x := range proofs[1:] {
		input = append(input, p.input(x.series, ch, phase{outside, phaseBad, t.end})...)
	}
	p.add(fmt.Sprintf("%s %s: %s is believed before other sources", ch.Alert, l.Severity, proofs[0].source), input,
		p.none(ch, l, t.fires), p.none(ch, l, t.end-1))
}

// duplicated scrapes an exporter by two jobs: the alert must still be one,
// because a rule that fails on many-to-many tells nobody, and nothing may count twice.
func (p *prover) duplicated(s checklist.Section, ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	if slices.Contains(s.Identity, "job") {
		return // here a job of its own is a thing of its own
	}
	t := p.timing(ch)
	inside, outside, _ := around(l)
	name := fmt.Sprintf("%s %s: an exporter that is scraped twice ", ch.Alert, l.Severity)
	p.add(name+"gives one alert", p.input(again(proof), ch, phase{outside, phaseBad, t.end}), p.one(ch, l, "firing", t.end-1))
	p.add(name+"counts once", p.input(again(proof), ch, phase{inside, phaseGood, t.end}), p.none(ch, l, t.fires), p.none(ch, l, t.end-1))
}

// replicas are two exporters of which each sees six tenths of what is too much,
// or of the requests that are enough: together they are.
func (p *prover) replicas(ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	sums := jumps(ch) || slices.ContainsFunc(proof, func(x checklist.Proof) bool { return x.Increase })
	if !sums && ch.MinRequests == 0 {
		return
	}
	_, value, _ := around(l)
	both := proof
	if sums {
		value *= 0.6
	} else {
		both = atRate(both, 0.6*ch.MinRequests/time.Duration(ch.Window).Seconds())
	}
	for _, x := range slices.Clone(both) {
		x.Series = strings.Replace(x.Series, `instance="a:19400"`, `instance="b:19400"`, 1)
		both = append(slices.Clip(both), x)
	}
	t := p.counted(ch)
	p.add(fmt.Sprintf("%s %s: two exporters are added up", ch.Alert, l.Severity),
		p.input(both, ch, phase{value, phaseBad, t.end}), p.one(ch, l, "firing", t.end-1))
}

// renumbered has two rows of identity for one GPU, as after its index changed:
// the join must still give one alert, whichever row it takes.
func (p *prover) renumbered(ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	const info = "genai_gpu_info{"
	i := slices.IndexFunc(proof, func(x checklist.Proof) bool { return strings.HasPrefix(x.Series, info) })
	if i < 0 {
		return
	}
	other := proof[i]
	other.Series = strings.Replace(other.Series, `gpu="0"`, `gpu="7"`, 1)
	t := p.timing(ch)
	_, outside, _ := around(l)
	p.add(fmt.Sprintf("%s %s: one alert for a GPU with two rows of identity", ch.Alert, l.Severity),
		p.input(append(slices.Clone(proof), other), ch, phase{outside, phaseBad, t.end}),
		exprTest{
			Expr:     fmt.Sprintf("count(ALERTS{alertname=%q, severity=%q, alertstate=\"firing\"})", ch.Alert, l.Severity),
			EvalTime: p.at(t.end - 1), Samples: []testSample{{"{}", 1}},
		})
}

// steady has a sum grow fast, but from the first sample on and always alike:
// that there was nothing before is no rise.
func (p *prover) steady(ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	if !jumps(ch) {
		return
	}
	alike := slices.Clone(proof)
	for i := range alike {
		alike[i].Jump, alike[i].Increase = false, true
	}
	t, window := p.timing(ch), p.steps(ch.Window)
	p.add(fmt.Sprintf("%s %s: silent where nothing changes", ch.Alert, l.Severity),
		p.input(alike, ch, phase{l.Threshold * 10, phaseBad, t.end}),
		p.none(ch, l, window+1), p.none(ch, l, window+window/2), p.none(ch, l, t.fires), p.none(ch, l, t.end-1))
}

// fewRequests has the worst ratio there can be: with just too few requests, also
// when they are scraped twice, with none, and with just enough.
func (p *prover) fewRequests(ch checklist.Check, l checklist.Level, proof []checklist.Proof) {
	if ch.MinRequests == 0 {
		return
	}
	t := p.counted(ch)
	_, outside, _ := around(l)
	silent := []exprTest{p.none(ch, l, t.fires), p.none(ch, l, t.end-1)}
	for _, c := range []struct {
		name   string
		share  float64 // of the requests that are enough
		proof  []checklist.Proof
		expect []exprTest
	}{
		{"silent with too few requests", 0.9, proof, silent},
		{"silent with too few requests, scraped twice", 0.9, again(proof), silent},
		{"silent with no requests", 0, proof, append(slices.Clone(silent), exprTest{Expr: p.b.c.RecordOf(ch), EvalTime: p.at(t.fires)})},
		{"fires with just enough requests", 1.1, proof, []exprTest{p.one(ch, l, "firing", t.end-1)}},
	} {
		rate := c.share * ch.MinRequests / time.Duration(ch.Window).Seconds()
		p.add(fmt.Sprintf("%s %s: %s", ch.Alert, l.Severity, c.name), p.input(atRate(c.proof, rate), ch, phase{outside, phaseBad, t.end}), c.expect...)
	}
}

// noData has no series at all: no check fires, and each expected signal is missed.
func (p *prover) noData(s checklist.Section) {
	absent := p.steps(p.b.c.AbsentFor)
	var expect []exprTest
	for _, signal := range s.Signals {
		if !p.b.missed(s, signal) {
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
	if s.ID == "meta" {
		labels := map[string]string{
			"alertname": watchdog, "alertstate": "firing", "severity": "none", "category": "meta", "signal": "watchdog", "check": "watchdog",
		}
		expect = append(expect, exprTest{
			Expr: fmt.Sprintf("ALERTS{alertname=%q}", watchdog), EvalTime: p.at(1), Samples: []testSample{{series("ALERTS", labels), 1}},
		})
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

func (p *prover) add(name string, input []testSeries, expect ...exprTest) {
	p.cases = append(p.cases, testCase{Name: name, Interval: p.b.c.Interval.String(), InputSeries: input, Exprs: expect})
}
