package collector

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/genai-exporter/genai-exporter/internal/config"
	"github.com/genai-exporter/genai-exporter/internal/pricebook"
)

// Bounds of a believable request: beyond them a number is a mistake.
const (
	maxTokens  = 1_000_000_000
	maxSeconds = 30 * 24 * 3600
)

// record is one finished request.
type record struct {
	model   []byte // valid until the next line
	usage   pricebook.Usage
	timed   bool
	seconds float64
	at      *fastjson.Value
	outcome outcome
	reason  int
}

// field of a line.
type field int

const (
	fieldEvent field = iota
	fieldModel
	fieldInput
	fieldCached
	fieldOutput
	fieldDuration
	fieldTimestamp
	fieldLevel
	fieldError
	fieldErrorType
	fieldStatus
	numFields
)

// slot is where the value at one path goes: lower ranks win.
type slot struct {
	field field
	rank  int
	scale float64
}

// pathNode is one step of the paths of all fields.
type pathNode struct {
	slots    []slot
	children map[string]*pathNode
}

func (n *pathNode) add(path string, s slot) {
	// A key that holds the dots itself is found before the nested one.
	keys := [][]string{{path}}
	if strings.Contains(path, ".") {
		keys = append(keys, strings.Split(path, "."))
	}
	for _, steps := range keys {
		at := n
		for _, k := range steps {
			if at.children == nil {
				at.children = map[string]*pathNode{}
			}
			if at.children[k] == nil {
				at.children[k] = &pathNode{}
			}
			at = at.children[k]
		}
		at.slots = append(at.slots, s)
	}
}

// lineParser reads one line at a time without allocating. JSON is checked with
// the standard library, which is strict, and taken apart with fastjson, which
// is not.
type lineParser struct {
	events  map[string]bool
	any     bool
	inside  bool // cached input tokens are among the input tokens
	reasons []config.ReasonRule

	root   *pathNode
	parser fastjson.Parser
	at     *pathNode
	visit  func(key []byte, v *fastjson.Value)
	values [numFields]*fastjson.Value
	slots  [numFields]slot
}

func newLineParser(c *config.RequestLog) *lineParser {
	p := &lineParser{events: map[string]bool{}, inside: *c.InputIncludesCached, reasons: c.Reasons, root: &pathNode{}}
	for _, e := range c.Events {
		p.events[e] = true
		p.any = p.any || e == config.AnyEvent
	}
	f := c.Fields
	for i, paths := range [numFields]config.Strings{
		f.Event, f.Model, f.InputTokens, f.CachedInputTokens, f.OutputTokens, f.Duration,
		f.Timestamp, f.Level, f.Error, f.ErrorType, f.Status,
	} {
		for rank, path := range paths {
			p.root.add(path, slot{field(i), rank, c.DurationScale(path)})
		}
	}
	p.visit = p.take
	return p
}

// take keeps a value that a field wants.
func (p *lineParser) take(key []byte, v *fastjson.Value) {
	n := p.at.children[string(key)]
	if n == nil || v.Type() == fastjson.TypeNull {
		return
	}
	for _, s := range n.slots {
		if old := p.values[s.field]; old == nil || s.rank <= p.slots[s.field].rank {
			p.values[s.field], p.slots[s.field] = v, s
		}
	}
	if n.children != nil && v.Type() == fastjson.TypeObject {
		here := p.at
		p.at = n
		v.GetObject().Visit(p.visit)
		p.at = here
	}
}

// parse reads one line into r. Only with lineOK does r hold a request.
func (p *lineParser) parse(line []byte, r *record) result {
	if !json.Valid(line) {
		return lineInvalidJSON
	}
	v, err := p.parser.ParseBytes(line)
	if err != nil || v.Type() != fastjson.TypeObject {
		return lineInvalidJSON
	}
	p.values = [numFields]*fastjson.Value{}
	p.at = p.root
	v.GetObject().Visit(p.visit)
	event := text(p.values[fieldEvent])
	if !p.any && !p.events[string(event)] {
		return lineIgnored
	}
	*r = record{model: text(p.values[fieldModel]), at: p.values[fieldTimestamp]}
	if len(r.model) == 0 {
		return lineMissingModel
	}
	if !p.numbers(r) {
		return lineBadNumber
	}
	p.judge(event, r)
	return lineOK
}

// numbers reads tokens and duration; all of them must make sense.
func (p *lineParser) numbers(r *record) bool {
	for _, n := range [...]struct {
		field field
		to    *uint64
	}{{fieldInput, &r.usage.Input}, {fieldCached, &r.usage.Cached}, {fieldOutput, &r.usage.Output}} {
		v := p.values[n.field]
		if v == nil {
			continue
		}
		x, ok := number(v)
		if !ok || x < 0 || x > maxTokens || x != math.Trunc(x) {
			return false
		}
		*n.to = uint64(x)
	}
	if !p.inside {
		r.usage.Input += r.usage.Cached
	}
	if r.usage.Cached > r.usage.Input {
		return false
	}
	if v := p.values[fieldDuration]; v != nil {
		x, ok := number(v)
		x *= p.slots[fieldDuration].scale
		if !ok || x < 0 || x > maxSeconds {
			return false
		}
		r.timed, r.seconds = true, x
	}
	return true
}

// text is the bytes of a string, nil for anything else.
func text(v *fastjson.Value) []byte {
	if v == nil || v.Type() != fastjson.TypeString {
		return nil
	}
	return v.GetStringBytes()
}

// number reads a number or a decimal number in a string.
func number(v *fastjson.Value) (float64, bool) {
	switch v.Type() {
	case fastjson.TypeNumber:
		x, err := v.Float64()
		return x, err == nil && !math.IsInf(x, 0)
	case fastjson.TypeString:
		s := string(bytes.TrimSpace(v.GetStringBytes()))
		if strings.Trim(s, "0123456789+-.eE") != "" {
			return 0, false // ParseFloat also reads hexadecimal, Inf and NaN
		}
		x, err := strconv.ParseFloat(s, 64)
		return x, err == nil
	}
	return 0, false
}

// eventTime reads RFC 3339, the same without a zone as UTC, or a number of
// seconds, milli-, micro- or nanoseconds since the epoch. What cannot be read
// and what lies in the future is now.
func eventTime(v *fastjson.Value, now time.Time) time.Time {
	if v == nil {
		return now
	}
	var t time.Time
	if x, ok := number(v); ok {
		for x >= 1e11 {
			x /= 1000
		}
		whole, frac := math.Modf(x)
		t = time.Unix(int64(whole), int64(frac*1e9))
	} else {
		s := string(text(v))
		for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05"} {
			var err error
			if t, err = time.Parse(layout, s); err == nil {
				break
			}
		}
	}
	if t.Unix() <= 0 || t.After(now) {
		return now
	}
	return t
}
