package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// Where a file without state is read from when it is first seen at start.
const (
	StartEnd       = "end"
	StartBeginning = "beginning"
)

// AnyEvent in Events takes every line for a finished request.
const AnyEvent = "*"

// Bounds of max_line_bytes; the default is 1 MiB.
const (
	minLine     = 256
	defaultLine = 1 << 20
	maxLine     = 64 << 20
)

// RequestLog is one group of JSON-lines files: one finished request per line.
type RequestLog struct {
	// Name is the value of the group label.
	Name string `yaml:"name"`
	// Files are paths and globs, relative ones from the directory of the
	// configuration; their rotated siblings are found by themselves.
	Files Strings `yaml:"files"`
	// Namespace is the value of the namespace label, "" if unknown.
	Namespace string `yaml:"namespace"`
	// Start is end (default) or beginning, for files that exist at first start.
	Start string `yaml:"start"`
	// Events are the values of the event field that are finished requests.
	Events Strings `yaml:"events"`
	// Fields are the paths to try for each field, first match first.
	Fields Fields `yaml:"fields"`
	Units  Units  `yaml:"units"`
	// InputIncludesCached is false for sources that report cached input tokens
	// beside the input tokens and not among them. Default true.
	InputIncludesCached *bool `yaml:"input_includes_cached"`
	MaxLineBytes        int   `yaml:"max_line_bytes"`
	// Reasons map error types and texts to reasons before the built-in table.
	Reasons []ReasonRule `yaml:"reasons"`
}

// Fields are paths into a line, dots between nested keys.
type Fields struct {
	Event             Strings `yaml:"event"`
	Model             Strings `yaml:"model"`
	InputTokens       Strings `yaml:"input_tokens"`
	CachedInputTokens Strings `yaml:"cached_input_tokens"`
	OutputTokens      Strings `yaml:"output_tokens"`
	Duration          Strings `yaml:"duration"`
	Timestamp         Strings `yaml:"timestamp"`
	Level             Strings `yaml:"level"`
	Error             Strings `yaml:"error"`
	ErrorType         Strings `yaml:"error_type"`
	Status            Strings `yaml:"status"`
}

// Units are for fields whose name does not end in a unit.
type Units struct {
	// Duration is ns, us, ms, s or m.
	Duration string `yaml:"duration"`
}

// ReasonRule gives a reason to errors whose type or text matches.
type ReasonRule struct {
	Match  string         `yaml:"match"`
	Reason string         `yaml:"reason"`
	Regexp *regexp.Regexp `yaml:"-"`
}

// Strings is a list that may be written as one text.
type Strings []string

// UnmarshalYAML takes a text or a list of texts.
func (s *Strings) UnmarshalYAML(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode:
		*s = Strings{n.Value}
		return nil
	case n.Kind == yaml.SequenceNode && !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode }):
		*s = make(Strings, len(n.Content))
		for i, c := range n.Content {
			(*s)[i] = c.Value
		}
		return nil
	}
	return fmt.Errorf("want a text or a list of texts")
}

// Reasons is the closed set of reasons of an error, in the order of the state
// file and of the metrics.
func Reasons() []string {
	return []string{"client", "overload", "timeout", "backend", "cuda_oom", "model_load", "nccl_timeout", "other"}
}

// checkRequestLogs validates the groups; relative paths start at dir, the
// directory of the configuration, and become absolute: offsets are kept by path.
func (c *Config) checkRequestLogs(doc *strictyaml.Doc, dir string) {
	names, patterns := map[string]bool{}, map[string]string{}
	for i := range c.RequestLogs {
		r, at := &c.RequestLogs[i], fmt.Sprintf("request_logs[%d]", i)
		switch {
		case !groupName.MatchString(r.Name):
			doc.Addf(at+".name", "%q is not a name: want 1 to 64 letters, digits and _.-", r.Name)
		case names[r.Name]:
			doc.Addf(at+".name", "%q is used twice: offsets and counters are kept by name", r.Name)
		}
		names[r.Name] = true
		if len(r.Files) == 0 {
			doc.Addf(at+".files", "is missing: want paths or globs")
		}
		for j, p := range r.Files {
			if _, err := filepath.Match(p, ""); err != nil || p == "" {
				doc.Addf(at+".files", "%q is not a path or glob", p)
			}
			if !filepath.IsAbs(p) {
				p = filepath.Join(dir, p)
				r.Files[j] = p
			}
			if other, dup := patterns[p]; dup {
				doc.Addf(at+".files", "%q is already followed by %q: its requests would be counted twice", p, other)
			}
			patterns[p] = r.Name
		}
		r.check(doc, at)
	}
}

