// Package e2e runs the real programs beside one another: the exporter, a
// Prometheus with the rendered rules, an Alertmanager with the rendered
// routing, and somebody's webhook. It holds tests only.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// patience is how long a notification may take before the test gives up; the
// scripted faults need less than 40 s.
const patience = 120 * time.Second

// checklistText shortens times and names the test's receiver; nothing else.
const checklistText = `
evaluation_interval: 1s
checks:
  gpu_temperature: {for: 3s, keep_firing_for: 2s}
  gpu_lost: {for: 2s, keep_firing_for: 2s}
  inference_errors: {window: 10s, keep_firing_for: 2s, min_requests: 20}
  inference_latency: {window: 10s, keep_firing_for: 2s}
routing:
  alertmanager: %q
  group_wait: 1s
  group_interval: 2s
  audiences:
    page: [{webhook: {url: %[2]s/page}}]
    ticket: [{webhook: {url: %[2]s/ticket}}]
    cost: [{webhook: {url: %[2]s/cost}}]
    dead_man: [{webhook: {url: %[2]s/dead_man}}]
`

// replayText heats GPU 0 and loses GPU 1 for a while. The heat comes and goes
// within a millisecond, so that every message shows the same temperature.
const replayText = `
interval: 1s
gpus:
  - uuid: GPU-00000000-0000-0000-0000-000000000001
    index: 0
    name: NVIDIA Test
    values:
      temperature_celsius: {points: {0s: 60, 6s: 60, 6001ms: 86, 22s: 86, 22001ms: 55}}
      memory_used_bytes: 1GiB
      memory_total_bytes: 16GiB
  - uuid: GPU-00000000-0000-0000-0000-000000000002
    index: 1
    name: NVIDIA Test
    values:
      temperature_celsius: 50
    events:
      - {at: 6s, state: lost}
      - {at: 24s, state: ok}
`

// toolchain is one pair of programs to prove the bundle on.
type toolchain struct {
	name, prometheus, alertmanager, version string
}

func TestNotificationReachesTheRightReceiver(t *testing.T) {
	t.Parallel()
	const build = "run make deps"
	for _, c := range []struct {
		name, version string
		find          func(testing.TB) (prometheus, alertmanager string)
	}{
		{"prometheus-3.15-alertmanager-0.28", "0.28", func(t testing.TB) (string, string) {
			return skiptest.Binary(t, "prometheus", build), skiptest.Binary(t, "alertmanager", build)
		}},
		{"debian-prometheus-2.42-alertmanager-0.25", "0.25", func(t testing.TB) (string, string) {
			return skiptest.Installed(t, "prometheus", build), skiptest.Installed(t, "prometheus-alertmanager", build)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prometheus, alertmanager := c.find(t)
			deliver(t, toolchain{c.name, prometheus, alertmanager, c.version})
		})
	}
}

