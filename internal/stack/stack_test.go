package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
)

// fakeExporter serves the readings of two GPUs, whose temperatures a test
// sets; a GPU without a temperature is not there.
type fakeExporter struct {
	*httptest.Server
	celsius [2]atomic.Int64
}

func newFakeExporter(t *testing.T, node string) *fakeExporter {
	t.Helper()
	f := &fakeExporter{}
	f.celsius[0].Store(60)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range f.celsius {
			if c := f.celsius[i].Load(); c > 0 {
				fmt.Fprintf(w, "genai_gpu_info{uuid=\"GPU-%d\",gpu=\"%d\",node=%q,name=\"NVIDIA H200\"} 1\n", i, i, node)
				fmt.Fprintf(w, "genai_gpu_temperature_celsius{uuid=\"GPU-%d\",sensor=\"core\"} %d\n", i, c)
			}
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// phone is a webhook receiver that remembers what it got.
type phone struct {
	*httptest.Server
	mu   sync.Mutex
	got  []message
	fail atomic.Bool
}

type message struct {
	Version  string            `json:"version"`
	Receiver string            `json:"receiver"`
	Status   string            `json:"status"`
	Common   map[string]string `json:"commonLabels"`
	Alerts   []messageAlert    `json:"alerts"`
}

type messageAlert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func newPhone(t *testing.T) *phone {
	t.Helper()
	p := &phone{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.fail.Load() {
			http.Error(w, "try later", http.StatusServiceUnavailable)
			return
		}
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("webhook: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, m)
	}))
	t.Cleanup(p.Close)
	return p
}

// count is how many messages match takes.
func (p *phone) count(match func(message) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, m := range p.got {
		if match(m) {
			n++
		}
	}
	return n
}

// about matches messages of a receiver that hold an alert in a status on a GPU.
func about(receiver, status, gpu string) func(message) bool {
	return func(m message) bool {
		return m.Receiver == receiver && slices.ContainsFunc(m.Alerts, func(a messageAlert) bool {
			return a.Status == status && a.Labels["gpu"] == gpu
		})
	}
}

// find is the first message that match takes.
func (p *phone) find(match func(message) bool) (message, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if match(m) {
			return m, true
		}
	}
	return message{}, false
}

// quickChecklist watches GPUs' temperatures with short times, but long enough
// for a machine on which a scrape may come late.
const quickChecklist = `
evaluation_interval: 1s
absent_for: 10m
sources: {gpu: [genai_exporter], inference: [], cost: []}
checks:
  gpu_temperature: {%s, for: 1s, keep_firing_for: 3s}
  exporter_down: {for: 1s, keep_firing_for: 3s}
routing:
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
  audiences:
    page: [{webhook: {url: "%[2]s/page"}}]
    ticket: [{webhook: {url: "%[2]s/ticket"}}]
    cost: [{webhook: {url: "%[2]s/cost"}}]
    dead_man: [{webhook: {url: "%[2]s/dead"}}]
`

// quickOptions are those of a small stack in a folder of its own.
func quickOptions(t *testing.T, checklistYAML, target string) Options {
	t.Helper()
	c, err := checklist.Load("test.yaml", []byte(checklistYAML))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render.All(c, render.Options{})
	if err != nil {
		t.Fatal(err)
	}
	none, socket := "", false
	return Options{
		Checklist: c, Files: files, Lang: "en", Targets: []string{strings.TrimPrefix(target, "http://")}, Job: "genai_exporter",
		ScrapeInterval: time.Second, Retention: 15 * 24 * time.Hour, StoragePath: t.TempDir(),
		Web:    &web.FlagConfig{WebListenAddresses: &[]string{"127.0.0.1:0"}, WebSystemdSocket: &socket, WebConfigFile: &none},
		Logger: promslog.New(&promslog.Config{Writer: testLog{t}}), Now: time.Now, Location: time.UTC,
	}
}

// testLog writes to the test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if testing.Verbose() {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// running is a stack under test.
type running struct {
	t    *testing.T
	url  string
	stop func() error
}

func startStack(t *testing.T, o Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	address := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o, func(a net.Addr) { address <- a }) }()
	var once sync.Once
	var result error
	r := &running{t: t, stop: func() error {
		once.Do(func() {
			cancel()
			result = <-done
		})
		return result
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	select {
	case a := <-address:
		r.url = "http://" + a.String()
	case err := <-done:
		done <- err
		t.Fatalf("start: %v", err)
	}
	return r
}

func (r *running) get(path string) string {
	r.t.Helper()
	resp, err := http.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body)
}

