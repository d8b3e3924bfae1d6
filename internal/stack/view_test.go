package stack

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

func TestHeartbeatThatNeverArrivedIsNotSent(t *testing.T) {
	t.Parallel()
	j := newTestJournal()
	refuse := errors.New("unexpected status code 503")
	answer := refuse
	f := notifierFunc(func(context.Context) error { return answer })
	sender := notify.NewIntegration(f, f, "webhook", 0, "dead_man")
	d := &delivery{sender: &sender, journal: j, receiver: "dead_man", via: "webhook", logger: j.logger}
	beat := firing(watchdogCheck, "", time.Time{})
	told := func(lang string) string {
		b := &Board{At: time.Unix(1060, 0)}
		b.Notices, b.Heartbeat = j.last()
		b.Undelivered, b.HeartbeatDelivered = j.outcomes()
		return viewer{words: wordsOf(lang), lang: lang, location: time.UTC}.view(b).Heartbeat
	}
	try := func(err error) {
		answer = err
		if _, got := d.Notify(t.Context(), beat); (got == nil) != (err == nil) {
			t.Fatalf("got %v", got)
		}
	}
	if got := told("en"); got != "" {
		t.Errorf("before the first: %q", got)
	}
	try(refuse)
	for lang, want := range map[string]string{
		"en": "Dead man's switch: never delivered; last tried 00:16:40 → dead_man (webhook: not delivered (unexpected status code 503))",
		"ko": "생존 신호(dead man's switch): 한 번도 전달되지 않음; 마지막 시도 00:16:40 → dead_man (webhook: 전달 실패 (unexpected status code 503))",
	} {
		if diff := cmp.Diff(want, told(lang)); diff != "" {
			t.Errorf("after a failure (-want +got):\n%s", diff)
		}
	}
	// The next one is on its way: still none has arrived.
	j.note(batch{receiver: "dead_man", alerts: []*alert.Alert{beat}}, []string{"webhook"})
	j.note(batch{receiver: "dead_man", alerts: []*alert.Alert{beat}}, []string{"webhook"})
	if got := told("en"); !strings.HasPrefix(got, "Dead man's switch: never delivered; ") || !strings.Contains(got, "on its way") {
		t.Errorf("on its way: %q", got)
	}
	try(nil)
	if got := told("en"); got != "Dead man's switch: last sent 00:16:40 → dead_man (webhook: delivered)" {
		t.Errorf("after the delivery: %q", got)
	}
	try(refuse)
	if got := told("en"); !strings.HasPrefix(got, "Dead man's switch: last delivered 00:16:40 (1m); last tried 00:16:40 → dead_man (webhook: not delivered") {
		t.Errorf("after another failure: %q", got)
	}
}

func TestSummaryCountsAlertsWhereChecksDoNotSayThem(t *testing.T) {
	t.Parallel()
	v := viewer{words: english(), location: time.UTC}
	b := &Board{Sections: []BoardSection{{Rows: []Row{fixedBoard("en").Sections[0].Rows[0]}}}}
	for _, tc := range []struct {
		alerts []BoardAlert
		want   string
	}{
		{[]BoardAlert{{State: Breached}}, "breached 1 · pending 0 · no data 0 · ok 0"},
		{nil, "breached 1 · pending 0 · no data 0 · ok 0 · alerts: firing 0, pending 0"},
		{[]BoardAlert{{State: Breached}, {State: Pending}}, "breached 1 · pending 0 · no data 0 · ok 0 · alerts: firing 1, pending 1"},
		{[]BoardAlert{{State: Breached}, {State: Breached}}, "breached 1 · pending 0 · no data 0 · ok 0 · alerts: firing 2, pending 0"},
	} {
		b.Alerts = tc.alerts
		if got := v.view(b).Summary; got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
