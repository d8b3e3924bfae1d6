package nvml

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fakeLibrary is a driver library whose GPUs the test directs.
type fakeLibrary struct {
	count atomic.Int32
	gpus  []*fakeGPU
	err   error // of devices
}

type fakeGPU struct {
	refuse  error
	blocked chan struct{} // a read waits for it while it is set
	mu      sync.Mutex
	state   State
	err     error
	inside  atomic.Int32
	most    atomic.Int32
}

func (l *fakeLibrary) version() string { return "1.2.3" }

func (l *fakeLibrary) devices() (int, error) { return int(l.count.Load()), l.err }

func (l *fakeLibrary) device(i int) (device, Identity, error) {
	g := l.gpus[i]
	if g.refuse != nil {
		return nil, Identity{}, g.refuse
	}
	return g, Identity{UUID: string(rune('a' + i)), Index: i}, nil
}

func (g *fakeGPU) read() (State, map[Field]float64, error) {
	g.most.Store(max(g.most.Load(), g.inside.Add(1)))
	defer g.inside.Add(-1)
	if g.blocked != nil {
		<-g.blocked
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == OK {
		return OK, map[Field]float64{Power: 5}, nil
	}
	return g.state, nil, g.err
}

// work runs a worker over a fake library for some time and returns its frames.
func work(t *testing.T, lib *fakeLibrary, openErr error, during time.Duration) []frame {
	t.Helper()
	var out lockedBuffer
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	parent, held := io.Pipe()
	defer held.Close()
	done := make(chan error, 1)
	go func() {
		done <- serveWorker(ctx, &out, WorkerOptions{Parent: parent}, func(string) (library, error) { return lib, openErr })
	}()
	time.Sleep(during) // the bubble's time
	held.Close()
	if err := <-done; err != nil {
		t.Errorf("worker ended with %v", err)
	}
	synctest.Wait()
	var frames []frame
	if err := readFrames(strings.NewReader(out.String()), func(f frame) { frames = append(frames, f) }); err != nil {
		t.Fatalf("%v in:\n%s", err, out.String())
	}
	return frames
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func fakes(states ...State) *fakeLibrary {
	l := &fakeLibrary{}
	for _, s := range states {
		l.gpus = append(l.gpus, &fakeGPU{state: s})
	}
	l.count.Store(int32(len(states)))
	return l
}

func readingsOf(frames []frame, uuid string) (n int) {
	for _, f := range frames {
		if f.Kind == kindReading && f.GPU.UUID == uuid {
			n++
		}
	}
	return n
}

func lastBeat(t *testing.T, frames []frame) beat {
	t.Helper()
	for _, f := range slices.Backward(frames) {
		if f.Kind == kindBeat {
			return *f.Beat
		}
	}
	t.Fatalf("no beat in %+v", frames)
	return beat{}
}

func TestWorkerReadsEveryInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		frames := work(t, fakes(OK, OK), nil, 9500*time.Millisecond)
		if frames[0].Kind != kindHello || frames[0].DriverVersion != "1.2.3" {
			t.Errorf("first frame %+v", frames[0])
		}
		if a, b := readingsOf(frames, "a"), readingsOf(frames, "b"); a != 10 || b != 10 {
			t.Errorf("got %d and %d readings in 9.5s, want 10", a, b)
		}
		if b := lastBeat(t, frames); b.Devices != 2 || !b.Settled || len(b.Listed) != 2 || len(b.Troubles) > 0 {
			t.Errorf("beat %+v", b)
		}
	})
}

// TestStuckGPUIsCalledOnce looks at both sides of the worker's patience too.
func TestStuckGPUIsCalledOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		after    time.Duration
		troubles int
	}{{5 * time.Second, 0}, {6100 * time.Millisecond, 1}, {time.Hour, 1}} {
		t.Run(tc.after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lib := fakes(OK, OK)
				lib.gpus[0].blocked = make(chan struct{})
				defer close(lib.gpus[0].blocked)
				frames := work(t, lib, nil, tc.after)
				if n := lib.gpus[0].most.Load(); n != 1 {
					t.Errorf("%d calls at once into a stuck gpu", n)
				}
				if readingsOf(frames, "a") != 0 || readingsOf(frames, "b") < int(tc.after/time.Second) {
					t.Errorf("got %d and %d readings", readingsOf(frames, "a"), readingsOf(frames, "b"))
				}
				if b := lastBeat(t, frames); len(b.Troubles) != tc.troubles || tc.troubles > 0 && b.Troubles[0] != "gpu 0 a: does not answer" {
					t.Errorf("troubles %q, want %d", b.Troubles, tc.troubles)
				}
			})
		})
	}
}

func TestGPUWithoutIdentityIsATrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lib := fakes(OK, OK)
		lib.gpus[0].refuse = &gpuError{call: "handle", code: 15, state: Lost}
		frames := work(t, lib, nil, 3*time.Second)
		b := lastBeat(t, frames)
		if !b.Settled || len(b.Listed) != 1 || len(b.Troubles) != 1 || b.Troubles[0] != "gpu 0: handle: gpu is lost (code 15)" {
			t.Errorf("beat %+v", b)
		}
	})
}

func TestWorkerLooksAnewWhileAGPUIsUnwell(t *testing.T) {
	t.Parallel()
	for after, ended := range map[time.Duration]bool{refreshAfter: false, refreshAfter + 2*time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			lib := fakes(OK, Lost)
			lib.gpus[1].err = &gpuError{call: "x", code: 15, state: Lost}
			last := work(t, lib, nil, after)
			f := last[len(last)-1]
			if got := f.Kind == kindDown && f.Fresh; got != ended {
				t.Errorf("after %s the last frame is %+v", after, f)
			}
		})
	}
}

func TestWorkerLooksAnewWhenTheCountChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lib := fakes(OK, OK)
		go func() {
			time.Sleep(3 * time.Second)
			lib.count.Store(1)
		}()
		frames := work(t, lib, nil, 15*time.Second)
		f := frames[len(frames)-1]
		if f.Kind != kindDown || !f.Fresh || f.Reason != "the driver now counts 1 gpus instead of 2: look at the machine anew" {
			t.Errorf("last frame %+v", f)
		}
	})
}

func TestWorkerExplainsWhyItEnds(t *testing.T) {
	t.Parallel()
	lost := fakes(OK)
	lost.gpus[0].state, lost.gpus[0].err = Unavailable, &downError{reason: "nvmlDeviceGetTemperature: uninitialized"}
	for name, tc := range map[string]struct {
		lib   *fakeLibrary
		open  error
		want  string
		final bool
	}{
		"open":      {nil, &downError{reason: "no library"}, "no library", false},
		"never":     {nil, &downError{reason: "not built", final: true}, "not built", true},
		"count":     {&fakeLibrary{err: &downError{reason: "count gpus: timeout"}}, nil, "count gpus: timeout", false},
		"on-a-read": {lost, nil, "nvmlDeviceGetTemperature: uninitialized", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				frames := work(t, tc.lib, tc.open, time.Second)
				f := frames[len(frames)-1]
				if f.Kind != kindDown || f.Reason != tc.want || f.Final != tc.final || f.Fresh {
					t.Errorf("last frame %+v", f)
				}
			})
		})
	}
}

// TestWorkerEndsWhileOpeningBlocks ends with the parent, even so.
func TestWorkerEndsWhileOpeningBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		defer close(block)
		err := serveWorker(context.Background(), io.Discard, WorkerOptions{Parent: strings.NewReader("")}, func(string) (library, error) {
			<-block
			return nil, errors.New("too late")
		})
		if err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestWorkerEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		r.Close()
		parent, held := io.Pipe()
		defer held.Close()
		err := serveWorker(context.Background(), w, WorkerOptions{Parent: parent}, func(string) (library, error) { return fakes(OK), nil })
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCodesHaveNames(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{0: "success (code 0)", 15: "gpu is lost (code 15)", 30: "reset type not supported (code 30)", 31: "code 31", 999: "unknown error (code 999)", -1: "code -1"} {
		if got := codeName(code); got != want {
			t.Errorf("%d: got %q, want %q", code, got, want)
		}
	}
}
