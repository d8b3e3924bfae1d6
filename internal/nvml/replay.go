package nvml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxReplaySize bounds a replay file: an hour of eight GPUs at one sample a
// second stays below it.
const maxReplaySize = 32 << 20

// LoadReplay reads a time line as docs/replay.md describes it: scripted, in
// YAML or JSON, or recorded from a worker. Errors name the file (name), the
// line and the field, all of them at once.
func LoadReplay(name string, r io.Reader) (*Replay, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxReplaySize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxReplaySize {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxReplaySize>>20)
	}
	if isRecording(text) {
		return loadRecording(name, text)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: empty: want at least gpus", name)
		}
		if rest, ok := strings.CutPrefix(err.Error(), "yaml: line "); ok {
			return nil, fmt.Errorf("%s:%s", name, rest)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one document", name)
	}
	p := &parser{name: name}
	replay := p.replay(doc.Content[0])
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return replay, nil
}

// parser walks the nodes of a replay by hand, because only so does every
// error know its line and its field.
type parser struct {
	name string
	errs []error
}

func (p *parser) fail(n *yaml.Node, field, format string, args ...any) {
	where := fmt.Sprintf("%s:%d: ", p.name, n.Line)
	if field != "" {
		where += field + ": "
	}
	p.errs = append(p.errs, errors.New(where+fmt.Sprintf(format, args...)))
}

// fields calls what belongs to each key of a mapping; unknown and repeated
// keys are errors.
func (p *parser) fields(n *yaml.Node, field string, known map[string]func(n *yaml.Node, field string)) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, field, "want a mapping of %s, got %s", strings.Join(sortedKeys(known), ", "), kind(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		take, ok := known[key.Value]
		at := join(field, key.Value)
		switch {
		case !ok || key.Kind != yaml.ScalarNode:
			p.fail(key, at, "unknown field: want one of %s", strings.Join(sortedKeys(known), ", "))
		case seen[key.Value]:
			p.fail(key, at, "given twice")
		default:
			seen[key.Value] = true
			take(value, at)
		}
	}
}

func (p *parser) items(n *yaml.Node, field string, take func(n *yaml.Node, field string)) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, field, "want a list, got %s", kind(n))
		return
	}
	for i, item := range n.Content {
		take(item, fmt.Sprintf("%s[%d]", field, i))
	}
}

func (p *parser) text(into *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, field string) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
			p.fail(n, field, "want a text, got %s", kind(n))
			return
		}
		*into = n.Value
	}
}

func (p *parser) count(into *int) func(*yaml.Node, string) {
	return func(n *yaml.Node, field string) {
		if err := n.Decode(into); err != nil || n.Tag != "!!int" || *into < 0 {
			p.fail(n, field, "want a whole number from 0, got %s", kind(n))
		}
	}
}

func (p *parser) duration(into *time.Duration) func(*yaml.Node, string) {
	return func(n *yaml.Node, field string) {
		d, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || d < 0 {
			p.fail(n, field, "want a duration such as 40s or 1m30s, got %s", kind(n))
			return
		}
		*into = d
	}
}

// replay is the whole file.
func (p *parser) replay(n *yaml.Node) *Replay {
	r := &Replay{interval: time.Second}
	var gpus, events *yaml.Node
	before := len(p.errs)
	p.fields(n, "", map[string]func(*yaml.Node, string){
		"interval":       p.duration(&r.interval),
		"repeat":         p.duration(&r.repeat),
		"driver_version": p.text(&r.version),
		"driver_events": func(n *yaml.Node, field string) {
			events = n
			p.items(n, field, func(n *yaml.Node, field string) { r.driver = append(r.driver, p.driverEvent(n, field)) })
			p.ascending(n, field, len(r.driver), func(i int) time.Duration { return r.driver[i].at })
		},
		"gpus": func(n *yaml.Node, field string) {
			gpus = n
			p.items(n, field, func(n *yaml.Node, field string) { r.gpus = append(r.gpus, p.gpu(n, field)) })
		},
	})
	if len(p.errs) > before {
		return r
	}
	if gpus == nil {
		p.fail(n, "gpus", "missing: want a list, which may be empty")
	}
	if r.interval < 100*time.Millisecond {
		p.fail(n, "interval", "must be at least 100ms, got %s", r.interval)
	}
	if r.repeat != 0 && r.repeat < r.interval {
		p.fail(n, "repeat", "must be at least the interval %s, got %s", r.interval, r.repeat)
	}
	for i, e := range r.driver {
		p.reached(events.Content[i], fmt.Sprintf("driver_events[%d].at", i), e.at, r.repeat)
	}
	for i := range r.gpus {
		p.consistent(gpus.Content[i], fmt.Sprintf("gpus[%d]", i), r, i)
	}
	return r
}

