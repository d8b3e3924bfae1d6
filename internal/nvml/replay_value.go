package nvml

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// values reads every field's curve, energy last because it may be the integral
// of another.
func (p *parser) values(n *yaml.Node, field string, into map[Field]curve) {
	known := map[string]func(*yaml.Node, string){}
	var energy *yaml.Node
	for _, f := range Fields() {
		known[string(f)] = func(n *yaml.Node, field string) {
			if f == Energy && integralOf(n) != nil {
				energy = n
				return
			}
			if c := p.curve(n, field, f); c != nil {
				into[f] = c
			}
		}
	}
	p.fields(n, field, known)
	if energy == nil {
		return
	}
	c := integral{}
	var of string
	p.fields(energy, join(field, string(Energy)), map[string]func(*yaml.Node, string){
		"integral_of": p.text(&of),
		"start":       func(n *yaml.Node, field string) { c.start, _ = p.number(n, field, Energy) },
	})
	if c.of = into[Power]; of != string(Power) || c.of == nil {
		p.fail(energy, join(field, string(Energy))+".integral_of", "want %s, and its values beside it", Power)
		return
	}
	into[Energy] = c
}

func integralOf(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "integral_of" {
			return n.Content[i+1]
		}
	}
	return nil
}

// curve reads one value: a number, or a mapping with one of points, steps,
// ramp and wave. It is nil after an error.
func (p *parser) curve(n *yaml.Node, field string, f Field) curve {
	if n.Kind == yaml.ScalarNode {
		v, ok := p.number(n, field, f)
		if !ok {
			return nil
		}
		return line{{v: v, said: true}}
	}
	before := len(p.errs)
	var c curve
	forms := 0
	form := func(read func(*yaml.Node, string, Field) curve) func(*yaml.Node, string) {
		return func(n *yaml.Node, field string) { c, forms = read(n, field, f), forms+1 }
	}
	p.fields(n, field, map[string]func(*yaml.Node, string){
		"points": form(p.points), "steps": form(p.steps), "ramp": form(p.ramp), "wave": form(p.wave),
	})
	switch {
	case len(p.errs) > before:
		return nil
	case forms != 1:
		p.fail(n, field, "want a number or exactly one of points, ramp, steps, wave")
		return nil
	}
	if f == Energy && !rises(c) {
		p.fail(n, field, "a counter must not fall: want constant, rising points, steps or ramp, or integral_of")
		return nil
	}
	return c
}

// rises tells whether a curve can be a counter.
func rises(c curve) bool {
	var ps []point
	switch c := c.(type) {
	case line:
		ps = c
	case steps:
		ps = c
	default:
		return false
	}
	for i, pt := range ps {
		if !pt.said || i > 0 && pt.v < ps[i-1].v {
			return false
		}
	}
	return true
}

func (p *parser) points(n *yaml.Node, field string, f Field) curve {
	return line(p.timed(n, field, f, false))
}

func (p *parser) steps(n *yaml.Node, field string, f Field) curve {
	return steps(p.timed(n, field, f, true))
}

// timed is a mapping from moments, ascending, to values.
func (p *parser) timed(n *yaml.Node, field string, f Field, silent bool) []point {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		p.fail(n, field, "want a mapping of moments to values such as {0s: 61, 20s: 79}, got %s", kind(n))
		return nil
	}
	var ps []point
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		pt := point{said: true}
		p.duration(&pt.at)(key, field)
		if len(ps) > 0 && pt.at <= ps[len(ps)-1].at {
			p.fail(key, field, "%s does not come after %s", pt.at, ps[len(ps)-1].at)
		}
		if silent && value.Tag == "!!null" {
			pt.said = false
		} else {
			pt.v, _ = p.number(value, join(field, key.Value), f)
		}
		ps = append(ps, pt)
	}
	return ps
}

func (p *parser) ramp(n *yaml.Node, field string, f Field) curve {
	var from, to float64
	var start, over time.Duration
	p.fields(n, field, map[string]func(*yaml.Node, string){
		"from": p.numberInto(&from, f), "to": p.numberInto(&to, f),
		"start": p.duration(&start), "over": p.duration(&over),
	})
	p.require(n, field, "from", "to", "over")
	if over <= 0 {
		p.fail(n, field+".over", "must be longer than 0s")
	}
	return line{{at: start, v: from, said: true}, {at: start + over, v: to, said: true}}
}

func (p *parser) wave(n *yaml.Node, field string, f Field) curve {
	var w wave
	p.fields(n, field, map[string]func(*yaml.Node, string){
		"low": p.numberInto(&w.low, f), "high": p.numberInto(&w.high, f), "every": p.duration(&w.every),
	})
	p.require(n, field, "low", "high", "every")
	if w.every < time.Millisecond {
		p.fail(n, field+".every", "must be at least 1ms")
	}
	return w
}

func (p *parser) require(n *yaml.Node, field string, keys ...string) {
	for _, key := range keys {
		found := false
		for i := 0; i < len(n.Content); i += 2 {
			found = found || n.Content[i].Value == key
		}
		if !found {
			p.fail(n, join(field, key), "missing")
		}
	}
}

func (p *parser) numberInto(into *float64, f Field) func(*yaml.Node, string) {
	return func(n *yaml.Node, field string) { *into, _ = p.number(n, field, f) }
}

// number is a value of f; bytes may carry KiB, MiB, GiB.
func (p *parser) number(n *yaml.Node, field string, f Field) (float64, bool) {
	text, unit := n.Value, 1.0
	if strings.HasSuffix(string(f), "_bytes") {
		for suffix, factor := range map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
			if t, ok := strings.CutSuffix(text, suffix); ok {
				text, unit = strings.TrimSpace(t), factor
			}
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if n.Kind != yaml.ScalarNode || err != nil || math.IsInf(v, 0) {
		p.fail(n, field, "want a number, got %s", kind(n))
		return 0, false
	}
	if v *= unit; !f.plausible(v) {
		p.fail(n, field, "%s cannot be %v: %s", f, v, f.bounds())
		return 0, false
	}
	return v, true
}

// bounds says in words what plausible checks.
func (f Field) bounds() string {
	switch {
	case strings.HasSuffix(string(f), "_ratio"):
		return "want a ratio from 0 to 1"
	case strings.HasSuffix(string(f), "_celsius"):
		return "want degrees from 0 to 200"
	}
	return "want a number from 0 to 1e18"
}
