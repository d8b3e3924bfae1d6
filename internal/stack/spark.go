package stack

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// The drawing area of a sparkline, in its own units.
const (
	sparkWidth  = 240
	sparkHeight = 40
	sparkPad    = 3
	// sparkShort is the least that a line spans from left to right.
	sparkShort = 5 * time.Minute
)

// spark is one line of the last hour with its thresholds.
type spark struct {
	// Path is the d attribute of the line; empty where there is no history.
	Path string
	// Limits are the heights of the thresholds.
	Limits []string
	// Last is the d attribute of a dot at its end.
	Last string
	// Span is the time that the line takes: an hour, or what there is of it.
	Span string
	Text string
}

// newSpark draws the points of a row. Gaps stay gaps.
func newSpark(r Row, at time.Time) spark {
	if len(r.Spark) == 0 {
		return spark{}
	}
	low, high := math.Inf(1), math.Inf(-1)
	widen := func(v float64) { low, high = min(low, v), max(high, v) }
	smallest, largest := math.Inf(1), math.Inf(-1)
	for _, p := range r.Spark {
		if isFinite(p.Value) {
			widen(p.Value)
			smallest, largest = min(smallest, p.Value), max(largest, p.Value)
		}
	}
	if math.IsInf(smallest, 1) {
		return spark{}
	}
	for _, l := range r.Levels {
		widen(l.Threshold)
	}
	if high == low {
		high, low = high+1, low-1
	}
	y := func(v float64) string {
		return fmt.Sprintf("%.1f", sparkHeight-sparkPad-(v-low)/(high-low)*(sparkHeight-2*sparkPad))
	}
	var out spark
	span := sparkRange
	if history := at.Sub(r.Spark[0].At); history < sparkRange-r.Step {
		span = max(history, sparkShort).Round(time.Second)
	}
	out.Span = model.Duration(span).String()
	begin := at.Add(-span)
	x := func(t time.Time) string {
		return fmt.Sprintf("%.1f", float64(t.Sub(begin))/float64(span)*(sparkWidth-sparkPad))
	}
	var path strings.Builder
	var before time.Time
	for _, p := range r.Spark {
		if !isFinite(p.Value) {
			continue
		}
		command := "L"
		if before.IsZero() || p.At.Sub(before) > 2*r.Step {
			command = "M"
		}
		before = p.At
		fmt.Fprintf(&path, "%s%s %s", command, x(p.At), y(p.Value))
		out.Last = fmt.Sprintf("M%s %sh0", x(p.At), y(p.Value))
	}
	out.Path = path.String()
	for _, l := range r.Levels {
		out.Limits = append(out.Limits, y(l.Threshold))
	}
	out.Text = fmt.Sprintf("%s … %s", r.Unit.Format(smallest), r.Unit.Format(largest))
	return out
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