// consistent checks what one GPU can only be judged by in its file.
func (p *parser) consistent(n *yaml.Node, field string, r *Replay, i int) {
	g := r.gpus[i]
	for j, other := range r.gpus[:i] {
		if other.id.UUID == g.id.UUID {
			p.fail(n, field+".uuid", "%s is gpus[%d] already", g.id.UUID, j)
		}
		if other.id.Index == g.id.Index {
			p.fail(n, field+".index", "%d is gpus[%d] already", g.id.Index, j)
		}
	}
	for k, e := range g.events {
		if e.state == stuck && e.at < r.interval {
			p.fail(n, fmt.Sprintf("%s.events[%d].at", field, k), "a GPU has to answer once before it is stuck: want at least %s", r.interval)
		}
		p.reached(n, fmt.Sprintf("%s.events[%d].at", field, k), e.at, r.repeat)
	}
}

// reached refuses an event that a time line which repeats never comes to.
func (p *parser) reached(n *yaml.Node, field string, at, repeat time.Duration) {
	if repeat > 0 && at >= repeat {
		p.fail(n, field, "%s is not reached: the time line repeats every %s", at, repeat)
	}
}

func (p *parser) driverEvent(n *yaml.Node, field string) driverEvent {
	var e driverEvent
	var state string
	p.fields(n, field, map[string]func(*yaml.Node, string){
		"at": p.duration(&e.at), "state": p.text(&state), "reason": p.text(&e.reason),
	})
	switch {
	case state == "up" && e.reason == "":
		e.up = true
	case state == "up":
		p.fail(n, field+".reason", "only for state down")
	case state == "down" && e.reason == "":
		p.fail(n, field+".reason", "missing: say why the driver is down")
	case state != "down":
		p.fail(n, field+".state", "want up or down, got %q", state)
	}
	return e
}

func (p *parser) gpu(n *yaml.Node, field string) replayGPU {
	g := replayGPU{values: map[Field]curve{}}
	index := -1
	p.fields(n, field, map[string]func(*yaml.Node, string){
		"uuid": p.text(&g.id.UUID), "index": p.count(&index),
		"name": p.text(&g.id.Name), "pci_bus_id": p.text(&g.id.PCIBusID),
		"values": func(n *yaml.Node, field string) { p.values(n, field, g.values) },
		"events": func(n *yaml.Node, field string) {
			p.items(n, field, func(n *yaml.Node, field string) { g.events = append(g.events, p.gpuEvent(n, field)) })
			p.ascending(n, field, len(g.events), func(i int) time.Duration { return g.events[i].at })
		},
	})
	g.id.Index = index
	if n.Kind != yaml.MappingNode {
		return g
	}
	if g.id.UUID == "" {
		p.fail(n, field+".uuid", "missing")
	}
	if index < 0 {
		p.fail(n, field+".index", "missing")
	}
	return g
}

func (p *parser) gpuEvent(n *yaml.Node, field string) gpuEvent {
	var e gpuEvent
	var state string
	p.fields(n, field, map[string]func(*yaml.Node, string){"at": p.duration(&e.at), "state": p.text(&state)})
	e.state = State(state)
	if known := []State{OK, Lost, ResetRequired, Unavailable, stuck}; !slices.Contains(known, e.state) {
		p.fail(n, field+".state", "want one of %v, got %q", known, state)
	}
	return e
}

func (p *parser) ascending(n *yaml.Node, field string, count int, at func(int) time.Duration) {
	for i := 1; i < count; i++ {
		if at(i) <= at(i-1) {
			p.fail(n.Content[i], fmt.Sprintf("%s[%d].at", field, i), "%s does not come after %s", at(i), at(i-1))
		}
	}
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// kind says what a node is, in the words of an error.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, which is not supported"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return fmt.Sprintf("%.60q", n.Value)
	}
	return "nothing"
}
