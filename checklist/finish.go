package checklist

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// finish puts the settings into the checks, leaves out what no present source
// can measure, and proves the catalogue consistent.
func (b *builder) finish() (*Checklist, error) {
	for si := range b.c.Sections {
		s := &b.c.Sections[si]
		for ci := range s.Checks {
			b.apply(s, &s.Checks[ci])
		}
	}
	b.c.params = b.c.collectParams()
	if err := b.consistent(); err != nil {
		return nil, err
	}
	for si := range b.c.Sections {
		b.trim(&b.c.Sections[si])
	}
	return b.c, nil
}

func (b *builder) apply(s *Section, ch *Check) {
	if ch.Category == "" {
		ch.Category = s.Category
	}
	set := b.settings[ch.ID]
	if set == nil {
		set = &settings{}
	}
	for _, sev := range Severities() {
		if v, ok := ch.Fixed[sev]; ok {
			ch.Levels = append(ch.Levels, Level{sev, ch.Bad, v})
		}
		if t := set.level(sev); t != nil && !t.off && ch.Fixed == nil {
			ch.Levels = append(ch.Levels, Level{sev, ch.Bad, t.value})
		}
	}
	setIf(&ch.For, set.For)
	setIf(&ch.Window, set.Window)
	setIf(&ch.KeepFiringFor, set.KeepFiringFor)
	setIf(&ch.MinRequests, set.MinRequests)
}

// enabled says whether the checklist leaves a check on.
func (b *builder) enabled(id string) bool {
	set := b.settings[id]
	return set == nil || set.Enabled == nil || *set.Enabled
}

// consistent finds faults of the catalogue itself, which only a change to the
// program can make: they are errors all the same, never a wrong rule.
func (b *builder) consistent() error {
	var problems []error
	bad := func(id, format string, args ...any) {
		problems = append(problems, fmt.Errorf("catalogue: %s: %s", id, fmt.Sprintf(format, args...)))
	}
	params := map[string]bool{"each": true}
	for _, p := range b.c.Params() {
		params[p.Name] = true
	}
	seen := map[string]bool{}
	for _, s := range b.c.Sections {
		for _, g := range s.Signals {
			if seen["signal "+g.ID] {
				bad(g.ID, "two signals have this id")
			}
			seen["signal "+g.ID] = true
			if !g.Unit.known() {
				bad(g.ID, "unknown unit %q", g.Unit)
			}
			text := g.Record
			for _, a := range g.Arms {
				text += a.Expr
			}
			for _, h := range Holes(text) {
				if !params[h] {
					bad(g.ID, "unknown parameter %q", h)
				}
			}
		}
		for _, ch := range s.Checks {
			if seen["check "+ch.ID] {
				bad(ch.ID, "two checks have this id")
			}
			seen["check "+ch.ID] = true
			for _, h := range Holes(ch.Guard + ch.Description.EN + ch.Description.KO) {
				if !params[h] {
					bad(ch.ID, "unknown parameter %q", h)
				}
			}
			for field, t := range map[string]Text{"title": ch.Title, "summary": ch.Summary, "description": ch.Description, "action": ch.Action} {
				if strings.TrimSpace(t.EN) == "" || strings.TrimSpace(t.KO) == "" {
					bad(ch.ID, "%s is missing in a language", field)
				}
			}
			if _, ok := b.c.Signal(ch.Signal); !ok {
				bad(ch.ID, "unknown signal %q", ch.Signal)
			}
		}
	}
	return errors.Join(problems...)
}

// trim leaves out arms of absent sources, signals without arms, checks without
// signals, and checks that are switched off or have no level left.
func (b *builder) trim(s *Section) {
	sources := b.c.SourcesOf[s.ID]
	have := map[string]bool{}
	var signals []Signal
	for _, g := range s.Signals {
		var arms []Arm
		for _, source := range append([]string{""}, sources...) {
			for _, a := range g.Arms {
				if a.Source == source {
					arms = append(arms, a)
				}
			}
		}
		needed := !slices.ContainsFunc(g.Needs, func(id string) bool { return !have[id] })
		// A signal computed from others needs them; with no source at all, Needs fail.
		if len(arms) == 0 || !needed {
			continue
		}
		g.Arms = arms
		have[g.ID] = true
		signals = append(signals, g)
	}
	var checks []Check
	for _, ch := range s.Checks {
		if have[ch.Signal] && b.enabled(ch.ID) && len(ch.Levels) > 0 {
			checks = append(checks, ch)
		}
	}
	s.Signals, s.Checks = signals, checks
}
