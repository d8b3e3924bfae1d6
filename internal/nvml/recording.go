package nvml

import (
	"bytes"
	"fmt"
	"time"
)

// isRecording tells a worker's frames from a script: they begin with a hello.
func isRecording(text []byte) bool {
	first, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	f, err := decodeFrame(first)
	return err == nil && f.Kind == kindHello
}

// loadRecording makes steps of what a worker wrote, from its first reading on.
func loadRecording(name string, text []byte) (*Replay, error) {
	r := &Replay{interval: time.Second}
	var start time.Time
	byUUID := map[string]int{}
	for i, lineText := range bytes.Split(text, []byte("\n")) {
		if len(bytes.TrimSpace(lineText)) == 0 {
			continue
		}
		f, err := decodeFrame(bytes.TrimSpace(lineText))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		if f.Kind == kindHello {
			r.version = f.DriverVersion
		}
		if f.Kind != kindReading {
			continue
		}
		if start.IsZero() {
			start = f.GPU.At
		}
		at := max(f.GPU.At.Sub(start), 0).Truncate(r.interval)
		n, seen := byUUID[f.GPU.UUID]
		if !seen {
			n = len(r.gpus)
			byUUID[f.GPU.UUID] = n
			r.gpus = append(r.gpus, replayGPU{id: f.GPU.Identity, values: map[Field]curve{}})
		}
		if err := r.gpus[n].record(at, f.GPU); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if len(r.gpus) == 0 {
		return nil, fmt.Errorf("%s: a recording without a reading", name)
	}
	return r, nil
}

// record appends a reading to the GPU's steps and events.
func (g *replayGPU) record(at time.Duration, r *Reading) error {
	last := OK
	if n := len(g.events); n > 0 {
		last = g.events[n-1].state
	}
	if r.State != last {
		g.events = append(g.events, gpuEvent{at: at, state: r.State})
	}
	for _, f := range Fields() {
		old, _ := g.values[f].(steps)
		v, said := r.Values[f]
		if old == nil && !said {
			continue
		}
		pt := point{at: at, v: v, said: said}
		switch n := len(old); {
		case n > 0 && at < old[n-1].at:
			return fmt.Errorf("gpu %s: reading at %s comes after %s", r.UUID, at, old[n-1].at)
		case n > 0 && at == old[n-1].at:
			old[n-1] = pt // two samples in one interval: the later stands
		default:
			g.values[f] = append(old, pt)
		}
	}
	return nil
}
