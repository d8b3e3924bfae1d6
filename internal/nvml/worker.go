package nvml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// WorkerOptions is how a worker reads.
type WorkerOptions struct {
	// LibraryPath is the driver's library; empty: libnvidia-ml.so.1, found by
	// the dynamic linker.
	LibraryPath string
	// Interval is the time between two readings of a GPU; 0: one second.
	Interval time.Duration
	// Parent is read until its end, which says that the parent has gone; nil:
	// standard input.
	Parent io.Reader
}

// A worker whose GPUs are not all well ends after refreshAfter, and one whose
// GPU count has changed at once: only a new process sees the machine anew.
const refreshAfter = 5 * time.Minute

// patience is how long one answer may take before the worker says so.
func patience(interval time.Duration) time.Duration { return max(2*interval, 5*time.Second) }

// errParentGone ends the worker quietly.
var errParentGone = errors.New("the parent has gone")

// ServeWorker opens the driver's library and writes frames, one JSON object a
// line, to out until ctx or the parent ends. It is all that the hidden
// subcommand of the exporter does, because the library may end or block this
// process at any call. The error is nil when the end was asked for or has been
// explained to the parent in a frame.
func ServeWorker(ctx context.Context, out io.Writer, o WorkerOptions) error {
	return serveWorker(ctx, out, o, openLibrary)
}

func serveWorker(ctx context.Context, out io.Writer, o WorkerOptions, open func(string) (library, error)) error {
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Parent == nil {
		o.Parent = os.Stdin
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		_, _ = io.Copy(io.Discard, o.Parent)
		cancel(errParentGone)
	}()
	w := &worker{out: json.NewEncoder(out), interval: o.Interval, end: cancel, slots: map[int]*slot{}}
	// Opening may block for ever, like any other call.
	go func() {
		if err := w.begin(ctx, open, o.LibraryPath); err != nil {
			cancel(err)
		}
	}()
	<-ctx.Done()
	return w.farewell(context.Cause(ctx))
}

// worker is one open library and its GPUs.
type worker struct {
	mu       sync.Mutex
	out      *json.Encoder
	interval time.Duration
	end      context.CancelCauseFunc
	slots    map[int]*slot
	over     bool // the last frame is out
}

// slot is what is known about the GPU at one index.
type slot struct {
	id      Identity
	err     error     // why it did not say who it is
	asked   time.Time // since when a call is out; zero: none
	unwell  bool
	settled bool
}

// farewell explains the end to the parent, where that is news.
func (w *worker) farewell(cause error) error {
	if errors.Is(cause, errParentGone) || errors.Is(cause, context.Canceled) {
		return nil
	}
	f := frame{Kind: kindDown, Reason: cause.Error()}
	var down *downError
	if errors.As(cause, &down) {
		f.Final = down.final
	}
	f.Fresh = errors.Is(cause, errOutOfDate)
	return w.send(f)
}

// errOutOfDate ends a worker that a new one should replace at once.
var errOutOfDate = errors.New("look at the machine anew")

// errOver is what a GPU's goroutine meets after the last frame.
var errOver = errors.New("the worker has said its last frame")

func (w *worker) send(f frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return errOver
	}
	w.over = f.Kind == kindDown
	if err := w.out.Encode(f); err != nil {
		return fmt.Errorf("write to the parent: %w", err)
	}
	return nil
}

// begin opens the library and gives each GPU a goroutine of its own.
func (w *worker) begin(ctx context.Context, open func(string) (library, error), path string) error {
	lib, err := open(path)
	if err != nil {
		return err
	}
	if err := w.send(frame{Kind: kindHello, Protocol: protocol, DriverVersion: lib.version()}); err != nil {
		return err
	}
	count, err := lib.devices()
	if err != nil {
		return err
	}
	for i := range count {
		w.slots[i] = &slot{asked: time.Now()}
	}
	for i, s := range w.slots {
		go w.serveGPU(ctx, lib, i, s)
	}
	return w.watch(ctx, lib, count)
}

// serveGPU identifies one GPU and reads it every interval. It blocks where the
// driver does; nothing else then calls into that GPU.
func (w *worker) serveGPU(ctx context.Context, lib library, index int, s *slot) {
	dev, id, err := lib.device(index)
	w.mu.Lock()
	s.id, s.err, s.settled, s.asked = id, err, true, time.Time{}
	s.unwell = err != nil
	w.mu.Unlock()
	if err != nil {
		return // the beat says so
	}
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.mu.Lock()
		s.asked = time.Now()
		w.mu.Unlock()
		state, values, err := dev.read()
		w.mu.Lock()
		s.asked, s.unwell, s.err = time.Time{}, state != OK, err
		w.mu.Unlock()
		if errors.As(err, new(*downError)) {
			w.end(err)
			return
		}
		r := Reading{Identity: id, State: state, At: time.Now(), Values: values}
		if err := w.send(frame{Kind: kindReading, GPU: &r}); err != nil {
			w.end(err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// watch sends a beat every interval and counts the GPUs now and then, on a
// goroutine of its own because that call may block as well.
func (w *worker) watch(ctx context.Context, lib library, count int) error {
	go w.recount(ctx, lib, count)
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	begin := time.Now()
	for {
		b, unwell := w.beat(count)
		if err := w.send(frame{Kind: kindBeat, Beat: &b}); err != nil {
			return err
		}
		if unwell && time.Since(begin) > refreshAfter {
			return fmt.Errorf("a gpu is not well: %w", errOutOfDate)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *worker) recount(ctx context.Context, lib library, count int) {
	tick := time.NewTicker(10 * w.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		switch n, err := lib.devices(); {
		case err != nil:
			w.end(err)
			return
		case n != count:
			w.end(fmt.Errorf("the driver now counts %d gpus instead of %d: %w", n, count, errOutOfDate))
			return
		}
	}
}

// beat is what the worker knows now; unwell says that a GPU is not OK.
func (w *worker) beat(count int) (b beat, unwell bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b = beat{Devices: count, Settled: true}
	for i := range count {
		s := w.slots[i]
		b.Settled = b.Settled && s.settled
		unwell = unwell || s.unwell
		who := fmt.Sprintf("gpu %d", i)
		if s.id.UUID != "" {
			b.Listed = append(b.Listed, s.id.UUID)
			who += " " + s.id.UUID
		}
		switch {
		case s.err != nil:
			if s.id.UUID == "" {
				b.Refused = append(b.Refused, stateOf(s.err))
			}
			b.Troubles = append(b.Troubles, who+": "+s.err.Error())
		case !s.asked.IsZero() && time.Since(s.asked) > patience(w.interval):
			b.Troubles = append(b.Troubles, who+": does not answer")
		}
	}
	slices.Sort(b.Listed)
	return b, unwell
}
