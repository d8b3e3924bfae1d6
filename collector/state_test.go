package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

// logBench is a log file, a state directory and a RequestLog over both.
type logBench struct {
	t     *testing.T
	dir   string
	state string
	text  string
	clock *testClock
	r     *RequestLog
}

func newLogBench(t *testing.T, text string) *logBench {
	t.Helper()
	dir := t.TempDir()
	b := &logBench{t: t, dir: dir, state: filepath.Join(dir, "state"), text: text, clock: newTestClock()}
	if text == "" {
		b.text = "request_logs: [{name: a, files: app.log}]"
	}
	b.write("app.log", "")
	b.start()
	b.poll()
	return b
}

func (b *logBench) start() {
	b.t.Helper()
	b.r = newRequestLogFor(b.t, b.dir, b.text, RequestLogOptions{StateDir: b.state, Now: b.clock.now})
}

func (b *logBench) stop() {
	b.t.Helper()
	if err := b.r.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *logBench) write(name, text string) {
	b.t.Helper()
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		b.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func request(model string, tokens int) string {
	return fmt.Sprintf(`{"event":"inference_request","model":%q,"input_tokens":%d}`+"\n", model, tokens)
}

// poll reads everything and lets the time of a checkpoint come.
func (b *logBench) poll() {
	b.t.Helper()
	b.clock.t = b.clock.t.Add(time.Second)
	for b.r.turn() {
	}
}

// wantLines wants these lines in what the RequestLog shows.
func (b *logBench) wantLines(lines ...string) {
	b.t.Helper()
	got := expose(b.t, b.r, NewCost(b.r))
	for _, l := range lines {
		if !strings.Contains("\n"+got, "\n"+l+"\n") {
			b.t.Errorf("no line %q in:\n%s", l, got)
		}
	}
}

func (b *logBench) wantInput(model string, n int) {
	b.t.Helper()
	b.wantLines(fmt.Sprintf(`genai_inference_input_tokens_total{model=%q,namespace="",runtime="log",target=""} %v`, model, float64(n)))
}

func TestRequestLogGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	b.write("app.log", request("m", 1)+request("m", 2))
	b.poll()
	b.wantInput("m", 3)
	b.stop()
	b.write("app.log", request("m", 4)+"no json\n")
	b.start()
	b.wantInput("m", 3)
	b.poll()
	b.wantInput("m", 7)
	b.wantLines(`genai_requestlog_lines_total{group="a",result="ok"} 3`, `genai_requestlog_lines_total{group="a",result="invalid_json"} 1`,
		`genai_requestlog_state_discarded 0`, `genai_requestlog_checkpoint_failures_total 0`,
		`genai_requestlog_checkpoint_timestamp_seconds 1.780315203e+09`)
}

func TestRequestLogWithoutStateStartsAtTheEnd(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	b.stop()
	b.state = ""
	b.write("app.log", request("m", 1))
	b.start()
	b.poll()
	b.write("app.log", request("m", 2))
	b.poll()
	b.wantInput("m", 2)
	if got := expose(t, b.r); strings.Contains(got, "checkpoint") {
		t.Errorf("shows checkpoints that nobody made:\n%s", got)
	}
	if got := b.r.State(); got != "a: 1 files, 0 bytes behind; state in memory only" {
		t.Errorf("got state %q", got)
	}
}

func TestRequestLogShowsOnlyWhatIsDurable(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	b.write("app.log", request("m", 1))
	b.poll()
	b.write("app.log", request("m", 2))
	b.clock.t = b.clock.t.Add(checkpointInterval - time.Nanosecond)
	b.r.turn()
	b.wantInput("m", 1)
	b.clock.t = b.clock.t.Add(time.Nanosecond)
	b.r.turn()
	b.wantInput("m", 3)
}

func TestRequestLogStandsStillWhileTheStateCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	b.write("app.log", request("m", 1))
	b.poll()
	obstacle := filepath.Join(b.state, "requestlog.state.tmp")
	if err := os.Mkdir(obstacle, 0o755); err != nil {
		t.Fatal(err)
	}
	b.write("app.log", request("m", 2))
	b.poll()
	b.poll()
	b.wantInput("m", 1)
	b.wantLines("genai_requestlog_checkpoint_failures_total 2", `genai_requestlog_lag_bytes{group="a"} 0`)
	if got := b.r.State(); !strings.Contains(got, "totals stand still") {
		t.Errorf("got state %q", got)
	}
	if err := b.r.Close(); err == nil {
		t.Error("Close hides that the last checkpoint was not written")
	}
	b.start()
	b.poll()
	b.wantInput("m", 1)
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	b.write("app.log", request("m", 4))
	b.poll()
	b.wantInput("m", 7)
}

