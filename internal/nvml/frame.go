package nvml

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// protocol changes when frames do: after an upgrade the file of the running
// program may hold a newer worker.
const protocol = 1

// maxFrame bounds a line from the worker; a reading is below 2 KiB.
const maxFrame = 64 << 10

// The kinds of frames: hello first, then beats and readings, or down and the
// end.
const (
	kindHello   = "hello"
	kindBeat    = "beat"
	kindReading = "reading"
	kindDown    = "down"
)

// frame is one line from the worker to its parent.
type frame struct {
	Kind string `json:"kind"`

	// hello
	Protocol      int    `json:"protocol,omitempty"`
	DriverVersion string `json:"driver_version,omitempty"`

	// beat: every interval, whatever the GPUs do.
	Beat *beat `json:"beat,omitempty"`

	// reading
	GPU *Reading `json:"gpu,omitempty"`

	// down: the driver cannot be asked; the worker ends.
	Reason string `json:"reason,omitempty"`
	// Fresh says that a new worker may be started at once: this one only ends
	// because what it knew is out of date.
	Fresh bool `json:"fresh,omitempty"`
	// Final says that no other worker of this program can do better.
	Final bool `json:"final,omitempty"`
}

// beat says what the worker found.
type beat struct {
	// Devices is how many GPUs the driver counts.
	Devices int `json:"devices"`
	// Listed are the UUIDs of those that have said who they are.
	Listed []string `json:"listed,omitempty"`
	// Settled says that every GPU has said who it is or refused to; a GPU
	// known from before that is not listed is then gone.
	Settled bool `json:"settled,omitempty"`
	// Refused are the states of the GPUs that would not say who they are.
	Refused []State `json:"refused,omitempty"`
	// Troubles are GPUs that do not answer or do not say who they are.
	Troubles []string `json:"troubles,omitempty"`
}

// decodeFrame reads one line and checks everything the parent relies on.
func decodeFrame(text []byte) (frame, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var f frame
	if err := dec.Decode(&f); err != nil {
		return frame{}, fmt.Errorf("frame %.80q: %w", text, err)
	}
	if dec.More() {
		return frame{}, fmt.Errorf("frame %.80q: more than one value", text)
	}
	if err := f.check(); err != nil {
		return frame{}, fmt.Errorf("frame %.80q: %w", text, err)
	}
	return f, nil
}

func (f frame) check() error {
	switch f.Kind {
	case kindHello:
		if f.Protocol != protocol {
			return fmt.Errorf("the worker speaks protocol %d and this program %d: restart it after an upgrade", f.Protocol, protocol)
		}
	case kindBeat:
		if f.Beat == nil || f.Beat.Devices < 0 {
			return errors.New("a beat without its facts")
		}
		for _, s := range f.Beat.Refused {
			if !slices.Contains(sayable(), s) {
				return fmt.Errorf("a worker cannot say state %q", s)
			}
		}
	case kindReading:
		return f.GPU.check()
	case kindDown:
		if f.Reason == "" {
			return errors.New("down without a reason")
		}
	default:
		return fmt.Errorf("unknown kind %q", f.Kind)
	}
	return nil
}

// sayable are the states that a worker can see; the others are the parent's.
func sayable() []State { return []State{OK, Lost, ResetRequired, Unavailable} }

// silent says that no reading is to be expected: there is no GPU, or none that
// says who it is.
func (b *beat) silent() bool { return b.Settled && len(b.Listed) == 0 }

func (r *Reading) check() error {
	switch {
	case r == nil || r.UUID == "" || len(r.UUID) > 128:
		return errors.New("a reading needs a uuid")
	case r.At.IsZero():
		return errors.New("a reading needs its moment")
	case !slices.Contains(sayable(), r.State):
		return fmt.Errorf("a worker cannot say state %q", r.State)
	}
	for f, v := range r.Values {
		if !slices.Contains(Fields(), f) || !f.plausible(v) {
			return fmt.Errorf("value %s %v", f, v)
		}
	}
	return nil
}

// readFrames calls take for each frame until the stream ends. Lines that are
// no JSON objects are skipped: a driver library may print.
func readFrames(r io.Reader, take func(frame)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), maxFrame)
	for lines.Scan() {
		text := bytes.TrimSpace(lines.Bytes())
		if !bytes.HasPrefix(text, []byte("{")) {
			continue
		}
		f, err := decodeFrame(text)
		if err != nil {
			return err
		}
		take(f)
	}
	return lines.Err()
}
