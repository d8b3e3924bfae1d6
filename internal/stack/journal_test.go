package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
)

// firing is an alert of a check that fires, or that was over at end.
func firing(check, gpu string, end time.Time) *alert.Alert {
	return &alert.Alert{Alert: model.Alert{
		Labels:   model.LabelSet{"alertname": "A", "check": model.LabelValue(check), "gpu": model.LabelValue(gpu)},
		StartsAt: time.Unix(1, 0), EndsAt: end,
	}}
}

func newTestJournal() *journal {
	return newJournal(slog.New(slog.DiscardHandler), func() time.Time { return time.Unix(1000, 0) })
}

// told are the notifications of a journal in short, the newest first.
func told(j *journal) string {
	notices, _ := j.last()
	var out []string
	for _, n := range notices {
		s := fmt.Sprintf("%s %s %d", n.Receiver, n.Status, len(n.Alerts))
		for _, d := range n.Deliveries {
			s += " " + d.Via + "=" + d.Status
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestJournalJoinsNoteAndDelivery(t *testing.T) {
	t.Parallel()
	fires := batch{receiver: "page", group: "g", alerts: []*alert.Alert{firing("c", "0", time.Time{})}}
	over := batch{receiver: "page", group: "g", alerts: []*alert.Alert{firing("c", "0", time.Unix(2, 0))}}
	ok, no := Delivery{Via: "webhook", Status: delivered}, Delivery{Via: "webhook", Status: failed, Detail: "x"}
	type step = func(*journal)
	note := func(b batch) step { return func(j *journal) { j.note(b, []string{"webhook"}) } }
	send := func(b batch, d Delivery) step { return func(j *journal) { j.delivered(b, d) } }
	tests := []struct {
		name  string
		steps []step
		want  string
	}{
		{"note-first", []step{note(fires), send(fires, ok)}, "page firing 1 webhook=delivered"},
		{"delivery-first", []step{send(fires, ok), note(fires)}, "page firing 1 webhook=delivered"},
		{"on-its-way", []step{note(fires)}, "page firing 1 webhook=waiting"},
		{"retried", []step{note(fires), send(fires, no), send(fires, no), send(fires, ok)}, "page firing 1 webhook=delivered"},
		{"repeated", []step{note(fires), send(fires, ok), note(fires), send(fires, ok)}, "page firing 1 webhook=delivered; page firing 1 webhook=delivered"},
		{"repeated-delivery-first", []step{note(fires), send(fires, ok), send(fires, ok), note(fires)}, "page firing 1 webhook=delivered; page firing 1 webhook=delivered"},
		{"resolved", []step{note(fires), send(fires, no), note(over), send(over, ok)}, "page resolved 1 webhook=delivered; page firing 1 webhook=failed"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := newTestJournal()
			for _, s := range tc.steps {
				s(j)
			}
			if got := told(j); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestJournalKeepsTheLastAndNotTheHeartbeat(t *testing.T) {
	t.Parallel()
	j := newTestJournal()
	for i := range journalSize + 3 {
		j.note(batch{receiver: fmt.Sprint(i), group: "g", alerts: []*alert.Alert{firing("c", "0", time.Time{})}}, nil)
		j.note(batch{receiver: "dead_man", group: "w", alerts: []*alert.Alert{firing(watchdogCheck, "", time.Time{})}}, nil)
	}
	notices, heartbeat := j.last()
	if len(notices) != journalSize || notices[0].Receiver != "52" || notices[journalSize-1].Receiver != "3" {
		t.Errorf("got %d, %s to %s", len(notices), notices[0].Receiver, notices[len(notices)-1].Receiver)
	}
	if heartbeat == nil || heartbeat.Receiver != "dead_man" {
		t.Errorf("heartbeat: got %+v", heartbeat)
	}
}

func TestFailureKeepsTheURLSecret(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"request", &url.Error{Op: "Post", URL: "https://hooks.example/s3cr3t", Err: errors.New("connection refused")}, "connection refused"},
		{"wrapped", fmt.Errorf("a: %w", &url.Error{Op: "Post", URL: "https://hooks.example/s3cr3t", Err: errors.New("EOF")}), "EOF"},
		{"text", errors.New(`unsupported protocol in "https://u:s3cr3t@h/x?y=z" found`), `unsupported protocol in "<redacted>" found`},
		{"file", fmt.Errorf("read url_file: %w", &fs.PathError{Op: "open", Path: "/secrets/page", Err: fs.ErrNotExist}), "secret file /secrets/page: file does not exist"},
		{"status", errors.New("unexpected status code 503: try later"), "unexpected status code 503: try later"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := failureOf(tc.err); got != tc.want || strings.Contains(got, "s3cr3t") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestQuietLogsWarningsOnly(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level]string{slog.LevelInfo: "w", slog.LevelDebug: "diw", slog.LevelError: ""} {
		out := &buffer{}
		plain := slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})
		l := quietly(slog.New(plain)).With("a", "b").WithGroup("g")
		l.Debug("d")
		l.Info("i")
		l.Warn("w")
		var got string
		for _, m := range []string{"d", "i", "w"} {
			if strings.Contains(out.String(), "msg="+m+" ") || strings.Contains(out.String(), "msg="+m+"\n") {
				got += m
			}
		}
		if got != want {
			t.Errorf("at level %s: got %q, want %q", level, got, want)
		}
	}
}

func TestJournalRemembersOnlySoManyAlerts(t *testing.T) {
	t.Parallel()
	var log buffer
	j := newJournal(slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return time.Unix(1000, 0) })
	b := batch{receiver: "page", group: "g"}
	for i := range journalAlerts + 7 {
		b.alerts = append(b.alerts, firing("c", fmt.Sprint(i), time.Time{}))
	}
	j.note(b, []string{"webhook"})
	j.delivered(b, Delivery{Via: "webhook", Status: delivered})
	notices, _ := j.last()
	if len(notices) != 1 || len(notices[0].Alerts) != journalAlerts || notices[0].MoreAlerts != 7 || len(notices[0].print) > 64 {
		t.Errorf("got %d notices, the first with %d alerts and %d more", len(notices), len(notices[0].Alerts), notices[0].MoreAlerts)
	}
	v := viewer{words: english(), location: time.UTC}
	if got := v.notice(notices[0]).Alerts; !strings.HasSuffix(got, ", +97") {
		t.Errorf("the page says %q", got)
	}
	if len(log.String()) > 500 || !strings.Contains(log.String(), "alert_count=107") {
		t.Errorf("log: %s", log.String())
	}
}

func TestFailureIsCutShort(t *testing.T) {
	t.Parallel()
	long := errors.New("unexpected status code 500: https://h/" + strings.Repeat("s3cr3t", 1000) + " " + strings.Repeat("x", 1<<20))
	if got := failureOf(long); len([]rune(got)) > detailRunes || strings.Contains(got, "s3cr3t") || !strings.HasPrefix(got, "unexpected status code 500: <redacted>") {
		t.Errorf("got %d runes: %.400s", len([]rune(got)), got)
	}
}

func TestReceiverIsUndeliveredUntilItsLastDeliverySucceeds(t *testing.T) {
	t.Parallel()
	j := newTestJournal()
	of := func(receiver, group, check string) batch {
		return batch{receiver: receiver, group: group, alerts: []*alert.Alert{firing(check, "0", time.Time{})}}
	}
	send := func(b batch, via, status string) { j.delivered(b, Delivery{Via: via, Status: status}) }
	want := func(when, undelivered string, beaten bool) {
		t.Helper()
		if got, at := j.outcomes(); strings.Join(got, ",") != undelivered || at.IsZero() == beaten {
			t.Errorf("%s: got %v and a heartbeat at %v, want %q and %v", when, got, at, undelivered, beaten)
		}
	}
	want("nothing sent", "", false)
	send(of("page", "g", "c"), "webhook", failed)
	send(of("page", "g", "c"), "slack", failed)
	send(of("dead_man", "w", watchdogCheck), "webhook", failed)
	want("all fail", "dead_man,page", false)
	send(of("page", "g", "c"), "slack", delivered)
	want("half of a receiver fails", "dead_man,page", false)
	for i := range journalSize + 1 {
		send(of("ticket", fmt.Sprint(i), "c"), "webhook", delivered)
	}
	want("the notice is forgotten", "dead_man,page", false)
	send(of("page", "other", "c"), "webhook", delivered)
	want("another group arrives", "dead_man", false)
	send(of("dead_man", "w", watchdogCheck), "webhook", delivered)
	want("the heartbeat arrives", "", true)
	send(of("dead_man", "w", watchdogCheck), "webhook", failed)
	want("the heartbeat fails again", "dead_man", true)
}
