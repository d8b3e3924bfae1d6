package collector

import (
	"maps"
	"slices"

	"github.com/genai-exporter/genai-exporter/internal/config"
	"github.com/genai-exporter/genai-exporter/internal/pricebook"
	"github.com/genai-exporter/genai-exporter/internal/tail"
)

const (
	// otherModel is the label of models that are not admitted.
	otherModel = "other"
	// maxModels bounds the models admitted without an allow-list.
	maxModels = 200
)

// outcome of a request; the order is part of the state file's version.
type outcome int

const (
	success outcome = iota
	failure
	aborted
	numOutcomes
)

func (o outcome) String() string { return [numOutcomes]string{"success", "error", "aborted"}[o] }

// numReasons is the length of config.Reasons.
const numReasons = 8

// series is everything counted for one model in one namespace.
type series struct {
	Namespace string                                                 `json:"namespace"`
	Model     string                                                 `json:"model"`
	Outcomes  [numOutcomes]uint64                                    `json:"outcomes"`
	Reasons   [numReasons]uint64                                     `json:"reasons"`
	Buckets   buckets                                                `json:"buckets"`
	Seconds   float64                                                `json:"seconds"`
	Input     uint64                                                 `json:"input"`
	Cached    uint64                                                 `json:"cached"`
	Output    uint64                                                 `json:"output"`
	Unpriced  uint64                                                 `json:"unpriced"`
	Cost      map[pricebook.Billed][pricebook.Kinds]pricebook.Amount `json:"cost,omitempty"`
}

// group is what was counted of the lines of one group of files, and where to
// go on in them.
type group struct {
	Name    string             `json:"name"`
	Results [numResults]uint64 `json:"results"`
	Lost    uint64             `json:"lost"`
	Gaps    uint64             `json:"gaps"`
	// Files are the patterns that Positions belong to.
	Files     []string        `json:"files"`
	Positions []tail.Position `json:"positions"`
}

// totals are all counters of the request log. They are written down and
// published as a whole.
type totals struct {
	// Admitted are the model names that are labels, in order of appearance.
	Admitted []string  `json:"admitted"`
	Series   []*series `json:"series"`
	Groups   []*group  `json:"groups"`
}

// clone copies everything that counting changes.
func (t *totals) clone() *totals {
	c := &totals{Admitted: slices.Clone(t.Admitted)}
	for _, s := range t.Series {
		n := *s
		n.Cost = maps.Clone(s.Cost)
		c.Series = append(c.Series, &n)
	}
	for _, g := range t.Groups {
		n := *g
		n.Positions = slices.Clone(g.Positions)
		c.Groups = append(c.Groups, &n)
	}
	return c
}

// series finds or makes the series of a model that is admitted.
func (t *totals) seriesOf(namespace, model string) *series {
	for _, s := range t.Series {
		if s.Namespace == namespace && s.Model == model {
			return s
		}
	}
	s := &series{Namespace: namespace, Model: model}
	t.Series = append(t.Series, s)
	return s
}

// groupOf finds or makes the counters of a group.
func (t *totals) groupOf(name string) *group {
	for _, g := range t.Groups {
		if g.Name == name {
			return g
		}
	}
	g := &group{Name: name}
	t.Groups = append(t.Groups, g)
	return g
}

// admit is the label for a model: its name if it is allowed, or without an
// allow-list if it is well formed and among the first maxModels; else other.
func (t *totals) admit(model string, allow map[string]bool) string {
	switch {
	case len(allow) > 0:
		if allow[model] {
			return model
		}
		return otherModel
	case slices.Contains(t.Admitted, model):
		return model
	case model == otherModel || len(t.Admitted) >= maxModels || !config.ModelName(model):
		return otherModel
	}
	t.Admitted = append(t.Admitted, model)
	return model
}

// count adds one request to s.
func (s *series) count(r *record, c pricebook.Charge, bounds *[numBounds]float64) {
	s.Outcomes[r.outcome]++
	if r.outcome == failure {
		s.Reasons[r.reason]++
	}
	if r.timed {
		s.Buckets.observe(r.seconds, bounds)
		s.Seconds += r.seconds
	}
	s.Input += r.usage.Input
	s.Cached += r.usage.Cached
	s.Output += r.usage.Output
	s.Unpriced += c.Unpriced
	if c.Billed == "" {
		return
	}
	if s.Cost == nil {
		s.Cost = map[pricebook.Billed][pricebook.Kinds]pricebook.Amount{}
	}
	sum := s.Cost[c.Billed]
	for k := range sum {
		sum[k] = sum[k].Plus(c.Cost[k])
	}
	s.Cost[c.Billed] = sum
}
