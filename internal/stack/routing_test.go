package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/promslog"
)

const bothLevels = "warning: 80, critical: 90"

func TestCriticalMutesTheWarningOfTheSameGPUOnly(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	gpu.celsius[0].Store(95)
	gpu.celsius[1].Store(85)
	startStack(t, quickOptions(t, fmt.Sprintf(quickChecklist, bothLevels, phone.URL), gpu.URL))
	eventually(t, "the page about GPU 0", func() bool { return phone.count(about("page", "firing", "0")) > 0 })
	eventually(t, "the ticket about GPU 1", func() bool { return phone.count(about("ticket", "firing", "1")) > 0 })
	if n := phone.count(about("ticket", "firing", "0")); n != 0 {
		t.Errorf("%d tickets about the GPU that pages already, want 0", n)
	}
	if n := phone.count(about("page", "firing", "1")); n != 0 {
		t.Errorf("%d pages about the GPU that is only warm, want 0", n)
	}

	// The critical alert ends, the warning goes on: now it is told.
	gpu.celsius[0].Store(85)
	eventually(t, "the resolve of the page", func() bool { return phone.count(about("page", "resolved", "0")) > 0 })
	eventually(t, "the ticket about GPU 0", func() bool { return phone.count(about("ticket", "firing", "0")) > 0 })
}

