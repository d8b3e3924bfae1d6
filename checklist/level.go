package checklist

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Severity says what an alert asks for: critical pages somebody now, warning
// opens a ticket, info is only shown.
type Severity string

// The three severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Severities are all of them, mildest first.
func Severities() []Severity { return []Severity{Info, Warning, Critical} }

// Direction is the side of a threshold that is bad.
type Direction string

// The two directions. A value on the threshold itself is good in both.
const (
	Above Direction = "above"
	Below Direction = "below"
)

// Level is one threshold of a check.
type Level struct {
	Severity Severity
	Bad      Direction
	// Threshold is in the unit of the check's signal.
	Threshold float64
}

// Breached says in Go what Condition says in PromQL.
func (l Level) Breached(v float64) bool {
	if l.Bad == Below {
		return v < l.Threshold
	}
	return v > l.Threshold
}

// Condition compares a PromQL expression with a bound. The bound is text so
// that it stays symbolic until the last renderer.
func (l Level) Condition(expr, bound string) string {
	if l.Bad == Below {
		return fmt.Sprintf("%s < %s", expr, bound)
	}
	return fmt.Sprintf("%s > %s", expr, bound)
}

// Bound is the threshold as PromQL writes it.
func (l Level) Bound() string { return formatNumber(l.Threshold) }

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Unit is what the values of a signal are measured in.
type Unit string

// The units; values are always base units, a ratio is 0 to 1.
const (
	Ratio     Unit = "ratio"
	Celsius   Unit = "celsius"
	Seconds   Unit = "seconds"
	USD       Unit = "usd"
	PerSecond Unit = "per_second"
	Tokens    Unit = "tokens"
	// State is 0 or 1.
	State Unit = "state"
	// InfoUnit is a constant 1 that only carries labels.
	InfoUnit Unit = "info"
)

func units() []Unit { return []Unit{Ratio, Celsius, Seconds, USD, PerSecond, Tokens, State, InfoUnit} }

func (u Unit) known() bool { return slices.Contains(units(), u) }

// Format is a value for people.
func (u Unit) Format(v float64) string {
	switch u {
	case Ratio:
		return significant(v*100) + " %"
	case Celsius:
		return significant(v) + " °C"
	case Seconds:
		return significant(v) + " s"
	case USD:
		return strconv.FormatFloat(math.Round(v*100)/100+0, 'f', 2, 64) + " USD" // + 0: no -0.00
	case PerSecond:
		return significant(v) + " /s"
	}
	return formatNumber(v)
}

// significant keeps three significant digits, and all digits before the point.
func significant(v float64) string {
	if math.Abs(v) >= 100 {
		v = math.Round(v)
	} else if short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64); err == nil {
		v = short
	}
	return formatNumber(v + 0)
}

// ValueTemplate is $value in an alert's annotation.
func (u Unit) ValueTemplate() string {
	switch u {
	case Ratio:
		return "{{ $value | humanizePercentage }}"
	case Seconds:
		return "{{ $value | humanizeDuration }}"
	case Celsius:
		return "{{ $value | printf \"%.0f\" }} °C"
	case USD:
		return "{{ $value | printf \"%.2f\" }} USD"
	}
	return "{{ $value | humanize }}"
}

// BoundTemplate is a threshold in an alert's annotation; bound may be a
// parameter. It is given to the template functions as text, because older
// Prometheus versions cannot humanize a whole number.
func (u Unit) BoundTemplate(bound string) string {
	switch u {
	case Ratio:
		return "{{ \"" + bound + "\" | humanizePercentage }}"
	case Seconds:
		return "{{ \"" + bound + "\" | humanizeDuration }}"
	case Celsius:
		return bound + " °C"
	case USD:
		return bound + " USD"
	}
	return bound
}
