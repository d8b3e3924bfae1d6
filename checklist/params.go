package checklist

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hole is a parameter in an expression or a text: %(name)s.
var hole = regexp.MustCompile(`%\((\w+)\)s`)

// Param is one symbolic value of the bundle; the mixin's _config holds them.
type Param struct {
	Name  string
	Value string
	// Number is true where the value is a number and not a text.
	Number bool
}

// Params are all parameters, sorted by name: selectors, thresholds, windows, the
// evaluation interval.
// Those of disabled checks are among them, because signals of other checks may
// share a window.
func (c *Checklist) Params() []Param { return slices.Clone(c.params) }

// collectParams reads the parameters off the checks before any is left out.
func (c *Checklist) collectParams() []Param {
	params := map[string]Param{}
	add := func(name, value string, number bool) { params[name] = Param{name, value, number} }
	add("evaluation_interval", c.Interval.String(), false)
	add("evaluation_interval_seconds", formatNumber(time.Duration(c.Interval).Seconds()), true)
	for source, selector := range c.Selectors {
		add(source, selector, false)
	}
	for _, s := range c.Sections {
		for _, ch := range s.Checks {
			for _, l := range ch.Levels {
				add(ch.ThresholdParam(l), l.Bound(), true)
			}
			if ch.Window > 0 {
				add(ch.ID+"_window", ch.Window.String(), false)
				add(ch.ID+"_window_seconds", formatNumber(time.Duration(ch.Window).Seconds()), true)
			}
			if ch.MinRequests > 0 {
				add(ch.ID+"_min_requests", formatNumber(ch.MinRequests), true)
			}
		}
	}
	names := slices.Sorted(maps.Keys(params))
	out := make([]Param, 0, len(names))
	for _, n := range names {
		out = append(out, params[n])
	}
	return out
}

// ThresholdParam names the parameter that holds a level's threshold.
func (c Check) ThresholdParam(l Level) string { return c.ID + "_" + string(l.Severity) }

// Hole writes a parameter's name as expressions and texts hold it.
func Hole(name string) string { return "%(" + name + ")s" }

// Holes are the names of the parameters in s, in order, repeated ones too.
func Holes(s string) []string {
	var names []string
	for _, m := range hole.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	return names
}

// Fill puts the values of params into s. Validation has made sure that every
// hole has its parameter; an unknown one stays as it is.
func Fill(s string, params []Param) string {
	filled := hole.ReplaceAllStringFunc(s, func(h string) string {
		name := hole.FindStringSubmatch(h)[1]
		for _, p := range params {
			if p.Name == name {
				return p.Value
			}
		}
		return h
	})
	// An empty selector leaves `{, x="y"}` or `{}` behind.
	return strings.NewReplacer("{, ", "{", "{}", "").Replace(filled)
}
