package collector

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

// State says in a line what is followed and whether it is durable.
func (r *RequestLog) State() string {
	l := r.live.Load()
	if len(l.groups) == 0 {
		return "no request log configured"
	}
	var parts []string
	for _, g := range l.groups {
		s := fmt.Sprintf("%s: %d files, %d bytes behind", g.name, g.files, g.lag)
		if !g.readable {
			s += ", not readable"
		}
		parts = append(parts, s)
	}
	switch {
	case r.store == nil:
		parts = append(parts, "state in memory only")
	case l.failing:
		parts = append(parts, "state file cannot be written, totals stand still")
	}
	return strings.Join(parts, "; ")
}

// Collect shows the totals of the last checkpoint.
func (r *RequestLog) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	p, l := r.published.Load(), r.live.Load()
	if len(l.groups) == 0 && len(p.totals.Series) == 0 {
		return ErrNoData
	}
	for _, s := range p.totals.Series {
		s.collect(ch)
	}
	for _, g := range p.totals.Groups {
		for i, n := range g.Results {
			ch <- requestLogLines.Sample(float64(n), g.Name, result(i).String())
		}
		ch <- requestLogLost.Sample(float64(g.Lost), g.Name)
		ch <- requestLogGaps.Sample(float64(g.Gaps), g.Name)
	}
	for _, g := range l.groups {
		ch <- requestLogLag.Sample(float64(g.lag), g.name)
		ch <- requestLogFiles.Sample(float64(g.files), g.name)
		ch <- requestLogReadable.Sample(boolean(g.readable), g.name)
	}
	if r.store != nil {
		if !p.at.IsZero() {
			ch <- requestLogCheckpoint.Sample(float64(p.at.UnixMilli()) / 1000)
		}
		ch <- requestLogCheckpointFailures.Sample(float64(l.failures))
		ch <- requestLogStateDiscarded.Sample(boolean(l.discarded))
	}
	return nil
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// logRuntime is the runtime label of what a request log tells.
const logRuntime = "log"

// collect shows one series under the inference schema.
func (s *series) collect(ch chan<- prometheus.Metric) {
	labels := []string{logRuntime, s.Model, s.Namespace, ""}
	with := func(more string) []string { return append(slices.Clone(labels), more) }
	for i, n := range s.Outcomes {
		ch <- inferenceRequests.Sample(float64(n), with(outcome(i).String())...)
	}
	for i, name := range config.Reasons() {
		ch <- inferenceErrors.Sample(float64(s.Reasons[i]), with(name)...)
	}
	ch <- inferenceDuration.histogram(s.Buckets, s.Seconds, labels...)
	ch <- inferenceInputTokens.Sample(float64(s.Input), labels...)
	ch <- inferenceCachedTokens.Sample(float64(s.Cached), labels...)
	ch <- inferenceOutputTokens.Sample(float64(s.Output), labels...)
}
