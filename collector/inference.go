package collector

import (
	"github.com/prometheus/client_golang/prometheus"
)

// inferenceLabels are common to all sources of inference metrics; namespace
// and target are empty where they are not known.
func inferenceLabels(more ...string) []string {
	return append([]string{"runtime", "model", "namespace", "target"}, more...)
}

const (
	inferenceBound  = "runtimes compiled in x admitted models (models.allow, else 200) x configured namespaces and targets"
	inferenceOrigin = "request log: one line per finished request"
)

// The inference schema, the same from every source.
var (
	inferenceRequests = Family{
		Name: "genai_inference_requests_total", Type: Counter, Labels: inferenceLabels("outcome"),
		Help:  "Finished requests by outcome: success, error, aborted. Models of models.allow start at 0; without an allow-list a model appears with its first requests counted, which increase() and rate() do not see.",
		Bound: inferenceBound + " x 3", Origin: inferenceOrigin,
	}
	inferenceErrors = Family{
		Name: "genai_inference_request_errors_total", Type: Counter, Labels: inferenceLabels("reason"),
		Help:  "Requests that ended in an error, by reason: client, overload, timeout, backend, cuda_oom, model_load, nccl_timeout, other.",
		Bound: inferenceBound + " x 8", Origin: inferenceOrigin,
	}
	inferenceDuration = Family{
		Name: "genai_inference_request_duration_seconds", Type: Histogram, Labels: inferenceLabels(),
		Buckets: durationBoundsSlice(),
		Help:    "Time from the arrival of a request to its last token, in seconds; requests that state no duration are not in it.",
		Bound:   inferenceBound, Origin: inferenceOrigin,
	}
	inferenceInputTokens = Family{
		Name: "genai_inference_input_tokens_total", Type: Counter, Labels: inferenceLabels(),
		Help:  "Input tokens, those read from a cache included.",
		Bound: inferenceBound, Origin: inferenceOrigin,
	}
	inferenceCachedTokens = Family{
		Name: "genai_inference_cached_input_tokens_total", Type: Counter, Labels: inferenceLabels(),
		Help:  "Input tokens that were read from a cache, a part of the input tokens.",
		Bound: inferenceBound, Origin: inferenceOrigin,
	}
	inferenceOutputTokens = Family{
		Name: "genai_inference_output_tokens_total", Type: Counter, Labels: inferenceLabels(),
		Help:  "Output tokens.",
		Bound: inferenceBound, Origin: inferenceOrigin,
	}
)

func inferenceFamilies() []Family {
	return []Family{
		inferenceRequests, inferenceErrors, inferenceDuration,
		inferenceInputTokens, inferenceCachedTokens, inferenceOutputTokens,
	}
}

// numBounds is the number of finite bounds of our own duration histograms.
const numBounds = 17

// durationBounds are the upper bounds in seconds of duration histograms that
// this exporter fills itself; 5 s, the checklist's P99 target, is one of them.
func durationBounds() [numBounds]float64 {
	return [numBounds]float64{.005, .01, .02, .05, .1, .25, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600}
}

func durationBoundsSlice() []float64 {
	b := durationBounds()
	return b[:]
}

// buckets counts observations per bucket, not cumulated; the last is +Inf.
type buckets [numBounds + 1]uint64

// observe counts one duration: a value on a bound belongs to that bucket.
func (b *buckets) observe(seconds float64, bounds *[numBounds]float64) {
	i := 0
	for i < numBounds && seconds > bounds[i] {
		i++
	}
	b[i]++
}

// histogram is a const metric of a classic histogram over durationBounds.
func (f Family) histogram(b buckets, sum float64, labels ...string) prometheus.Metric {
	cumulative := make(map[float64]uint64, numBounds)
	var n uint64
	for i, le := range durationBounds() {
		n += b[i]
		cumulative[le] = n
	}
	m, err := prometheus.NewConstHistogram(f.Desc(), n+b[numBounds], sum, cumulative, labels...)
	if err != nil {
		return f.invalid(err)
	}
	return m
}
