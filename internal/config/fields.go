package config

import (
	"strings"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// defaultFields are the names tried when the configuration gives none: the
// structlog line of the operations checklist, then the usage object of OpenAI
// compatible servers.
func defaultFields() Fields {
	return Fields{
		Event:             Strings{"event"},
		Model:             Strings{"model", "model_name"},
		InputTokens:       Strings{"input_tokens", "prompt_tokens", "usage.prompt_tokens", "usage.input_tokens"},
		CachedInputTokens: Strings{"cached_input_tokens", "cached_tokens", "usage.prompt_tokens_details.cached_tokens"},
		OutputTokens:      Strings{"output_tokens", "completion_tokens", "usage.completion_tokens", "usage.output_tokens"},
		Duration: Strings{"latency_ms", "latency_s", "latency_seconds", "duration_ms", "duration_s", "duration_seconds",
			"elapsed_ms", "elapsed_s", "elapsed_seconds", "duration", "latency"},
		Timestamp: Strings{"timestamp", "time", "ts", "@timestamp"},
		Level:     Strings{"level", "severity", "levelname"},
		Error:     Strings{"error", "exception"},
		ErrorType: Strings{"error_type", "error_code", "error.type", "error.code"},
		Status:    Strings{"status_code", "status", "http_status"},
	}
}

// check fills absent fields with the defaults and refuses empty path elements.
func (f *Fields) check(doc *strictyaml.Doc, at string) {
	def := defaultFields()
	for _, x := range []struct {
		key      string
		got, def *Strings
	}{
		{"event", &f.Event, &def.Event}, {"model", &f.Model, &def.Model},
		{"input_tokens", &f.InputTokens, &def.InputTokens},
		{"cached_input_tokens", &f.CachedInputTokens, &def.CachedInputTokens},
		{"output_tokens", &f.OutputTokens, &def.OutputTokens},
		{"duration", &f.Duration, &def.Duration}, {"timestamp", &f.Timestamp, &def.Timestamp},
		{"level", &f.Level, &def.Level}, {"error", &f.Error, &def.Error},
		{"error_type", &f.ErrorType, &def.ErrorType}, {"status", &f.Status, &def.Status},
	} {
		if len(*x.got) == 0 {
			*x.got = *x.def
		}
		for _, p := range *x.got {
			if p == "" || strings.HasPrefix(p, ".") || strings.HasSuffix(p, ".") || strings.Contains(p, "..") {
				doc.Addf(at+"."+x.key, "%q is not a path: want names with dots between nested keys, such as usage.prompt_tokens", p)
			}
		}
	}
}
