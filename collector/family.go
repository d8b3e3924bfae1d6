package collector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Type is the exposition type of a family.
type Type string

// The three types this exporter publishes. Histograms are classic.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Family is one metric family of the exporter as data: descriptors,
// docs/metrics.md and the contract with the rules are all made from it,
// because a prometheus.Desc does not give its name back.
type Family struct {
	// Name is the full name; the second word is the collector and its file.
	Name string
	// Help is one sentence that ends in a full stop.
	Help string
	Type Type
	// Labels are the variable labels in the order in which values are given.
	Labels []string
	// Buckets are the upper bounds of a histogram, without +Inf, ascending.
	Buckets []float64
	// Bound says what limits the number of label values ("" without labels).
	Bound string
	// Origin is where the fact comes from: an NVML function or field, an
	// upstream metric and version, or the file read.
	Origin string
}

// Desc is the descriptor of the family.
func (f Family) Desc() *prometheus.Desc {
	return prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
}

// Sample is a const metric of a counter or gauge family, with label values in
// the order of Labels. Values that cannot be sent become an invalid metric,
// which fails the collector that sent it and no other.
func (f Family) Sample(value float64, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	if f.Type == Counter {
		kind = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(f.Desc(), kind, value, labels...)
	if err != nil {
		return f.invalid(err)
	}
	return m
}

// invalid is a metric that cannot be sent, because its label values are not
// UTF-8 or too few: the Set finds it and fails the collector that sent it.
func (f Family) invalid(err error) prometheus.Metric {
	return invalidMetric{prometheus.NewInvalidMetric(f.Desc(), err), fmt.Errorf("%s: %w", f.Name, err)}
}

type invalidMetric struct {
	prometheus.Metric
	err error
}

// Families is the whole metric surface of the exporter, sorted by name.
func Families() []Family {
	all := slices.Concat(scrapeFamilies(), gpuFamilies(), exporterFamilies(), requestLogFamilies(), inferenceFamilies(), costFamilies())
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return all
}
