package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
)

const (
	// memoryEvery is how often the alerts are written down; what happens
	// between that and a `kill -9` may be told twice or not.
	memoryEvery = time.Minute
	// memoryAge is how old the alerts may be at a start. The notification log
	// must still know of them: without it they would be told as new ones.
	memoryAge = notificationRetention / 2
	// endedAge is how long an alert that is over may wait for its group to be told.
	endedAge = 10 * time.Minute
)

// memory is the file of the alerts that are being told. Alertmanager keeps none,
// because a Prometheus beside it outlives its restart; here both restart
// together, and an alert that ends meanwhile would never be told to be over.
type memory struct {
	path string
	now  func() time.Time
	// hold is how long the rules need to find out that an alert goes on, by
	// check, and longest the same for alerts of no check.
	hold    map[model.LabelValue]time.Duration
	longest time.Duration
}

// remembered is the content of the file.
type remembered struct {
	At     time.Time     `json:"at"`
	Alerts []model.Alert `json:"alerts"`
}

// newMemory is that of a checklist: a rule needs a scrape, an evaluation and
// its own `for` before it fires again.
func newMemory(o Options, path string) memory {
	m := memory{path: path, now: o.Now, hold: map[model.LabelValue]time.Duration{}}
	delay := 4 * (o.ScrapeInterval + time.Duration(o.Checklist.Interval))
	m.longest = delay + time.Duration(o.Checklist.AbsentFor)
	for _, c := range o.Checklist.Checks() {
		h := delay + time.Duration(c.For)
		m.hold[model.LabelValue(c.ID)], m.longest = h, max(m.longest, h)
	}
	return m
}

// save writes the alerts down, but for the dead man's switch, which has to be
// silent while nothing runs, and those that were over long ago.
func (m memory) save(alerts []*alert.Alert) error {
	out := remembered{At: m.now(), Alerts: []model.Alert{}}
	for _, a := range alerts {
		if a.Labels["check"] != watchdogCheck && !a.ResolvedAt(out.At.Add(-endedAge)) {
			out.Alerts = append(out.Alerts, a.Alert)
		}
	}
	data, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("remember alerts: %w", err)
	}
	if err := writeAtomically(m.path, data); err != nil {
		return fmt.Errorf("remember alerts: %w", err)
	}
	return nil
}

// load are the alerts of the last run. Those that fired then go on until the
// rules say so themselves or their time is over.
func (m memory) load() ([]*alert.Alert, error) {
	data, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remembered alerts: %w", err)
	}
	var in remembered
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("remembered alerts %s: %w; remove the file to start without them", m.path, err)
	}
	now := m.now()
	if now.Sub(in.At) > memoryAge {
		return nil, nil
	}
	var out []*alert.Alert
	for _, a := range in.Alerts {
		fired := !a.ResolvedAt(in.At)
		if fired {
			hold, ok := m.hold[a.Labels["check"]]
			if !ok {
				hold = m.longest
			}
			a.EndsAt = now.Add(hold)
		}
		// A timeout gives way to whatever the rules say.
		out = append(out, &alert.Alert{Alert: a, UpdatedAt: now, Timeout: fired})
	}
	return out, nil
}
