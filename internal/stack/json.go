package stack

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// jsonBoard is /checklist.json.
type jsonBoard struct {
	At            time.Time    `json:"at"`
	Checks        []jsonCheck  `json:"checks"`
	Alerts        []jsonAlert  `json:"alerts"`
	Notifications []Notice     `json:"notifications"`
	Targets       []jsonTarget `json:"targets"`
}

// jsonCheck is one line of the checklist; absent values are null.
type jsonCheck struct {
	ID        string        `json:"id"`
	Section   string        `json:"section"`
	Title     string        `json:"title"`
	Value     *float64      `json:"value"`
	Unit      string        `json:"unit"`
	Threshold float64       `json:"threshold"`
	Bad       string        `json:"bad"`
	Severity  string        `json:"severity"`
	State     State         `json:"state"`
	Since     *time.Time    `json:"since"`
	Labels    labels.Labels `json:"labels"`
	Alert     string        `json:"alert"`
	Series    int           `json:"series"`
	// Recovering is an alert held although its condition is over.
	Recovering bool `json:"recovering,omitempty"`
}

type jsonAlert struct {
	Name        string        `json:"name"`
	Check       string        `json:"check"`
	Severity    string        `json:"severity"`
	State       string        `json:"state"` // pending or firing
	Since       time.Time     `json:"since"`
	Labels      labels.Labels `json:"labels"`
	Summary     string        `json:"summary"`
	Description string        `json:"description"`
	Action      string        `json:"action,omitempty"`
	RunbookURL  string        `json:"runbook_url,omitempty"`
}

type jsonTarget struct {
	Job        string     `json:"job"`
	Address    string     `json:"address"`
	Health     string     `json:"health"`
	LastScrape *time.Time `json:"last_scrape"`
	Error      string     `json:"error,omitempty"`
}

// writeJSON is the board for machines. Times are UTC.
func writeJSON(w io.Writer, b *Board) error {
	out := jsonBoard{At: b.At.UTC(), Checks: []jsonCheck{}, Alerts: []jsonAlert{}, Notifications: []Notice{}, Targets: []jsonTarget{}}
	for _, s := range b.Sections {
		for _, r := range s.Rows {
			out.Checks = append(out.Checks, newJSONCheck(s.Title, r))
		}
	}
	for _, a := range b.Alerts {
		state := "pending"
		if a.State == Breached {
			state = "firing"
		}
		out.Alerts = append(out.Alerts, jsonAlert{
			Name: a.Name, Check: a.Check, Severity: a.Severity, State: state, Since: a.Since.UTC(), Labels: a.Labels,
			Summary: a.Summary, Description: a.Description, Action: a.Action, RunbookURL: a.Runbook,
		})
	}
	for _, n := range b.Notices {
		n.At = n.At.UTC()
		out.Notifications = append(out.Notifications, n)
	}
	for _, t := range b.Targets {
		out.Targets = append(out.Targets, jsonTarget{t.Job, t.Address, t.Health, utc(t.LastScrape), t.Err})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func newJSONCheck(section string, r Row) jsonCheck {
	level := r.Level()
	c := jsonCheck{
		ID: r.Check, Section: section, Title: r.Title, Unit: string(r.Unit), State: r.State, Alert: r.Alert, Series: len(r.Series),
		Threshold: level.Threshold, Bad: string(level.Bad), Severity: string(level.Severity), Labels: labels.EmptyLabels(),
	}
	if worst, ok := r.Worst(); ok {
		if !math.IsNaN(worst.Value) && !math.IsInf(worst.Value, 0) {
			c.Value = &worst.Value
		}
		c.Labels, c.Since, c.Recovering = worst.Labels, utc(worst.Since), worst.Recovering
	}
	return c
}

// utc is nil for a time that never was.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