func TestStoreSetsAsideWhatItCannotUse(t *testing.T) {
	t.Parallel()
	good, err := encodeState(&totals{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ data, why string }{
		"empty":     {"", "not a state file of this exporter"},
		"foreign":   {`{"positions":[]}`, "not a state file of this exporter"},
		"newer":     {strings.Replace(string(good), " v1 ", " v2 ", 1), "version 2"},
		"truncated": {string(good[:len(good)-1]), "damaged"},
		"bit_flip":  {strings.Replace(string(good), `"series"`, `"serjes"`, 1), "damaged"},
		"longer":    {string(good) + "\n", "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newLogBench(t, "")
			b.stop()
			path := filepath.Join(b.state, stateName)
			if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openStore(b.state)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.load(b.clock.now()); !errors.Is(err, errStateUnusable) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got error %v, want one that says %q", err, c.why)
			}
			aside := path + ".unusable-20260601T120001.000000000Z"
			if got, err := os.ReadFile(aside); err != nil || string(got) != c.data {
				t.Errorf("set aside %q, %v; want the file as it was", got, err)
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			b.write("app.log", request("m", 1))
			b.clock.t = b.clock.t.Add(time.Second)
			b.start()
			b.poll()
			b.write("app.log", request("m", 2))
			b.poll()
			b.wantInput("m", 2)
			b.wantLines("genai_requestlog_state_discarded 1")
		})
	}
}

func TestNewRequestLogRefusesAStateDirectoryInUse(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	_, err := NewRequestLog(quiet(), RequestLogOptions{StateDir: b.state})
	if err == nil || !strings.Contains(err.Error(), b.state+" is in use by another process") {
		t.Errorf("got error %v", err)
	}
	b.stop()
	r, err := NewRequestLog(quiet(), RequestLogOptions{StateDir: b.state})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStoreIsFreeOnceClosed holds a copy of the lock's descriptor, as a child
// does between its fork and its exec.
func TestStoreIsFreeOnceClosed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.close(); err != nil {
		t.Error(err)
	}
}

func TestNewRequestLogNamesAStateDirectoryItCannotMake(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRequestLog(quiet(), RequestLogOptions{StateDir: filepath.Join(file, "x")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got error %v, want one that names %s", err, file)
	}
}

func TestReloadLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	b.write("app.log", request("m", 1_000_000))
	b.poll()
	b.write("app.log", request("m", 1_000_000)+`{"event":"inference_req`)
	b.clock.t = b.clock.t.Add(time.Millisecond)
	b.r.turn() // read, not yet checkpointed, and half a line is waiting
	b.write("prices.yaml", `prices: [{model: m, effective_from: 2026-01-01, billed: provider, input: "3"}]`)
	b.write("new.log", request("m", 50))
	b.reload("request_logs: [{name: a, files: app.log}, {name: b, files: new.log}]\nprices: {file: prices.yaml}")
	b.write("app.log", `uest","model":"m","input_tokens":1000000}`+"\n")
	b.poll()
	b.write("new.log", request("m", 7))
	b.poll()
	b.wantInput("m", 3_000_007)
	b.wantLines(`genai_cost_usd_total{billed="provider",kind="input",model="m",namespace="",runtime="log"} 3.000021`,
		`genai_cost_unpriced_tokens_total{model="m",namespace="",runtime="log"} 2e+06`,
		`genai_requestlog_lines_total{group="a",result="ok"} 3`, `genai_requestlog_lines_total{group="b",result="ok"} 1`)
	// A price for the past changes nothing that was counted; a group that is
	// gone takes its counters along, requests stay.
	b.write("prices2.yaml", `prices: [{model: m, effective_from: 2020-01-01, billed: provider, input: "9"}]`)
	b.reload("request_logs: [{name: b, files: new.log}]\nprices: {file: prices2.yaml}")
	b.poll()
	b.wantInput("m", 3_000_007)
	b.wantLines(`genai_cost_usd_total{billed="provider",kind="input",model="m",namespace="",runtime="log"} 3.000021`)
	if got := expose(t, b.r); strings.Contains(got, `group="a"`) {
		t.Errorf("still shows the group that was removed:\n%s", got)
	}
}

