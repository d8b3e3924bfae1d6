package nvml

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeWorker is a worker of the tests: script writes its frames.
type fakeWorker struct {
	r          *io.PipeReader
	w          *io.PipeWriter
	unkillable bool
	err        error
	once       sync.Once
	gone       chan struct{}
}

func (f *fakeWorker) frames() io.ReadCloser { return f.r }
func (f *fakeWorker) stop()                 { f.kill() }
func (f *fakeWorker) wait() error           { <-f.gone; return f.err }

func (f *fakeWorker) kill() {
	if !f.unkillable {
		f.exit(errors.New("signal: killed"))
	}
}

// exit ends it, whatever it does.
func (f *fakeWorker) exit(err error) {
	f.once.Do(func() {
		f.err = err
		f.w.Close()
		close(f.gone)
	})
}

func (f *fakeWorker) say(frames ...frame) {
	enc := json.NewEncoder(f.w)
	for _, fr := range frames {
		if enc.Encode(fr) != nil {
			return
		}
	}
}

// stage starts fake workers one after another; the last script stays.
type stage struct {
	mu      sync.Mutex
	scripts []func(*fakeWorker)
	started []time.Time
	workers []*fakeWorker
}

func (s *stage) start([]string) (process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, w := io.Pipe()
	f := &fakeWorker{r: r, w: w, gone: make(chan struct{})}
	script := s.scripts[min(len(s.started), len(s.scripts)-1)]
	s.started = append(s.started, time.Now())
	s.workers = append(s.workers, f)
	go script(f)
	return f, nil
}

func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.started)
}

// play runs a Driver over the scripts in a bubble of its own time.
func play(t *testing.T, o DriverOptions, scripts []func(*fakeWorker), test func(d *Driver, s *stage, log *logBuffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		s := &stage{scripts: scripts}
		d := NewDriver(slog.New(slog.NewTextHandler(&log, nil)), o)
		d.start = s.start
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		synctest.Wait()
		test(d, s, &log)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		for _, w := range s.workers {
			w.exit(nil)
		}
	})
}

func reading(uuid string, state State) frame {
	r := Reading{Identity: Identity{UUID: uuid, Name: "card"}, State: state, At: time.Now()}
	if state == OK {
		r.Values = map[Field]float64{Temperature: 50}
	}
	return frame{Kind: kindReading, GPU: &r}
}

func beatOf(uuids ...string) frame {
	return frame{Kind: kindBeat, Beat: &beat{Devices: len(uuids), Listed: uuids, Settled: true}}
}

var hello = frame{Kind: kindHello, Protocol: protocol}

// steady reads one GPU every second until it is ended.
func steady(f *fakeWorker) {
	f.say(hello)
	for {
		f.say(beatOf("GPU-a"), reading("GPU-a", OK))
		select {
		case <-f.gone:
			return
		case <-time.After(time.Second):
		}
	}
}

// once reads one GPU and then says nothing more.
func once(f *fakeWorker) { f.say(hello, beatOf("GPU-a"), reading("GPU-a", OK)) }

func downBecause(reason string, final bool) func(*fakeWorker) {
	return func(f *fakeWorker) {
		f.say(frame{Kind: kindDown, Reason: reason, Final: final})
		f.exit(nil)
	}
}

func TestDriverServesReadings(t *testing.T) {
	t.Parallel()
	play(t, DriverOptions{}, []func(*fakeWorker){steady}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(time.Hour)
		got := d.Snapshot()
		if !got.DriverUp || got.Devices != 1 || len(got.GPUs) != 1 || got.GPUs[0].Values[Temperature] != 50 || s.count() != 1 {
			t.Errorf("got %+v after %d workers", got, s.count())
		}
		got.GPUs[0].Values[Temperature] = 0
		if d.Snapshot().GPUs[0].Values[Temperature] != 50 {
			t.Error("a snapshot shares its values with the driver")
		}
	})
}

// TestReadingsAreServedUntilTheyAreStale looks at both sides of the limit.
func TestReadingsAreServedUntilTheyAreStale(t *testing.T) {
	t.Parallel()
	play(t, DriverOptions{}, []func(*fakeWorker){once}, func(d *Driver, _ *stage, _ *logBuffer) {
		time.Sleep(10 * time.Second)
		if got := d.Snapshot(); !got.DriverUp || got.GPUs[0].State != OK || got.GPUs[0].Values == nil {
			t.Errorf("at 10s: %+v", got)
		}
		time.Sleep(time.Millisecond)
		got := d.Snapshot()
		if got.DriverUp || got.GPUs[0].State != Stale || got.GPUs[0].Values != nil || got.GPUs[0].Name != "card" {
			t.Errorf("after 10s: %+v", got)
		}
		if got.Reason != "the driver has not answered for 10s" {
			t.Errorf("reason %q", got.Reason)
		}
	})
}