// deliver runs the whole chain and waits for what the receiver must be told.
func deliver(t *testing.T, tc toolchain) {
	dir := t.TempDir()
	inbox := newInbox(t)
	log := filepath.Join(dir, "requests.jsonl")
	write(t, log, "")
	write(t, filepath.Join(dir, "gpus.yaml"), replayText)
	write(t, filepath.Join(dir, "exporter.yaml"), "request_logs:\n  - {name: gateway, files: ["+log+"], namespace: prod, start: beginning}\n")
	renderInto(t, dir, fmt.Sprintf(checklistText, tc.version, inbox.URL))

	alertmanager, prometheus, exporter := freeAddress(t), freeAddress(t), freeAddress(t)
	run(t, filepath.Join(dir, "deploy", "alertmanager"), tc.alertmanager, "--config.file=alertmanager.yml",
		"--storage.path="+t.TempDir(), "--web.listen-address="+alertmanager, "--cluster.listen-address=")
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules/*.yml]
scrape_configs: [{job_name: genai_exporter, static_configs: [{targets: [%q]}]}]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
`, exporter, alertmanager))
	run(t, dir, tc.prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+prometheus)
	// The faults begin with the exporter: whoever must see them has to run before.
	ready(t, "http://"+alertmanager+"/-/ready")
	ready(t, "http://"+prometheus+"/-/ready")

	binary := exporterBinary(t)
	run(t, dir, binary, "--web.listen-address="+exporter, "--gpu.source=replay:"+filepath.Join(dir, "gpus.yaml"),
		"--config.file="+filepath.Join(dir, "exporter.yaml"), "--path.state="+t.TempDir(), "--node.name=n1")
	requests(t, log)

	for _, want := range []expectation{
		{"/ticket", "GPUTemperatureHigh", map[string]string{"severity": "warning", "node": "n1", "gpu": "0", "check": "gpu_temperature"}, "GPU 0 on n1 is at 86 °C (threshold 80 °C)."},
		{"/page", "GPULost", map[string]string{"severity": "critical", "node": "n1", "gpu": "1", "check": "gpu_lost"}, "GPU 1 on n1 is lost"},
		{"/ticket", "InferenceErrorRateHigh", map[string]string{"severity": "warning", "namespace": "prod", "model": "m1"}, "of the requests to m1 fail (threshold 1%)."},
		{"/dead_man", "Watchdog", map[string]string{"severity": "none"}, "always fires"},
	} {
		inbox.expect(t, want, "firing")
		if want.alert != "Watchdog" {
			inbox.expect(t, want, "resolved")
		}
	}
	inbox.onlyAt(t, "/page", "GPULost")
}

// requests writes a hundred requests a second, a tenth of them failing until
// the twentieth second.
func requests(t *testing.T, path string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		begin, tick := time.Now(), time.NewTicker(10*time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				level := "info"
				if n%10 == 0 && now.Sub(begin) < 20*time.Second {
					level = "error"
				}
				fmt.Fprintf(f, `{"event":"inference_request","level":%q,"model":"m1","input_tokens":812,"output_tokens":96,"latency_ms":830,"user_id":"u-42"}`+"\n", level)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

// renderInto writes the bundle of a checklist.
func renderInto(t *testing.T, dir, text string) {
	t.Helper()
	c, err := checklist.Load("checklist.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render.All(c, render.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		write(t, filepath.Join(dir, filepath.FromSlash(f.Path)), string(f.Data))
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exporterBinary builds the exporter as a user would get it.
func exporterBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "genai_exporter")
	out, err := exec.Command("go", "build", "-o", path, "github.com/genai-exporter/genai-exporter/cmd/genai_exporter").CombinedOutput()
	if err != nil {
		t.Fatalf("build the exporter: %v\n%s", err, out)
	}
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	return l.Addr().String()
}

// run starts a program and ends it with the test; its output is shown when the
// test fails.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	var output lockedBuffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		err := cmd.Wait()
		if t.Failed() {
			t.Logf("%s ended with %v:\n%s", filepath.Base(name), err, output.tail())
		}
	})
}

// ready waits until a program answers.
func ready(t *testing.T, url string) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			err = resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return
			}
			err = errors.Join(err, errors.New(resp.Status))
		}
		last = err
	}
	t.Fatalf("%s does not answer: %v", url, last)
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

func (l *lockedBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	return s[max(0, len(s)-6000):]
}

// expectation is one alert that a receiver must be told about.
type expectation struct {
	path, alert string
	labels      map[string]string
	text        string
}

// inbox is somebody's webhook.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex
	told []telling
}

type telling struct {
	Path        string
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct{ Alerts []telling }
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &message)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		for _, a := range message.Alerts {
			a.Path = r.URL.Path
			in.told = append(in.told, a)
		}
	}))
	t.Cleanup(in.Close)
	return in
}

// expect waits for an alert at its receiver with its labels and text.
func (in *inbox) expect(t *testing.T, want expectation, status string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if in.has(want, status) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	t.Fatalf("%s was not told that %s is %s with labels %v and text %q; told: %+v", want.path, want.alert, status, want.labels, want.text, in.told)
}

func (in *inbox) has(want expectation, status string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range in.told {
		ok := a.Path == want.path && a.Status == status && a.Labels["alertname"] == want.alert &&
			strings.Contains(a.Annotations["description"], want.text)
		for k, v := range want.labels {
			ok = ok && a.Labels[k] == v
		}
		if ok {
			return true
		}
	}
	return false
}

// onlyAt fails when a receiver was told of anything else.
func (in *inbox) onlyAt(t *testing.T, path, alert string) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range in.told {
		if a.Path == path && a.Labels["alertname"] != alert {
			t.Errorf("%s was told of %s, which is not for it", path, a.Labels["alertname"])
		}
	}
}
