package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var probeFamily = Family{
	Name: "genai_probe_ok", Type: Gauge, Help: "A metric of the tests.", Labels: []string{"collector"}, Bound: "the tests", Origin: "the tests",
}

// probe is a collector that the test directs.
type probe struct {
	name   string
	err    error
	hang   <-chan struct{} // Collect waits for it, whatever ctx says
	scream any             // Collect panics with it
	labels []string        // of one more sample
	began  atomic.Int32
	inside atomic.Int32
	most   atomic.Int32
}

func (p *probe) Name() string { return p.name }

func (p *probe) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	p.began.Add(1)
	p.most.Store(max(p.most.Load(), p.inside.Add(1)))
	defer p.inside.Add(-1)
	ch <- probeFamily.Sample(1, p.name)
	if p.hang != nil {
		<-p.hang
	}
	if p.scream != nil {
		panic(p.scream)
	}
	if p.labels != nil {
		ch <- probeFamily.Sample(1, p.labels...)
	}
	return p.err
}

func newSet(t *testing.T, log *bytes.Buffer, cs ...Collector) *Set {
	t.Helper()
	handler := slog.DiscardHandler
	if log != nil {
		handler = slog.NewTextHandler(log, nil)
	}
	s, err := NewSet(slog.New(handler), cs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scrape gathers under ctx and returns the series without durations.
func scrape(t *testing.T, s *Set, ctx context.Context) []string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s.Bind(ctx))
	var series []string
	for line := range strings.Lines(exposition(t, reg)) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "duration_seconds") {
			series = append(series, strings.TrimSpace(line))
		}
	}
	return series
}

func succeeded(name string, v int) string {
	return fmt.Sprintf("genai_scrape_collector_success{collector=%q} %d", name, v)
}

func sample(name string) string { return fmt.Sprintf("genai_probe_ok{collector=%q} 1", name) }

func TestSetServesEveryCollector(t *testing.T) {
	t.Parallel()
	s := newSet(t, nil, &probe{name: "a"}, &probe{name: "b"})
	want := []string{sample("a"), sample("b"), succeeded("a", 1), succeeded("b", 1)}
	if got := scrape(t, s, context.Background()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s.Bind(context.Background()))
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestSetRefusesDuplicateNames(t *testing.T) {
	t.Parallel()
	_, err := NewSet(slog.New(slog.DiscardHandler), &probe{name: "gpu"}, &probe{name: "gpu"})
	if want := `collector "gpu" is registered twice`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestSetAbandonsStuckCollector runs in simulated time: the scrape takes its
// deadline and not a moment more, and the others are served.
func TestSetAbandonsStuckCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		stuck := &probe{name: "stuck", hang: free}
		s := newSet(t, nil, stuck, &probe{name: "well"})
		want := []string{sample("well"), succeeded("stuck", 0), succeeded("well", 1)}
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			begin := time.Now()
			got := scrape(t, s, ctx)
			cancel()
			if took := time.Since(begin); took != 100*time.Millisecond {
				t.Errorf("the scrape took %s", took)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if n := stuck.began.Load(); n != 1 {
			t.Errorf("three scrapes called into the stuck collector %d times, want once", n)
		}
		health := s.Health()
		if !errors.Is(health[0].Err, context.DeadlineExceeded) || !strings.Contains(health[0].Err.Error(), "an earlier scrape is still in this collector") {
			t.Errorf("health %v", health[0].Err)
		}
		close(free)
		synctest.Wait()
		stuck.hang = nil
		want = []string{sample("stuck"), sample("well"), succeeded("stuck", 1), succeeded("well", 1)}
		if got := scrape(t, s, t.Context()); !slices.Equal(got, want) {
			t.Errorf("after it was freed: got %q, want %q", got, want)
		}
	})
}

// TestTwoScrapesAtOnceBothSucceed is what a pair of Prometheus servers does:
// the second waits for the first and then has its own turn.
func TestTwoScrapesAtOnceBothSucceed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		slow := &probe{name: "slow", hang: free}
		s := newSet(t, nil, slow)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		results := make(chan []string, 2)
		for range 2 {
			go func() { results <- scrape(t, s, ctx) }()
		}
		synctest.Wait() // one is inside, the other waits for its turn
		if n := slow.began.Load(); n != 1 {
			t.Errorf("%d scrapes are inside, want 1", n)
		}
		close(free)
		want := []string{sample("slow"), succeeded("slow", 1)}
		for range 2 {
			if got := <-results; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if n := slow.began.Load(); n != 2 {
			t.Errorf("%d calls for two scrapes", n)
		}
	})
}