var groupName = regexp.MustCompile(`^[\w.-]{1,64}$`)
var namespaceName = regexp.MustCompile(`^[\w.-]{0,63}$`)

func (r *RequestLog) check(doc *strictyaml.Doc, at string) {
	if !namespaceName.MatchString(r.Namespace) {
		doc.Addf(at+".namespace", "%q is not a namespace: want up to 63 letters, digits and _.-", r.Namespace)
	}
	if r.Start == "" {
		r.Start = StartEnd
	}
	if r.Start != StartEnd && r.Start != StartBeginning {
		doc.Addf(at+".start", "%q is unknown%s", r.Start, strictyaml.Suggest(r.Start, []string{StartEnd, StartBeginning}))
	}
	if len(r.Events) == 0 {
		r.Events = Strings{"inference_request", "inference_error"}
	}
	if r.MaxLineBytes == 0 && !doc.Has(at+".max_line_bytes") {
		r.MaxLineBytes = defaultLine
	}
	if r.MaxLineBytes < minLine || r.MaxLineBytes > maxLine {
		doc.Addf(at+".max_line_bytes", "%d is out of range: want %d to %d", r.MaxLineBytes, minLine, maxLine)
	}
	if r.InputIncludesCached == nil {
		yes := true
		r.InputIncludesCached = &yes
	}
	for i := range r.Reasons {
		r.Reasons[i].check(doc, fmt.Sprintf("%s.reasons[%d]", at, i))
	}
	r.checkDuration(doc, at)
	r.Fields.check(doc, at+".fields")
}

func (m *ReasonRule) check(doc *strictyaml.Doc, at string) {
	if !slices.Contains(Reasons(), m.Reason) {
		doc.Addf(at+".reason", "%q is unknown%s", m.Reason, strictyaml.Suggest(m.Reason, Reasons()))
	}
	re, err := regexp.Compile(m.Match)
	switch {
	case m.Match == "":
		doc.Addf(at+".match", "is missing: want a regular expression")
	case err != nil:
		doc.Addf(at+".match", "is not a regular expression: %v", err)
	}
	m.Regexp = re
}

// checkDuration wants a unit for every duration: from the end of the field's
// name, or written.
func (r *RequestLog) checkDuration(doc *strictyaml.Doc, at string) {
	if u := r.Units.Duration; u != "" {
		if _, ok := unitSeconds(u); !ok {
			doc.Addf(at+".units.duration", "%q is not a unit%s", u, strictyaml.Suggest(u, []string{"ns", "us", "ms", "s", "m"}))
		}
		return
	}
	for _, p := range r.Fields.Duration {
		if _, ok := unitOfName(p); !ok {
			doc.Addf(at+".fields.duration", "the name %q does not end in a unit: set units.duration to ns, us, ms, s or m", p)
		}
	}
}

// DurationScale is the number of seconds in one unit of the duration at path:
// the unit at the end of its name, else units.duration, else seconds.
func (r *RequestLog) DurationScale(path string) float64 {
	if s, ok := unitOfName(path); ok {
		return s
	}
	if s, ok := unitSeconds(r.Units.Duration); ok {
		return s
	}
	return 1
}

// unitOfName reads the unit after the last _ or capital: latency_ms, tookMs.
func unitOfName(path string) (float64, bool) {
	i := strings.LastIndexFunc(path, func(c rune) bool { return c == '_' || c == '.' || 'A' <= c && c <= 'Z' })
	if i < 0 {
		return 0, false
	}
	return unitSeconds(strings.ToLower(strings.TrimLeft(path[i:], "_.")))
}

func unitSeconds(unit string) (float64, bool) {
	switch unit {
	case "ns", "nanos", "nanoseconds":
		return 1e-9, true
	case "us", "micros", "microseconds":
		return 1e-6, true
	case "ms", "msec", "millis", "milliseconds":
		return 1e-3, true
	case "s", "sec", "secs", "seconds":
		return 1, true
	case "m", "min", "minutes":
		return 60, true
	}
	return 0, false
}
