package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
)

func TestMemoryKeepsWhatMustStillBeTold(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0).UTC()
	at := func(ends time.Duration, check string) *alert.Alert {
		a := firing(check, "0", start.Add(ends))
		a.Annotations = model.LabelSet{"summary": "s"}
		return a
	}
	for _, tc := range []struct {
		name string
		in   *alert.Alert
		away time.Duration
		want string
	}{
		{"fires", at(time.Minute, "c"), time.Hour, "ends 1h0m30s after the save, timeout true"},
		{"fires-without-end", firing("c", "0", time.Time{}), time.Hour, "ends 1h0m30s after the save, timeout true"},
		{"of-no-check", at(time.Minute, ""), time.Hour, "ends 1h1m0s after the save, timeout true"},
		{"just-over", at(-endedAge+time.Second, "c"), time.Hour, "ends -9m59s after the save, timeout false"},
		{"over-long-ago", at(-endedAge, "c"), time.Hour, ""},
		{"heartbeat", at(time.Minute, watchdogCheck), time.Hour, ""},
		{"recent-enough", at(time.Minute, "c"), memoryAge, "ends 60h0m30s after the save, timeout true"},
		{"too-old", at(time.Minute, "c"), memoryAge + 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			now := start
			m := memory{path: filepath.Join(t.TempDir(), "alerts.json"), hold: map[model.LabelValue]time.Duration{"c": 30 * time.Second}, longest: time.Minute, now: func() time.Time { return now }}
			if err := m.save([]*alert.Alert{tc.in}); err != nil {
				t.Fatal(err)
			}
			now = now.Add(tc.away)
			alerts, err := m.load()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, a := range alerts {
				got += fmt.Sprintf("ends %s after the save, timeout %v", a.EndsAt.Sub(start), a.Timeout)
				if a.Fingerprint() != tc.in.Fingerprint() || !a.StartsAt.Equal(tc.in.StartsAt) || a.Annotations["summary"] != tc.in.Annotations["summary"] {
					t.Errorf("got %v, want %v", a, tc.in)
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMemoryBeginsEmptyAndNamesABrokenFile(t *testing.T) {
	t.Parallel()
	m := memory{path: filepath.Join(t.TempDir(), "alerts.json"), now: time.Now}
	if alerts, err := m.load(); err != nil || alerts != nil {
		t.Errorf("got %v, %v", alerts, err)
	}
	if err := os.WriteFile(m.path, []byte(`{"at":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.load(); err == nil || !strings.Contains(err.Error(), m.path) || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("got %v", err)
	}
}

func TestAlertThatEndsWhileStoppedIsToldToBeOver(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	gpu.celsius[0].Store(91)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	first := startStack(t, o)
	eventually(t, "the notification", func() bool { return phone.count(about("ticket", "firing", "0")) > 0 })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	gpu.celsius[0].Store(50)
	startStack(t, o)
	eventually(t, "the resolve", func() bool { return phone.count(about("ticket", "resolved", "0")) > 0 })
	if n := phone.count(about("ticket", "firing", "0")); n != 1 {
		t.Errorf("%d firing notifications, want 1", n)
	}
}

func TestRulesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", "http://127.0.0.1:1"), "http://127.0.0.1:1")
	own := filepath.Join(o.StoragePath, "rules", "mine.yml")
	stale := filepath.Join(o.StoragePath, renderedDir, "rules", "stale.yml")
	for _, f := range []string{own, stale} {
		if err := os.MkdirAll(filepath.Dir(f), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("groups: []\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := startStack(t, o).stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("somebody's rules: %v", err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("rules of an earlier start are still there: %v", err)
	}
}