func (b *logBench) reload(text string) {
	b.t.Helper()
	cfg, err := config.Load(filepath.Join(b.dir, "config.yaml"), []byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.r.Reload(cfg); err != nil {
		b.t.Fatal(err)
	}
}

func TestRequestLogAdmitsABoundedNumberOfModels(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	for i := range maxModels {
		b.write("app.log", request(fmt.Sprintf("m%d", i), 1))
	}
	b.write("app.log", request("one too many", 1)+request("m-too-many", 1)+request("m0", 1)+request(strings.Repeat("x", 129), 1))
	b.poll()
	b.wantCounted("m199", 1)
	b.wantCounted("m0", 2)
	b.wantCounted("other", 3)
	b.stop()
	b.start()
	b.write("app.log", request("m-later", 1)+request("m199", 1))
	b.poll()
	b.wantCounted("other", 4)
	b.wantCounted("m199", 2)
}

// wantCounted looks at the totals: rendering 200 models takes its time.
func (b *logBench) wantCounted(model string, n uint64) {
	b.t.Helper()
	if got := b.r.published.Load().totals.seriesOf("", model).Input; got != n {
		b.t.Errorf("got %d input tokens of %s, want %d", got, model, n)
	}
}

func TestRequestLogBearsAllowedModelsAtZero(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "request_logs: [{name: a, files: app.log}]\nmodels: {allow: [m]}")
	for _, model := range []string{"m", "other"} {
		b.wantInput(model, 0)
		b.wantLines(fmt.Sprintf(`genai_inference_request_errors_total{model=%q,namespace="",reason="cuda_oom",runtime="log",target=""} 0`, model))
	}
}

func TestRequestLogRunsUntilItIsToldToStop(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "")
	b.stop()
	wake := make(chan time.Time)
	b.r = newRequestLogFor(t, b.dir, b.text, RequestLogOptions{StateDir: b.state, Now: b.clock.now, Wake: wake})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.r.Run(ctx) }()
	wake <- b.clock.t
	b.write("app.log", request("m", 5))
	wake <- b.clock.t
	wake <- b.clock.t // the turn before this one is over
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.wantInput("m", 5)
	b.start() // the lock is free
}

// TestRequestLogSaysOnceWhatItCannotRead gives it links that lead to
// themselves, which nobody can follow, whatever his rights.
func TestRequestLogSaysOnceWhatItCannotRead(t *testing.T) {
	t.Parallel()
	b := newLogBench(t, "request_logs: [{name: a, files: [app.log, b.log, c.log]}]")
	var log bytes.Buffer
	b.r.logger = slog.New(slog.NewTextHandler(&log, nil))
	logged := func(text string) int { return strings.Count(log.String(), text) }
	for _, name := range []string{"b.log", "c.log"} {
		if err := os.Symlink(name, filepath.Join(b.dir, name)); err != nil {
			t.Fatal(err)
		}
		b.poll()
		b.poll()
		if n := logged(name + ": too many levels"); n != 1 {
			t.Errorf("%s is named %d times, want once, in:\n%s", name, n, log.String())
		}
		b.wantLines(`genai_requestlog_readable{group="a"} 0`)
	}
	for _, name := range []string{"b.log", "c.log"} {
		if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.poll()
	b.poll()
	b.wantLines(`genai_requestlog_readable{group="a"} 1`)
	if n := logged("readable again"); n != 1 {
		t.Errorf("the end is told %d times in:\n%s", n, log.String())
	}
}

func TestRequestLogWithoutConfigurationHasNoData(t *testing.T) {
	t.Parallel()
	r, err := NewRequestLog(slog.New(slog.NewTextHandler(io.Discard, nil)), RequestLogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Collect(t.Context(), nil); !errors.Is(err, ErrNoData) {
		t.Errorf("got error %v, want ErrNoData", err)
	}
	if got := r.State(); got != "no request log configured" {
		t.Errorf("got state %q", got)
	}
	if got := expose(t, r, NewCost(r)); got != "" {
		t.Errorf("got metrics:\n%s", got)
	}
}

func FuzzDecodeState(f *testing.F) {
	for _, t := range []*totals{{}, {Admitted: []string{"m"}, Series: []*series{{Model: "m"}}, Groups: []*group{{Name: "a"}}}} {
		data, err := encodeState(t)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		_, body, _ := strings.Cut(string(data), "\n")
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = decodeState(data)
		got, err := decodeTotals(data) // past the checksum
		if err != nil {
			return
		}
		again, err := encodeState(got.clone())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeState(again); err != nil {
			t.Errorf("refuses what it accepted and wrote: %v", err)
		}
	})
}