func TestRestartSendsNothingTwiceAndKeepsSamples(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	gpu.celsius[0].Store(91)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	first := startStack(t, o)
	eventually(t, "the notification", func() bool { return phone.count(about("ticket", "firing", "0")) > 0 })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	second := startStack(t, o)
	samples := second.get("/api/v1/query?query=" + url.QueryEscape("count_over_time(genai:gpu_temperature:celsius[10m])"))
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any } `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(samples), &answer); err != nil || len(answer.Data.Result) != 1 {
		t.Errorf("samples of before the restart: %s (%v)", samples, err)
	}
	eventually(t, "breached again", func() bool { return second.check("gpu_temperature").State == Breached })
	gpu.celsius[0].Store(50)
	eventually(t, "the resolve", func() bool { return phone.count(about("ticket", "resolved", "0")) > 0 })
	if n := phone.count(about("ticket", "firing", "0")); n != 1 {
		t.Errorf("%d firing notifications, want 1 in spite of the restart", n)
	}
}

func TestAlertmanagerElsewhereGetsTheAlerts(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	gpu.celsius[0].Store(91)
	var mu sync.Mutex
	var got []string
	am := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alerts []struct {
			Labels map[string]string `json:"labels"`
		}
		if r.URL.Path != "/am/api/v2/alerts" {
			t.Errorf("posted to %s", r.URL.Path)
		}
		if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
			t.Errorf("alerts: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, a := range alerts {
			got = append(got, a.Labels["alertname"]+" "+a.Labels["node"])
		}
	}))
	t.Cleanup(am.Close)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	var err error
	if o.AlertmanagerURL, err = url.Parse(am.URL + "/am"); err != nil {
		t.Fatal(err)
	}
	r := startStack(t, o)
	eventually(t, "the alert at the Alertmanager", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(strings.Join(got, "\n"), "GPUTemperatureHigh n1")
	})
	if page := r.get("/"); !strings.Contains(page, am.URL+"/am") {
		t.Error("the page does not say where alerts go")
	}
	if ams := r.get("/api/v1/alertmanagers"); !strings.Contains(ams, am.URL) {
		t.Errorf("alertmanagers: %s", ams)
	}
	if n := phone.count(func(message) bool { return true }); n != 0 {
		t.Errorf("%d notifications sent from here too, want 0", n)
	}
}

func TestAlertmanagerThatRefusesIsSaidAtTheTop(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	var refuse atomic.Bool
	refuse.Store(true)
	am := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			http.Error(w, "try later", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(am.Close)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	var err error
	if o.AlertmanagerURL, err = url.Parse(am.URL); err != nil {
		t.Fatal(err)
	}
	r := startStack(t, o)
	const banner = "! Alerts not delivered. The last sending to the Alertmanager failed.\n"
	// The dead man's switch is sent at once, and not again for a while.
	eventually(t, "the banner", func() bool { return strings.HasPrefix(r.get("/checklist.txt"), banner) })
	refuse.Store(false)
	gpu.celsius[0].Store(91) // the next to be sent
	eventually(t, "no banner", func() bool { return !strings.Contains(r.get("/checklist.txt"), banner) })
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestSecretFileIsReadWhenSendingAndNeverShown(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	gpu.celsius[0].Store(91)
	secrets := t.TempDir()
	yaml := fmt.Sprintf(quickChecklist, "warning: 80", phone.URL) + "  secrets_dir: " + secrets + "\n"
	yaml = strings.Replace(yaml, fmt.Sprintf("{url: %q}", phone.URL+"/ticket"), "{url_file: ticket_url}", 1)
	o := quickOptions(t, yaml, gpu.URL)
	log := &buffer{}
	o.Logger = promslog.New(&promslog.Config{Writer: log})
	r := startStack(t, o)

	failing := func(reason string) func() bool {
		return func() bool {
			n := r.json().Notifications
			return len(n) == 1 && n[0].Receiver == "ticket" && len(n[0].Deliveries) == 1 &&
				n[0].Deliveries[0].Status == failed && strings.Contains(n[0].Deliveries[0].Detail, reason)
		}
	}
	eventually(t, "the failure on the page", failing("ticket_url: no such file"))

	// The address is wrong at first: the port is closed.
	closed := httptest.NewServer(nil)
	closed.Close()
	file := filepath.Join(secrets, "ticket_url")
	if err := os.WriteFile(file, []byte(closed.URL+"/s3cr3t-path"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other failure on the page", failing("connection refused"))
	phone.fail.Store(true)
	if err := os.WriteFile(file, []byte(phone.URL+"/s3cr3t-path\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refusal on the page", failing("503"))
	// It is at the top, and says no more than who is not reached.
	banners := map[string]string{
		"/":              `<p class="banner"><b class="mark">Notifications not delivered. Receivers whose last delivery failed: 1 (ticket).</b> <a href="#notifications">`,
		"/checklist.txt": "! Notifications not delivered. Receivers whose last delivery failed: 1 (ticket).\n",
	}
	for path, banner := range banners {
		body := r.get(path)
		if i, title := strings.Index(body, banner), strings.LastIndex(body, "Operations checklist"); i < 0 || i > title {
			t.Errorf("%s: the banner is at %d, the title at %d:\n%s", path, i, title, body)
		}
		if strings.Contains(body, "s3cr3t") || strings.Contains(body, phone.URL) {
			t.Errorf("%s holds the secret:\n%s", path, body)
		}
	}
	phone.fail.Store(false)
	eventually(t, "the delivery", func() bool { return phone.count(about("ticket", "firing", "0")) == 1 })
	eventually(t, "the delivery on the page", func() bool {
		n := r.json().Notifications
		return len(n) == 1 && n[0].Deliveries[0].Status == delivered
	})
	for path, banner := range banners {
		if strings.Contains(r.get(path), banner) {
			t.Errorf("%s still says %q after the delivery", path, banner)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "no such file"); n != 1 {
		t.Errorf("the missing file was logged %d times, want once:\n%s", n, log)
	}
	for _, secret := range []string{"s3cr3t", phone.URL} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
	if !strings.Contains(log.String(), "notifications delivered again") {
		t.Errorf("no word of the recovery:\n%s", log)
	}
}

func TestSlackGetsTheRenderedText(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	gpu.celsius[0].Store(91)
	var mu sync.Mutex
	var posted string
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, err := b.ReadFrom(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		posted = b.String()
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(slack.Close)
	secret := filepath.Join(t.TempDir(), "slack")
	if err := os.WriteFile(secret, []byte(slack.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := strings.Replace(fmt.Sprintf(quickChecklist, "warning: 80", phone.URL),
		fmt.Sprintf("{webhook: {url: %q}}", phone.URL+"/ticket"), fmt.Sprintf("{slack: {api_url_file: %q, channel: '#gpu'}}", secret), 1)
	r := startStack(t, quickOptions(t, yaml, gpu.URL))
	eventually(t, "the message", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(posted, "GPU 0 on n1 is at 91 °C")
	})
	eventually(t, "the delivery on the page", func() bool {
		n := r.json().Notifications
		return len(n) == 1 && n[0].Deliveries[0] == Delivery{Via: "slack", Status: delivered}
	})
}
