package collector

import (
	"slices"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

// judge tells how a request ended, and why if it failed. A status of 499 or a
// word for cancelling means that the client went away; an error event, an
// error level, a status of 400 or more, or a written error means failure.
func (p *lineParser) judge(event []byte, r *record) {
	code, word := status(p.values[fieldStatus])
	kind, cause := text(p.values[fieldErrorType]), p.values[fieldError]
	switch {
	case code == 499 || oneOf(word, "aborted", "abort", "cancelled", "canceled"):
		r.outcome = aborted
	case strings.HasSuffix(string(event), "_error") || code >= 400 || len(kind) > 0 || written(cause) ||
		oneOf(word, "error", "failed", "failure") || oneOf(text(p.values[fieldLevel]), "error", "critical", "fatal"):
		r.outcome = failure
		r.reason = p.reasonOf(string(kind), message(cause), code)
	}
}

func oneOf(b []byte, words ...string) bool {
	return len(b) > 0 && slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(string(b), w) })
}

// status is a number such as 503 or "503", or a word such as "failed".
func status(v *fastjson.Value) (code int, word []byte) {
	if v == nil {
		return 0, nil
	}
	if x, ok := number(v); ok && x >= 100 && x < 600 {
		return int(x), nil
	}
	return 0, text(v)
}

// written tells whether an error field says that there was one: false, 0, ""
// and {} do not.
func written(v *fastjson.Value) bool {
	if v == nil {
		return false
	}
	switch v.Type() {
	case fastjson.TypeString:
		return len(v.GetStringBytes()) > 0
	case fastjson.TypeObject:
		return v.GetObject().Len() > 0
	case fastjson.TypeNumber:
		return v.GetFloat64() != 0
	}
	return v.Type() == fastjson.TypeTrue || v.Type() == fastjson.TypeArray && len(v.GetArray()) > 0
}

// message is the text of an error field, or of the message inside it.
func message(v *fastjson.Value) string {
	if v != nil && v.Type() == fastjson.TypeObject {
		v = v.Get("message")
	}
	return string(text(v))
}

// reasonOf picks the reason: the configuration's rules, the error's type, the
// status, the error's text, in this order.
func (p *lineParser) reasonOf(kind, message string, code int) int {
	for _, rule := range p.reasons {
		if kind != "" && rule.Regexp.MatchString(kind) || message != "" && rule.Regexp.MatchString(message) {
			return slices.Index(config.Reasons(), rule.Reason)
		}
	}
	reason := wordsReason(kind)
	if reason == "" {
		reason = codeReason(code)
	}
	// A text that names the fault says more than "server error".
	if by := wordsReason(message); by != "" && (reason == "" || reason == "backend") {
		reason = by
	}
	if reason == "" {
		reason = "other"
	}
	return slices.Index(config.Reasons(), reason)
}

func codeReason(code int) string {
	switch {
	case code == 408 || code == 504:
		return "timeout"
	case code == 429 || code == 503 || code == 529:
		return "overload"
	case code >= 500:
		return "backend"
	case code >= 400:
		return "client"
	}
	return ""
}

// wordsReason looks for what frameworks write: the first row with a word in s.
func wordsReason(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToLower(s)
	for _, row := range [...]struct {
		reason string
		words  []string
	}{
		{"cuda_oom", []string{"cuda out of memory", "cuda_oom", "outofmemoryerror", "cuda error: out of memory"}},
		{"nccl_timeout", []string{"nccl"}},
		{"model_load", []string{"model_load", "modelloaderror", "failed to load model", "error loading model"}},
		{"timeout", []string{"timeout", "timed out", "timed_out", "deadline"}},
		{"overload", []string{"overload", "rate_limit", "ratelimit", "rate limit", "too many requests", "queue full", "queue_full"}},
		{"client", []string{"invalid_request", "bad_request", "badrequest", "validation", "context_length", "content_filter", "unauthorized", "authentication", "permission"}},
		{"backend", []string{"internal_server", "internal server", "server_error", "backend", "connection", "unavailable"}},
	} {
		if slices.ContainsFunc(row.words, func(w string) bool { return strings.Contains(s, w) }) {
			return row.reason
		}
	}
	return ""
}
