package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/config"
	"github.com/genai-exporter/genai-exporter/internal/nvml"
)

func TestDemoSecondsMustCoverTheDrill(t *testing.T) {
	t.Parallel()
	for _, seconds := range []string{"0", "-110", "99", "110s", " 110", "1e3", "soon", "99999999999999999999"} {
		err := run(t.Context(), seconds, new(bytes.Buffer))
		want := fmt.Sprintf("DEMO_SECONDS=%q: want a whole number of seconds, at least 100, which the drill takes", seconds)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestPortInUseIsNamedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().String()
	if err := portsFree("127.0.0.1:0", taken); err == nil || !strings.HasPrefix(err.Error(), taken+" is in use; stop what listens there and try again") {
		t.Errorf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := portsFree("127.0.0.1:0"); err != nil {
		t.Errorf("a free port: %v", err)
	}
}

func TestDemoChecklistDiffersInTimesAndReceiversOnly(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("checklist.yaml")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := checklist.Load("demo/checklist.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := checklist.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*checklist.Checklist{demo, standard} {
		c.Interval, c.Routing.Timing = 0, checklist.Timing{}
		for a := range c.Routing.Audiences {
			c.Routing.Audiences[a] = nil
		}
		for i := range c.Sections {
			for j := range c.Sections[i].Checks {
				check := &c.Sections[i].Checks[j]
				check.For, check.Window, check.KeepFiringFor = 0, 0, 0
			}
		}
	}
	if diff := cmp.Diff(standard, demo, cmpopts.IgnoreUnexported(checklist.Checklist{})); diff != "" {
		t.Errorf("the demo's checklist changes more (-default +demo):\n%s", diff)
	}
}

func TestDemoReceiversAreTheDemosOwn(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("checklist.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := checklist.Load("demo/checklist.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	for audience, receivers := range c.Routing.Audiences {
		want := "http://" + receiverAddress + "/" + string(audience)
		if len(receivers) != 1 || receivers[0].Webhook == nil || receivers[0].Webhook.URL != want {
			t.Errorf("%s: got %+v, want %s alone", audience, receivers, want)
		}
	}
	var alerts []string
	for _, check := range c.Checks() {
		alerts = append(alerts, check.Alert)
	}
	for alert := range expected() {
		if !slices.Contains(alerts, alert) {
			t.Errorf("the drill waits for %s, which no check has", alert)
		}
	}
}

func TestDemoFilesLoad(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("exporter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load("exporter.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	log, err := filepath.Abs("run/requests.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if c.Prices.Book == nil || len(c.RequestLogs) != 1 || !slices.Contains(c.RequestLogs[0].Files, log) {
		t.Errorf("got %+v", c)
	}
	for n := range 3 {
		if m := nextRequest(n, time.Now(), 0).Model; !slices.Contains(c.Models.Allow, m) {
			t.Errorf("model %s is not allowed", m)
		}
	}
	f, err := os.Open("gpus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := nvml.LoadReplay("gpus.yaml", f); err != nil {
		t.Error(err)
	}
}

func TestModelFailsOnlyDuringTheFault(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		since  time.Duration
		failed bool
	}{
		{faultBegins - time.Millisecond, false}, {faultBegins, true}, {faultEnds - time.Millisecond, true}, {faultEnds, false},
	} {
		failed := map[string]int{}
		for n := range 3000 {
			if r := nextRequest(n, time.Now(), tc.since); r.Error != "" {
				failed[r.Model]++
			}
		}
		// 2,000 requests at a ratio of 8 %: far more than 1 % of them fail.
		if got := failed[failingModel] > 40; got != tc.failed || len(failed) > 1 {
			t.Errorf("after %s: failures %v, want some: %v", tc.since, failed, tc.failed)
		}
	}
}

func newTestDrill() (*drill, *bytes.Buffer) {
	out := new(bytes.Buffer)
	return &drill{dir: "demo/run", out: out, start: time.Now(), seen: map[string]map[string]time.Duration{}}, out
}

func TestVerdictNamesWhatWasNotSeen(t *testing.T) {
	t.Parallel()
	for alert, events := range expected() {
		for _, event := range events {
			d, _ := newTestDrill()
			for a, all := range expected() {
				for _, e := range all {
					if a != alert || e != event {
						d.note(a, e)
					}
				}
			}
			if err := d.verdict(); err == nil || err.Error() != "not seen: "+alert+": "+event+"; the logs are in demo/run" {
				t.Errorf("without %s of %s: got %v", event, alert, err)
			}
			d.note(alert, event)
			if err := d.verdict(); err != nil {
				t.Errorf("all seen: got %v", err)
			}
		}
	}
}

func TestReceiverTakesAlertmanagersJSONOnly(t *testing.T) {
	t.Parallel()
	const body = `{"alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{"description":"hot"}}]}`
	for _, tc := range []struct {
		name, path, contentType, body string
		code                          int
		want                          string
	}{
		{"alert", "/ticket", "application/json", body, 200, "A: ticket told: firing"},
		{"heartbeat", "/dead_man", "application/json", body, 200, ""},
		{"broken", "/ticket", "application/json", "{", 400, ""},
		{"form-of-a-page", "/ticket", "text/plain", body, 415, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, out := newTestDrill()
			r := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(tc.body))
			r.Header.Set("Content-Type", tc.contentType)
			w := httptest.NewRecorder()
			d.told(w, r)
			if w.Code != tc.code || tc.want == "" != (out.Len() == 0) || !strings.Contains(out.String(), tc.want) {
				t.Errorf("got %d and %q, want %d and %q", w.Code, out, tc.code, tc.want)
			}
		})
	}
}

func TestChildThatCtrlCEndedFirstIsNoCrash(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	close(done)
	log, err := os.Create(filepath.Join(t.TempDir(), "x.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{name: "x", log: log, done: done, cmd: nil}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	// The address answers nobody, so that ready sees that the child is gone.
	if err := p.ready(ctx, "http://127.0.0.1:1/"); err != context.Canceled { //nolint:errorlint // alone, as run wants it
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
