// Package collector turns readings into metrics: one file per source, the
// whole metric surface as data in Families, and a Set that runs the sources
// beside one another so that none of them can hold up a scrape.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ErrNoData says that a collector has nothing to report and nothing is wrong.
// The scrape then shows success 1 and none of the collector's series.
var ErrNoData = errors.New("no data")

// Collector is one source of metrics.
type Collector interface {
	// Name is the label value, the flag and the file.
	Name() string
	// Collect sends what is known now. It must not wait for the outside:
	// sources are sampled in the background by a Runner. Metrics sent before
	// an error are dropped, so that a failed read never shows half the truth.
	Collect(ctx context.Context, ch chan<- prometheus.Metric) error
}

// Runner is a Collector that samples in the background until ctx ends.
type Runner interface {
	Run(ctx context.Context) error
}

// Stater is a Collector that describes itself on the landing page.
type Stater interface {
	State() string
}

// scrapeDuration and scrapeSuccess tell how each collector did.
var (
	scrapeDuration = Family{
		Name: "genai_scrape_collector_duration_seconds", Type: Gauge, Labels: []string{"collector"},
		Help:  "How long the collector took in this scrape, in seconds.",
		Bound: "the collectors compiled in", Origin: "measured by the exporter",
	}
	scrapeSuccess = Family{
		Name: "genai_scrape_collector_success", Type: Gauge, Labels: []string{"collector"},
		Help:  "Whether the collector answered in this scrape: 1 yes, 0 it failed or was abandoned at the deadline.",
		Bound: "the collectors compiled in", Origin: "measured by the exporter",
	}
)

func scrapeFamilies() []Family { return []Family{scrapeDuration, scrapeSuccess} }

// Set runs collectors beside one another under the deadline of a scrape.
type Set struct {
	logger  *slog.Logger
	entries []*entry
	now     func() time.Time
}

// entry is one collector and its turn: a second scrape waits for the first
// under its own deadline, so a pair of Prometheus servers both succeed and a
// stuck collector holds one goroutine, not one per scrape.
type entry struct {
	c    Collector
	turn chan struct{}

	mu   sync.Mutex
	last Health
}

// Health is how a collector did the last time it was asked.
type Health struct {
	Name     string
	State    string
	Err      error
	Duration time.Duration
	At       time.Time
}

// NewSet checks that names are unique and gives every collector its turn.
func NewSet(logger *slog.Logger, cs ...Collector) (*Set, error) {
	s := &Set{logger: logger, now: time.Now}
	for _, c := range cs {
		if slices.ContainsFunc(s.entries, func(e *entry) bool { return e.c.Name() == c.Name() }) {
			return nil, fmt.Errorf("collector %q is registered twice", c.Name())
		}
		s.entries = append(s.entries, &entry{c: c, turn: make(chan struct{}, 1)})
	}
	return s, nil
}

// Bind is one scrape: a prometheus.Collector that asks every source under ctx.
func (s *Set) Bind(ctx context.Context) prometheus.Collector { return bound{s, ctx} }

type bound struct {
	s   *Set
	ctx context.Context // the value that is one scrape
}

// Describe sends nothing: which series exist depends on the devices found.
func (b bound) Describe(chan<- *prometheus.Desc) {}

// Collect asks all collectors at once and lets go of those that are late.
func (b bound) Collect(ch chan<- prometheus.Metric) {
	var wg sync.WaitGroup
	for _, e := range b.s.entries {
		wg.Go(func() { b.s.collect(b.ctx, e, ch) })
	}
	wg.Wait()
}

// collect runs one collector on a goroutine of its own into a private slice.
func (s *Set) collect(ctx context.Context, e *entry, ch chan<- prometheus.Metric) {
	begin := s.now()
	metrics, err := e.gather(ctx)
	took := s.now().Sub(begin)
	success := 1.0
	if err != nil && !errors.Is(err, ErrNoData) {
		success, metrics = 0, nil
		s.logger.Warn("collector failed", "collector", e.c.Name(), "duration_seconds", took.Seconds(), "err", err)
	}
	e.mu.Lock()
	e.last = Health{Name: e.c.Name(), Err: err, Duration: took, At: s.now()}
	e.mu.Unlock()
	for _, m := range metrics {
		ch <- m
	}
	ch <- scrapeDuration.Sample(took.Seconds(), e.c.Name())
	ch <- scrapeSuccess.Sample(success, e.c.Name())
}

type gathered struct {
	metrics []prometheus.Metric
	err     error
}

// gather waits for its turn and for the answer, both no longer than ctx. The
// turn is given back by the collector's own goroutine, whenever that ends.
func (e *entry) gather(ctx context.Context) ([]prometheus.Metric, error) {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("an earlier scrape is still in this collector: %w", context.Cause(ctx))
	}
	done := make(chan gathered, 1)
	go func() {
		defer func() { <-e.turn }()
		done <- e.run(ctx)
	}()
	select {
	case g := <-done:
		return g.metrics, g.err
	case <-ctx.Done():
		return nil, fmt.Errorf("abandoned at the deadline: %w", context.Cause(ctx))
	}
}

// run collects into a slice; a panic in a collector is that collector's error.
func (e *entry) run(ctx context.Context) (g gathered) {
	ch := make(chan prometheus.Metric)
	drained := make(chan []prometheus.Metric)
	go func() {
		var all []prometheus.Metric
		for m := range ch {
			all = append(all, m)
		}
		drained <- all
	}()
	defer func() {
		if r := recover(); r != nil {
			g.err = fmt.Errorf("panic: %v", r)
		}
		close(ch)
		g.metrics = <-drained
		if g.err == nil {
			g.err = firstInvalid(g.metrics)
		}
	}()
	g.err = e.c.Collect(ctx, ch)
	return g
}

// firstInvalid is the error of a metric that would fail the whole scrape.
func firstInvalid(ms []prometheus.Metric) error {
	for _, m := range ms {
		if bad, ok := m.(invalidMetric); ok {
			return bad.err
		}
	}
	return nil
}

// Run runs all Runners until ctx ends. A Runner that stops early with an error,
// or has one to tell at its end, is logged once; the others go on, because one
// source must not end another.
func (s *Set) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, e := range s.entries {
		r, ok := e.c.(Runner)
		if !ok {
			continue
		}
		wg.Go(func() {
			if err := r.Run(ctx); err != nil && !errors.Is(err, ctx.Err()) {
				s.logger.Error("collector stopped", "collector", e.c.Name(), "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}

// Health tells how each collector did in the last scrape, in order.
func (s *Set) Health() []Health {
	out := make([]Health, 0, len(s.entries))
	for _, e := range s.entries {
		e.mu.Lock()
		h := e.last
		e.mu.Unlock()
		h.Name = e.c.Name()
		if st, ok := e.c.(Stater); ok {
			h.State = st.State()
		}
		out = append(out, h)
	}
	return out
}