func TestFiftyScrapesAtOnce(t *testing.T) {
	t.Parallel()
	a, b := &probe{name: "a"}, &probe{name: "b"}
	s := newSet(t, nil, a, b)
	want := []string{sample("a"), sample("b"), succeeded("a", 1), succeeded("b", 1)}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := scrape(t, s, context.Background()); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
	for _, p := range []*probe{a, b} {
		if p.most.Load() != 1 || p.began.Load() != 50 {
			t.Errorf("%s: %d at once, %d in all", p.name, p.most.Load(), p.began.Load())
		}
	}
}

func TestFailureIsTheCollectorsOwn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bad   *probe
		cause string
	}{
		"error":           {&probe{name: "bad", err: errors.New("read gpus: broken")}, "read gpus: broken"},
		"too-many-labels": {&probe{name: "bad", labels: []string{"x", "y"}}, `genai_probe_ok: inconsistent label cardinality: expected 1 label values but got 2 in []string{"x", "y"}`},
		"not-utf-8":       {&probe{name: "bad", labels: []string{"\xff"}}, `genai_probe_ok: label value "\xff" is not valid UTF-8`},
		"panic":           {&probe{name: "bad", scream: "index out of range"}, "panic: index out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			s := newSet(t, &log, tc.bad, &probe{name: "good"})
			want := []string{sample("good"), succeeded("bad", 0), succeeded("good", 1)}
			for range 2 { // its turn was given back
				if got := scrape(t, s, context.Background()); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if !strings.Contains(log.String(), "collector=bad") || strings.Count(log.String(), "collector failed") != 2 {
				t.Errorf("log:\n%s", &log)
			}
			if h := s.Health()[0]; h.Err == nil || h.Err.Error() != tc.cause || h.Name != "bad" || h.At.IsZero() {
				t.Errorf("health %+v", h)
			}
		})
	}
}

func TestNoDataIsNoFailure(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"plain": ErrNoData, "wrapped": fmt.Errorf("read gpus: %w", ErrNoData)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			s := newSet(t, &log, &probe{name: "idle", err: err})
			if got := scrape(t, s, context.Background()); !slices.Contains(got, succeeded("idle", 1)) {
				t.Errorf("got %q", got)
			}
			if log.Len() > 0 {
				t.Errorf("logged:\n%s", &log)
			}
		})
	}
}

// sampler is a collector with a background of its own.
type sampler struct {
	probe
	err  error
	runs chan struct{}
}

func (s *sampler) Run(ctx context.Context) error {
	s.runs <- struct{}{}
	if s.err != nil {
		return s.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *sampler) State() string { return "sampling" }

func TestSetRunsSamplersUntilTheEnd(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	runs := make(chan struct{})
	steady := &sampler{probe: probe{name: "steady"}, runs: runs}
	broken := &sampler{probe: probe{name: "broken"}, runs: runs, err: errors.New("no pipe")}
	s := newSet(t, &log, steady, broken, &probe{name: "plain"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-runs
	<-runs
	select {
	case err := <-done:
		t.Fatalf("Run ended with its first sampler: %v", err)
	default:
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(log.String(), "collector stopped"); n > 1 || strings.Contains(log.String(), "steady") {
		t.Errorf("log:\n%s", &log)
	}
	if h := s.Health(); h[0].State != "sampling" || h[2].State != "" {
		t.Errorf("health %+v", h)
	}
}

func TestFamiliesKeepTheConventions(t *testing.T) {
	t.Parallel()
	all := Families()
	for i, f := range all {
		if i > 0 && all[i-1].Name >= f.Name {
			t.Errorf("%s is not after %s: sorted and named once", f.Name, all[i-1].Name)
		}
		if !strings.HasPrefix(f.Name, "genai_") || !strings.HasSuffix(f.Help, ".") || f.Origin == "" {
			t.Errorf("%+v: want prefix genai_, a help that is a sentence, and an origin", f)
		}
		if (f.Type == Counter) != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s is a %s", f.Name, f.Type)
		}
		if (len(f.Labels) > 0) != (f.Bound != "") {
			t.Errorf("%s: labels %v need a bound and the other way round, got %q", f.Name, f.Labels, f.Bound)
		}
	}
}
