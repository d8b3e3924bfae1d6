package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/genai-exporter/genai-exporter/collector"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// journal is a log that tests read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// process is an exporter that runs inside the test.
type process struct {
	addr string
	log  *journal
	stop context.CancelFunc
	done chan error
}

func (p *process) url(path string) string { return "http://" + p.addr + path }

// wait ends the process and answers what run returned.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	p.stop()
	return p.ended(t)
}

func (p *process) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(patience):
		t.Fatal("run does not return")
	}
	return nil
}

// launch starts run, whatever it is, and waits for its first listener.
func launch(t *testing.T, log *journal, run func(context.Context, func(net.Addr)) error) *process {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{log: log, stop: stop, done: make(chan error, 1)}
	addrs := make(chan net.Addr, 8)
	go func() { p.done <- run(ctx, func(a net.Addr) { addrs <- a }) }()
	t.Cleanup(func() {
		if err := p.wait(t); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	select {
	case a := <-addrs:
		p.addr = a.String()
	case err := <-p.done:
		p.done <- nil
		t.Fatalf("run ended before it listened: %v", err)
	case <-time.After(patience):
		t.Fatal("no listener")
	}
	return p
}

// start runs the command as main does.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	log := &journal{}
	return launch(t, log, func(ctx context.Context, onListen func(net.Addr)) error {
		return run(ctx, append([]string{"--web.listen-address=127.0.0.1:0"}, args...), streams{out: log, err: log}, onListen)
	})
}

// startWith runs the exporter around collectors of the test.
func startWith(t *testing.T, args []string, cs ...collector.Collector) *process {
	t.Helper()
	log := &journal{}
	opts, _, err := parseFlags(append([]string{"--web.listen-address=127.0.0.1:0"}, args...), streams{out: log, err: log})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(log, nil))
	set, err := collector.NewSet(logger, cs...)
	if err != nil {
		t.Fatal(err)
	}
	e := &exporter{opts: opts, logger: logger, conf: newConfiguration(opts, logger, nil), set: set}
	return launch(t, log, func(ctx context.Context, onListen func(net.Addr)) error {
		listeners, err := listen(ctx, opts.web)
		if err != nil {
			return err
		}
		defer closeAll(listeners)
		return e.run(ctx, listeners, onListen)
	})
}

// fake is a collector that does what the test says.
type fake struct {
	name    string
	collect func(ctx context.Context, ch chan<- prometheus.Metric) error
}

func (f fake) Name() string { return f.name }

func (f fake) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	return f.collect(ctx, ch)
}

// silent has nothing to say and nothing wrong.
func silent(name string) fake {
	return fake{name, func(context.Context, chan<- prometheus.Metric) error { return collector.ErrNoData }}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func request(t *testing.T, client *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func call(t *testing.T, method, url string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return request(t, client, r)
}

// until polls what a real process does in its own time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodeTellsMisuseFromFailure(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("port in use"), 1},
		{misuse{errors.New("unknown flag")}, 2},
		{fmt.Errorf("worker: %w", misuse{errors.New("unknown flag")}), 2},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("exitCode(%v) = %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestRunRefusesFlagsThatCannotBeHonoured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct{ name, flag, want string }{
		{"telemetry_path_relative", "--web.telemetry-path=metrics", "--web.telemetry-path=metrics: must begin with a slash"},
		{"telemetry_path_taken", "--web.telemetry-path=/-/ready", "--web.telemetry-path=/-/ready: that path has another use"},
		{"max_requests", "--web.max-requests=-1", "--web.max-requests=-1: must be 0 (no limit) or more"},
		{"offset", "--web.timeout-offset=-1s", "--web.timeout-offset=-1s: must be 0s or more"},
		{"interval_below", "--gpu.interval=9ms", "--gpu.interval=9ms: must be between 10ms and 1m"},
		{"interval_above", "--gpu.interval=61s", "--gpu.interval=1m1s: must be between 10ms and 1m"},
		{"source", "--gpu.source=dcgm", "--gpu.source=dcgm: want auto, nvml or replay:FILE"},
		{"source_without_file", "--gpu.source=replay:", "--gpu.source=replay:: want auto, nvml or replay:FILE"},
		{"cost_alone", "--no-collector.requestlog", "--no-collector.requestlog: the collector cost shows what that one counts, give --no-collector.cost too"},
		{"check_nothing", "--config.check", "--config.check: nothing to check, give --config.file, --web.config.file or --gpu.source=replay:FILE"},
		{"unknown", "--no-such-flag", "unknown long flag '--no-such-flag'; see genai_exporter --help"},
		{"argument", "surplus", "unexpected surplus; see genai_exporter --help"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), []string{tc.flag}, streams{io.Discard, io.Discard}, nil)
			if err == nil || err.Error() != tc.want || exitCode(err) != exitMisuse {
				t.Errorf("got %v (exit %d), want %s (exit 2)", err, exitCode(err), tc.want)
			}
		})
	}
	missing := filepath.Join(dir, "missing.yml")
	state := write(t, filepath.Join(dir, "file"), "not a folder")
	config := write(t, filepath.Join(dir, "genai.yml"), goodConfig)
	err := run(t.Context(), []string{"--web.listen-address=127.0.0.1:0", "--config.file=" + config, "--path.state=" + state}, streams{io.Discard, io.Discard}, nil)
	if err == nil || !strings.Contains(err.Error(), "--path.state="+state) || exitCode(err) != exitFailure {
		t.Errorf("state: got %v (exit %d), want the flag named (exit 1)", err, exitCode(err))
	}
	for _, flag := range []string{"--config.file=" + missing, "--gpu.source=replay:" + missing, "--web.config.file=" + missing} {
		err := run(t.Context(), []string{"--web.listen-address=127.0.0.1:0", flag}, streams{io.Discard, io.Discard}, nil)
		if err == nil || !strings.Contains(err.Error(), missing) || exitCode(err) != exitFailure {
			t.Errorf("%s: got %v (exit %d), want the missing file named (exit 1)", flag, err, exitCode(err))
		}
	}
}

func TestRunNamesTheFlagOfAPortInUse(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = run(t.Context(), []string{"--web.listen-address=" + l.Addr().String(), "--no-collector.gpu"}, streams{io.Discard, io.Discard}, nil)
	want := "--web.listen-address=" + l.Addr().String() + ": the port is in use by another process: stop that one or choose another port"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRunListensOnEveryAddress(t *testing.T) {
	t.Parallel()
	log := &journal{}
	second := make(chan string, 8)
	launch(t, log, func(ctx context.Context, onListen func(net.Addr)) error {
		return run(ctx, []string{"--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", "--no-collector.gpu"},
			streams{out: log, err: log}, func(a net.Addr) { second <- a.String(); onListen(a) })
	})
	for range 2 {
		if a := call(t, http.MethodGet, "http://"+<-second+"/-/healthy"); a.status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
}