// check is the line of a check in /checklist.json.
func (r *running) check(id string) jsonCheck {
	r.t.Helper()
	for _, c := range r.json().Checks {
		if c.ID == id {
			return c
		}
	}
	r.t.Fatalf("no check %q", id)
	return jsonCheck{}
}

func (r *running) json() jsonBoard {
	r.t.Helper()
	var b jsonBoard
	if err := json.Unmarshal([]byte(r.get("/checklist.json")), &b); err != nil {
		r.t.Fatal(err)
	}
	return b
}

// eventually polls until ok, and fails the test after a while.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

func TestHotGPUPagesAndResolves(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	r := startStack(t, o)
	eventually(t, "the value", func() bool { return r.check("gpu_temperature").State == OK })
	if c := r.check("gpu_temperature"); c.Value == nil || *c.Value != 60 || c.Labels.Get("node") != "n1" || c.Since != nil {
		t.Errorf("ok: got %+v", c)
	}

	gpu.celsius[0].Store(91)
	var seen []State
	eventually(t, "breached", func() bool {
		s := r.check("gpu_temperature").State
		if len(seen) == 0 || seen[len(seen)-1] != s {
			seen = append(seen, s)
		}
		return s == Breached
	})
	if got := fmt.Sprint(seen); got != "[ok pending breached]" && got != "[pending breached]" {
		t.Errorf("states: got %s, want pending before breached", got)
	}
	if c := r.check("gpu_temperature"); *c.Value != 91 || c.Since == nil || c.Severity != "warning" || c.Threshold != 80 {
		t.Errorf("breached: got %+v", c)
	}
	var m message
	eventually(t, "the notification", func() (ok bool) { m, ok = phone.find(about("ticket", "firing", "0")); return ok })
	if m.Version != "4" || len(m.Alerts) != 1 || m.Alerts[0].Labels["alertname"] != "GPUTemperatureHigh" ||
		m.Alerts[0].Labels["node"] != "n1" || m.Alerts[0].Labels["gpu"] != "0" ||
		m.Alerts[0].Annotations["description"] != "GPU 0 on n1 is at 91 °C (threshold 80 °C)." {
		t.Errorf("notification: got %+v", m)
	}
	eventually(t, "the delivery on the page", func() bool {
		n := r.json().Notifications
		return len(n) == 1 && n[0].Receiver == "ticket" && len(n[0].Deliveries) == 1 && n[0].Deliveries[0].Status == delivered
	})
	page := r.get("/")
	for _, want := range []string{"breached", "GPU 0 on n1 is at 91 °C", "gpu=0 node=n1", "<svg"} {
		if !strings.Contains(page, want) {
			t.Errorf("page without %q", want)
		}
	}
	if text := r.get("/checklist.txt"); !strings.Contains(text, "91 °C") || !strings.Contains(text, "breached (warning)") {
		t.Errorf("text: %s", text)
	}

	gpu.celsius[0].Store(60)
	eventually(t, "ok again", func() bool { return r.check("gpu_temperature").State == OK })
	eventually(t, "the resolve", func() (ok bool) { _, ok = phone.find(about("ticket", "resolved", "0")); return ok })
	if _, ok := phone.find(func(m message) bool { return m.Receiver == "dead_man" && m.Status == "firing" }); !ok {
		t.Error("no heartbeat was sent")
	}
	for _, a := range r.json().Alerts {
		if a.Check == watchdogCheck {
			t.Error("the dead man's switch is shown as a problem")
		}
	}
	if err := r.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestDeadExporterIsBreachedAndItsValuesAreGone(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	r := startStack(t, quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL))
	eventually(t, "the value", func() bool { return r.check("gpu_temperature").State == OK })
	gpu.Close()
	eventually(t, "the dead exporter", func() bool { return r.check("exporter_down").State == Breached })
	eventually(t, "no data", func() bool {
		c := r.check("gpu_temperature")
		return c.State == NoData && c.Value == nil
	})
	eventually(t, "the page", func() bool {
		_, ok := phone.find(func(m message) bool { return m.Receiver == "page" && m.Common["alertname"] == "ExporterDown" })
		return ok
	})
	if targets := r.json().Targets; len(targets) != 1 || targets[0].Health != "down" || targets[0].Error == "" {
		t.Errorf("targets: got %+v", targets)
	}
	if page := r.get("/"); !strings.Contains(page, "no data") || !strings.Contains(page, `class="health-down"`) {
		t.Error("the page does not show it")
	}
}
