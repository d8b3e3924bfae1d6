// Package checklist is the vocabulary of the bundle: what is normal, how it is
// measured, and who is told. A Checklist exists only when it is valid.
package checklist

import (
	"embed"
	"fmt"
	"slices"

	"github.com/prometheus/common/model"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// Duration is written as Prometheus writes it: 90s, 5m, 1d.
type Duration = model.Duration

//go:embed checklist.yaml catalog/*.yaml sources/*.yaml
var files embed.FS

// sectionOrder is the order of the checklist's sections on every page.
func sectionOrder() []string { return []string{"gpu", "inference", "cost", "meta"} }

// Checklist is a validated checklist: the default, with a user's file over it.
// Load is the only way to one.
type Checklist struct {
	// Interval is how often rules are evaluated.
	Interval Duration
	// Selectors are PromQL matchers without braces, by source.
	Selectors map[string]string
	// SourcesOf are the sources present, best first, by section.
	SourcesOf map[string][]string
	// RuleLabels are the labels of the PrometheusRule objects, by which an
	// operator's ruleSelector finds them.
	RuleLabels map[string]string
	RunbookURL string
	AbsentFor  Duration
	Routing    Routing
	// Sections hold the enabled signals and checks, in the order of pages.
	Sections []Section
	// Contracts are the metric contracts of all known sources, by id.
	Contracts map[string]Source

	params []Param
}

// Default is the checklist that ships with the program.
func Default() (*Checklist, error) { return Load("", nil) }

// Load lays a user's file over the default; data may be nil. The name is used
// in errors only. All problems are reported at once, and then the checklist is nil.
func Load(name string, data []byte) (*Checklist, error) {
	base, err := files.ReadFile("checklist.yaml")
	if err != nil {
		return nil, fmt.Errorf("embedded checklist: %w", err)
	}
	b := &builder{c: &Checklist{}, settings: map[string]*settings{}}
	if err := b.contracts(); err != nil {
		return nil, err
	}
	if err := b.catalog(); err != nil {
		return nil, err
	}
	layers := []layer{{"checklist.yaml", base}}
	if data != nil {
		layers = append(layers, layer{name, data})
	}
	for _, l := range layers {
		if err := b.lay(l); err != nil {
			return nil, err
		}
	}
	return b.finish()
}

// layer is one checklist file.
type layer struct {
	name string
	data []byte
}

func (b *builder) contracts() error {
	b.c.Contracts = map[string]Source{}
	entries, err := files.ReadDir("sources")
	if err != nil {
		return fmt.Errorf("embedded sources: %w", err)
	}
	for _, e := range entries {
		name := "sources/" + e.Name()
		data, err := files.ReadFile(name)
		if err != nil {
			return fmt.Errorf("embedded sources: %w", err)
		}
		var s Source
		if err := strictyaml.Decode(name, data, &s).Err(); err != nil {
			return err
		}
		b.c.Contracts[s.ID] = s
	}
	return nil
}

func (b *builder) catalog() error {
	for _, id := range sectionOrder() {
		name := "catalog/" + id + ".yaml"
		data, err := files.ReadFile(name)
		if err != nil {
			return fmt.Errorf("embedded catalogue: %w", err)
		}
		var s Section
		if err := strictyaml.Decode(name, data, &s).Err(); err != nil {
			return err
		}
		b.c.Sections = append(b.c.Sections, s)
	}
	return nil
}

// Signal finds an enabled signal.
func (c *Checklist) Signal(id string) (Signal, bool) {
	for _, s := range c.Sections {
		if i := slices.IndexFunc(s.Signals, func(g Signal) bool { return g.ID == id }); i >= 0 {
			return s.Signals[i], true
		}
	}
	return Signal{}, false
}

// Checks are all enabled checks in the order of pages.
func (c *Checklist) Checks() []Check {
	var out []Check
	for _, s := range c.Sections {
		out = append(out, s.Checks...)
	}
	return out
}

// RecordOf is the recorded name that a check watches, with its parameters filled.
func (c *Checklist) RecordOf(ch Check) string {
	s, _ := c.Signal(ch.Signal)
	return Fill(s.Record, c.Params())
}

// UnitOf is the unit in which a check's values and thresholds are.
func (c *Checklist) UnitOf(ch Check) Unit {
	s, _ := c.Signal(ch.Signal)
	return s.Unit
}

// Runtimes are the values of the label `runtime` in the declared order of the
// inference sources: of a model seen by several, the first is taken.
func (c *Checklist) Runtimes() []string {
	var out []string
	for _, id := range c.SourcesOf["inference"] {
		if s := c.Contracts[id]; s.Runtime != "" {
			out = append(out, s.Runtime)
		} else {
			out = append(out, exporterRuntimes()...)
		}
	}
	return out
}

// exporterRuntimes are the values of `runtime` that our own exporter writes, best first.
func exporterRuntimes() []string { return []string{"log"} }