func TestStaleAfterIsThreeIntervalsAndAtLeastTenSeconds(t *testing.T) {
	t.Parallel()
	for interval, want := range map[time.Duration]time.Duration{
		time.Second: 10 * time.Second, 3 * time.Second: 10 * time.Second, 4 * time.Second: 12 * time.Second,
	} {
		if got := StaleAfter(interval); got != want {
			t.Errorf("StaleAfter(%s) = %s, want %s", interval, got, want)
		}
	}
}

func TestSilentWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	beats := func(f *fakeWorker) { // alive, but no GPU answers
		f.say(hello, reading("GPU-a", OK))
		for {
			f.say(beatOf("GPU-a"))
			select {
			case <-f.gone:
				return
			case <-time.After(time.Second):
			}
		}
	}
	play(t, DriverOptions{}, []func(*fakeWorker){beats, steady}, func(d *Driver, s *stage, _ *logBuffer) {
		time.Sleep(15*time.Second - time.Millisecond)
		if s.count() != 1 || d.Snapshot().Restarts != 0 {
			t.Errorf("replaced before the limit")
		}
		time.Sleep(2 * time.Second) // the limit and the first back-off
		got := d.Snapshot()
		if s.count() != 2 || got.Restarts != 1 || got.GPUs[0].State != OK {
			t.Errorf("got %+v after %d workers", got, s.count())
		}
	})
}

func TestDriverWithoutGPUsIsUp(t *testing.T) {
	t.Parallel()
	none := func(f *fakeWorker) {
		f.say(hello)
		for {
			f.say(beatOf())
			select {
			case <-f.gone:
				return
			case <-time.After(time.Second):
			}
		}
	}
	play(t, DriverOptions{}, []func(*fakeWorker){none}, func(d *Driver, s *stage, _ *logBuffer) {
		time.Sleep(10 * time.Minute)
		if got := d.Snapshot(); !got.DriverUp || got.Devices != 0 || s.count() != 1 {
			t.Errorf("got %+v after %d workers", got, s.count())
		}
	})
}

