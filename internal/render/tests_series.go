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

// input are the series that make a check's value go through phases.
func (p *prover) input(proof []checklist.Proof, ch checklist.Check, phases ...phase) []testSeries {
	var input []testSeries
	for _, x := range proof {
		if x.Histogram != nil {
			input = append(input, p.histogram(x, phases)...)
			continue
		}
		input = append(input, testSeries{x.Series, p.values(x, ch, phases)})
	}
	return input
}

// atRate lets as many requests come in a second.
func atRate(proof []checklist.Proof, rate float64) []checklist.Proof {
	scaled := slices.Clone(proof)
	for i := range scaled {
		for _, f := range []**float64{&scaled[i].Rate, &scaled[i].Counter, &scaled[i].Histogram} {
			if *f != nil {
				*f = &rate
			}
		}
	}
	return scaled
}

// again repeats every series under a second scrape job.
func again(proof []checklist.Proof) []checklist.Proof {
	twice := slices.Clone(proof)
	for _, x := range proof {
		x.Series = strings.Replace(x.Series, `job="genai_exporter"`, `job="genai_exporter_again"`, 1)
		twice = append(twice, x)
	}
	return twice
}

// values writes a series phase by phase in promtool's notation.
func (p *prover) values(x checklist.Proof, ch checklist.Check, phases []phase) string {
	if x.Jump {
		rest := p.steps(ch.Window) + 1
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
	w.parts = append(w.parts, fmt.Sprintf("%s+0x%d", sampleNumber(rounded(v)), steps-1))
	w.last, w.started = v, true
}

// counter adds up as promtool does, sum by sum: a phase that began a rounding
// error lower than the one before ended would be a reset.
func (w *seriesWriter) counter(perStep float64, steps int) {
	perStep = rounded(perStep)
	start := 0.0
	if w.started {
		start = rounded(w.last + perStep)
		if start < w.last {
			start = w.last
		}
	}
	w.parts = append(w.parts, fmt.Sprintf("%s+%sx%d", sampleNumber(start), sampleNumber(perStep), steps-1))
	w.last, w.started = start, true
	for range steps - 1 {
		w.last += perStep
	}
}

func (w *seriesWriter) String() string { return strings.Join(w.parts, " ") }

// rounded keeps twelve significant digits, so that 0.0101 is not written as
// what binary fractions make of it.
func rounded(v float64) float64 {
	if short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64); err == nil {
		return short
	}
	return v
}

func sampleNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