func TestBackOffGrowsAndStaysBounded(t *testing.T) {
	t.Parallel()
	dies := func(f *fakeWorker) { f.say(hello); f.exit(errors.New("exit status 139")) }
	play(t, DriverOptions{}, []func(*fakeWorker){dies}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		wait := firstBackOff
		for i := 1; i < len(s.started); i++ {
			got := s.started[i].Sub(s.started[i-1])
			if got < wait || got > wait+wait/5+time.Millisecond {
				t.Errorf("wait %d was %s, want %s to a fifth more", i, got, wait)
			}
			wait = min(2*wait, maxBackOff)
		}
		if n := strings.Count(log.String(), "gpu worker ended"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, log)
		}
		if got := d.Snapshot(); got.DriverUp || got.Reason != "exit status 139" || got.Restarts != uint64(len(s.started)) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAbsentDriverIsLookedForSlowly(t *testing.T) {
	t.Parallel()
	scripts := []func(*fakeWorker){
		downBecause("no library", false), downBecause("no library", false), downBecause("not loaded", false), steady,
	}
	play(t, DriverOptions{}, scripts, func(d *Driver, s *stage, log *logBuffer) {
		if got := d.Snapshot(); got.DriverUp || got.Reason != "no library" || got.Restarts != 0 {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Minute - time.Millisecond)
		if s.count() != 1 {
			t.Errorf("%d workers within a minute", s.count())
		}
		time.Sleep(5 * time.Minute)
		if got := d.Snapshot(); !got.DriverUp || got.Reason != "" {
			t.Errorf("got %+v", got)
		}
		if n := strings.Count(log.String(), "no gpu readings"); n != 2 || strings.Contains(log.String(), "WARN") {
			t.Errorf("want one remark per reason:\n%s", log)
		}
	})
}

func TestRequiredDriverIsAWarning(t *testing.T) {
	t.Parallel()
	play(t, DriverOptions{Required: true}, []func(*fakeWorker){downBecause("no library", false)}, func(_ *Driver, _ *stage, log *logBuffer) {
		if !strings.Contains(log.String(), `level=WARN msg="no gpu readings" reason="no library"`) {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestBuildWithoutNVMLIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	play(t, DriverOptions{}, []func(*fakeWorker){downBecause("built without NVML", true)}, func(d *Driver, s *stage, _ *logBuffer) {
		time.Sleep(24 * time.Hour)
		if got := d.Snapshot(); s.count() != 1 || got.Reason != "built without NVML" {
			t.Errorf("%d workers, reason %q", s.count(), got.Reason)
		}
	})
}

// TestAtMostTwoUnkillableWorkersAreLeftBehind wedges the driver and frees it.
func TestAtMostTwoUnkillableWorkersAreLeftBehind(t *testing.T) {
	t.Parallel()
	wedges := func(f *fakeWorker) { f.unkillable = true; once(f) }
	play(t, DriverOptions{}, []func(*fakeWorker){wedges, wedges, steady}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(time.Hour)
		got := d.Snapshot()
		if s.count() != maxStuck || got.DriverUp || got.GPUs[0].State != Wedged {
			t.Fatalf("after %d workers: %+v", s.count(), got)
		}
		if want := "wedged: 2 workers sit in driver calls that cannot be interrupted"; got.Reason != want {
			t.Errorf("reason %q, want %q", got.Reason, want)
		}
		if n := strings.Count(log.String(), "cannot be killed"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
		s.workers[0].exit(nil) // the call has returned at last
		time.Sleep(time.Minute)
		if got := d.Snapshot(); s.count() != maxStuck+1 || !got.DriverUp || got.GPUs[0].State != OK {
			t.Errorf("after %d workers: %+v", s.count(), got)
		}
	})
}

// TestWorkerThatOnlyClosedItsPipeIsLeftBehind ends the frames of workers that
// then can neither be asked nor killed.
func TestWorkerThatOnlyClosedItsPipeIsLeftBehind(t *testing.T) {
	t.Parallel()
	mute := func(f *fakeWorker) { f.unkillable = true; once(f); f.w.Close() }
	play(t, DriverOptions{}, []func(*fakeWorker){mute, mute, steady}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(time.Hour)
		if got := d.Snapshot(); s.count() != maxStuck || got.GPUs[0].State != Wedged {
			t.Errorf("after %d workers: %+v", s.count(), got)
		}
		if !strings.Contains(log.String(), errMute.Error()) {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}

// TestGPUThatHangsBeforeItSaysItsNameIsLogged sends the beats of a worker in
// which one of two GPUs never answers its first question.
func TestGPUThatHangsBeforeItSaysItsNameIsLogged(t *testing.T) {
	t.Parallel()
	hangs := func(f *fakeWorker) {
		f.say(hello)
		b := beatOf("GPU-a")
		b.Beat.Settled, b.Beat.Devices, b.Beat.Troubles = false, 2, []string{"gpu 1: does not answer"}
		for {
			f.say(b, reading("GPU-a", OK))
			select {
			case <-f.gone:
				return
			case <-time.After(time.Second):
			}
		}
	}
	play(t, DriverOptions{}, []func(*fakeWorker){hangs}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(time.Hour)
		if got := d.Snapshot(); s.count() != 1 || got.Devices != 2 || state(got, "GPU-a") != OK {
			t.Errorf("after %d workers: %+v", s.count(), got)
		}
		if n := strings.Count(log.String(), "gpu 1: does not answer"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
	})
}

func TestRunLeavesAnUnkillableWorkerBehind(t *testing.T) {
	t.Parallel()
	wedges := func(f *fakeWorker) { f.unkillable = true; once(f) }
	play(t, DriverOptions{}, []func(*fakeWorker){wedges}, func(*Driver, *stage, *logBuffer) {})
}

// TestUnwellGPUIsLoggedOnce lets workers come and go while a GPU stays lost.
func TestUnwellGPUIsLoggedOnce(t *testing.T) {
	t.Parallel()
	lost := func(f *fakeWorker) {
		b := beatOf("GPU-a", "GPU-b")
		f.say(hello, b, reading("GPU-a", OK), reading("GPU-b", Lost))
		b.Beat.Troubles = []string{"gpu 1 GPU-b: gpu is lost"}
		for range 300 {
			f.say(b, reading("GPU-a", OK), reading("GPU-b", Lost))
			select {
			case <-f.gone:
				return
			case <-time.After(time.Second):
			}
		}
		f.say(frame{Kind: kindDown, Reason: "a gpu is not well", Fresh: true})
		f.exit(nil)
	}
	play(t, DriverOptions{}, []func(*fakeWorker){steady2, lost}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(time.Hour)
		got := d.Snapshot()
		if s.count() < 10 || got.Restarts != 0 || !got.DriverUp || state(got, "GPU-a") != OK || state(got, "GPU-b") != Lost {
			t.Errorf("after %d workers: %+v", s.count(), got)
		}
		for text, want := range map[string]int{"gpus in trouble": 1, "gpu changed its state": 1, "look at the machine anew": 2} {
			if n := strings.Count(log.String(), text); n != want {
				t.Errorf("%q logged %d times, want %d:\n%s", text, n, want, log)
			}
		}
	})
}

// steady2 reads two GPUs for a minute and asks for a new worker.
func steady2(f *fakeWorker) {
	f.say(hello, beatOf("GPU-a", "GPU-b"))
	for range 60 {
		f.say(reading("GPU-a", OK), reading("GPU-b", OK))
		select {
		case <-f.gone:
			return
		case <-time.After(time.Second):
		}
	}
	f.say(frame{Kind: kindDown, Reason: "the count changed", Fresh: true})
	f.exit(nil)
}

// TestGPUThatRefusesItsIdentityKeepsTheOldOne: the driver still counts it, but
// a new worker cannot learn its name.
func TestGPUThatRefusesItsIdentityKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	refuses := func(f *fakeWorker) {
		f.say(hello)
		for {
			f.say(frame{Kind: kindBeat, Beat: &beat{Devices: 1, Settled: true, Refused: []State{Unavailable}, Troubles: []string{"gpu 0: unknown error"}}})
			select {
			case <-f.gone:
				return
			case <-time.After(time.Second):
			}
		}
	}
	first := func(f *fakeWorker) { once(f); f.exit(errors.New("exit status 2")) }
	play(t, DriverOptions{}, []func(*fakeWorker){first, refuses}, func(d *Driver, s *stage, log *logBuffer) {
		time.Sleep(time.Hour)
		got := d.Snapshot()
		if s.count() != 2 || !got.DriverUp || len(got.GPUs) != 1 || got.GPUs[0].State != Unavailable || got.GPUs[0].Name != "card" {
			t.Errorf("after %d workers: %+v", s.count(), got)
		}
	})
}

func TestWorkerOfAnotherProtocolIsExplained(t *testing.T) {
	t.Parallel()
	newer := func(f *fakeWorker) { f.say(frame{Kind: kindHello, Protocol: protocol + 1}) }
	play(t, DriverOptions{}, []func(*fakeWorker){newer}, func(d *Driver, _ *stage, log *logBuffer) {
		time.Sleep(time.Second)
		if got := d.Snapshot(); !strings.Contains(got.Reason, "restart it after an upgrade") {
			t.Errorf("reason %q\n%s", got.Reason, log)
		}
	})
}

func TestPrintedTextAmongFramesIsSkipped(t *testing.T) {
	t.Parallel()
	prints := func(f *fakeWorker) {
		_, _ = io.WriteString(f.w, "libnvidia: some notice\n\n")
		steady(f)
	}
	play(t, DriverOptions{}, []func(*fakeWorker){prints}, func(d *Driver, s *stage, _ *logBuffer) {
		time.Sleep(time.Minute)
		if !d.Snapshot().DriverUp || s.count() != 1 {
			t.Errorf("%+v after %d workers", d.Snapshot(), s.count())
		}
	})
}

func TestEndlessLineEndsTheWorker(t *testing.T) {
	t.Parallel()
	long := func(f *fakeWorker) {
		f.say(hello)
		chunk := strings.Repeat("x", 4096)
		for {
			if _, err := io.WriteString(f.w, chunk); err != nil {
				return
			}
			select {
			case <-f.gone:
				return
			default:
			}
		}
	}
	play(t, DriverOptions{}, []func(*fakeWorker){long, steady}, func(d *Driver, _ *stage, log *logBuffer) {
		time.Sleep(5 * time.Second)
		if got := d.Snapshot(); !got.DriverUp || got.Restarts != 1 || !strings.Contains(log.String(), "token too long") {
			t.Errorf("got %+v\n%s", got, log)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	d := NewDriver(slog.New(slog.DiscardHandler), DriverOptions{})
	for i := range 2 * maxGPUs {
		d.take(reading("GPU-"+strings.Repeat("x", i%128)+string(rune('A'+i%26))+time.Duration(i).String(), OK))
	}
	if got := len(d.Snapshot().GPUs); got != maxGPUs {
		t.Errorf("got %d gpus, want %d", got, maxGPUs)
	}
}

func TestMissingProgramIsAReason(t *testing.T) {
	t.Parallel()
	d := NewDriver(slog.New(slog.DiscardHandler), DriverOptions{Command: []string{"/nonexistent/genai_exporter"}})
	end := d.session(context.Background(), make(chan struct{}, 1))
	if end.err == nil || !end.down || !strings.HasPrefix(end.err.Error(), "start the gpu worker: ") {
		t.Errorf("got %+v", end)
	}
}

func TestLastLineIsKeptAndBounded(t *testing.T) {
	t.Parallel()
	var l lastLine
	for _, part := range []string{"first\nsec", "ond\n", ""} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.String(); got != "second" {
		t.Errorf("got %q", got)
	}
	if _, err := l.Write([]byte(strings.Repeat("x", 10*maxLine))); err != nil {
		t.Fatal(err)
	}
	if got := l.String(); len(got) != maxLine {
		t.Errorf("kept %d bytes, want %d", len(got), maxLine)
	}
}
