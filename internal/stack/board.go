package stack

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// watchdogCheck is the label `check` of the alert that always fires.
const watchdogCheck = "watchdog"

// State is what a line of the checklist is in.
type State string

// The states, best first.
const (
	OK       State = "ok"
	NoData   State = "no_data"
	Pending  State = "pending"
	Breached State = "breached"
)

func (s State) rank() int { return slices.Index([]State{OK, NoData, Pending, Breached}, s) }

// Board is everything that the page shows, in its three forms.
type Board struct {
	At       time.Time
	Sections []BoardSection
	// Alerts are firing or pending, the worst first.
	Alerts []BoardAlert
	// Alertmanager is where alerts go; empty where they are routed here.
	Alertmanager string
	// AlertmanagerFails says that the last sending to it failed.
	AlertmanagerFails bool
	Notices           []Notice
	// Undelivered are the receivers whose last delivery failed.
	Undelivered []string
	// Heartbeat is the last of the dead man's switch.
	Heartbeat *Notice
	// HeartbeatDelivered is when one last arrived; zero when none did.
	HeartbeatDelivered time.Time
	Targets            []BoardTarget
}

// BoardSection is a part of the checklist.
type BoardSection struct {
	Title string
	Rows  []Row
}

// Row is one line of the checklist.
type Row struct {
	Check  string
	Title  string
	Alert  string
	Unit   checklist.Unit
	Levels []checklist.Level
	State  State
	// Series are all there are, the worst first.
	Series []Series
	// Spark is the last hour of the worst series, a point every Step.
	Spark []Point
	Step  time.Duration
}

// Worst is the series that stands for the row.
func (r Row) Worst() (Series, bool) {
	if len(r.Series) == 0 {
		return Series{}, false
	}
	return r.Series[0], true
}

// Level is the one that counts now: the breached one, else the mildest.
func (r Row) Level() checklist.Level {
	if w, ok := r.Worst(); ok {
		for _, l := range r.Levels {
			if l.Severity == w.Severity {
				return l
			}
		}
	}
	return r.Levels[0]
}

// Series is one recorded series of a check.
type Series struct {
	Labels labels.Labels
	// Value is NaN where the alert is held and the series is gone.
	Value    float64
	State    State
	Severity checklist.Severity
	// Since is when the condition became true; zero when it is not.
	Since time.Time
	// Recovering is an alert that is held although its condition is over.
	Recovering bool
}

// Point is one value of a sparkline.
type Point struct {
	At    time.Time
	Value float64
}

// BoardAlert is one active alert.
type BoardAlert struct {
	Name, Check, Severity string
	State                 State
	Recovering            bool
	Labels                labels.Labels
	Since                 time.Time
	Summary, Description  string
	Action, Runbook       string
}

// BoardTarget is one scraped exporter.
type BoardTarget struct {
	Job, Address, Health, Err string
	LastScrape                time.Time
	Took                      time.Duration
}

// ruleAlert is an active alert as its rule knows it.
type ruleAlert struct {
	name, check, severity string
	active                *rules.Alert
}

func (a ruleAlert) state() State {
	if a.active.State == rules.StateFiring {
		return Breached
	}
	return Pending
}

func (a ruleAlert) recovering() bool {
	return a.active.State == rules.StateFiring && !a.active.KeepFiringSince.IsZero()
}

// row puts a check's values and alerts together.
func row(ch checklist.Check, values []Series, alerts []ruleAlert) Row {
	r := Row{Check: ch.ID, Alert: ch.Alert, Levels: ch.Levels, State: NoData}
	r.Series = slices.DeleteFunc(values, func(s Series) bool { return math.IsNaN(s.Value) })
	for i := range r.Series {
		r.Series[i].State = OK
	}
	for _, a := range alerts {
		own := identity(a.active.Labels)
		i := slices.IndexFunc(r.Series, func(s Series) bool { return labels.Equal(s.Labels, own) })
		if i < 0 {
			r.Series = append(r.Series, Series{Labels: own, Value: math.NaN(), State: OK})
			i = len(r.Series) - 1
		}
		r.Series[i].alerted(a)
	}
	bad := ch.Bad
	slices.SortStableFunc(r.Series, func(a, b Series) int { return compareSeries(a, b, bad) })
	if w, ok := r.Worst(); ok {
		r.State = w.State
	}
	return r
}

// alerted takes the state of an alert over where it is worse: of several
// levels the most severe one counts.
func (s *Series) alerted(a ruleAlert) {
	state, severity := a.state(), checklist.Severity(a.severity)
	order := checklist.Severities()
	worse := state.rank() > s.State.rank() ||
		state == s.State && slices.Index(order, severity) > slices.Index(order, s.Severity)
	if worse {
		s.State, s.Severity, s.Since, s.Recovering = state, severity, a.active.ActiveAt, a.recovering()
	}
}

// compareSeries puts the worse series first.
func compareSeries(a, b Series, bad checklist.Direction) int {
	if a.State != b.State {
		return b.State.rank() - a.State.rank()
	}
	if a.Value != b.Value && !math.IsNaN(a.Value) && !math.IsNaN(b.Value) {
		if (a.Value > b.Value) == (bad == checklist.Above) {
			return -1
		}
		return 1
	}
	return labels.Compare(a.Labels, b.Labels)
}

// querier reads recorded series.
type querier interface {
	// now are the series of a recorded name, without the name.
	now(ctx context.Context, record string, at time.Time) ([]Series, error)
	// hour are the last hour's values of one of them, a point every step.
	hour(ctx context.Context, of recorded, at time.Time, step time.Duration) ([]Point, error)
}

// recorded names one recorded series.
type recorded struct {
	record string
	labels labels.Labels
}

// sections makes the rows of a checklist.
func (m *boardMaker) sections(ctx context.Context, at time.Time, alerts []ruleAlert) ([]BoardSection, error) {
	var out []BoardSection
	for _, s := range m.checklist.Sections {
		section := BoardSection{Title: s.Title.In(m.lang)}
		for _, ch := range s.Checks {
			record := m.checklist.RecordOf(ch)
			values, err := m.query.now(ctx, record, at)
			if err != nil {
				return nil, err
			}
			own := slices.DeleteFunc(slices.Clone(alerts), func(a ruleAlert) bool { return a.check != ch.ID })
			r := row(ch, values, own)
			r.Title, r.Unit = ch.Title.In(m.lang), m.checklist.UnitOf(ch)
			if w, ok := r.Worst(); ok {
				r.Step = m.step()
				if r.Spark, err = m.query.hour(ctx, recorded{record, w.Labels}, at, r.Step); err != nil {
					return nil, err
				}
			}
			section.Rows = append(section.Rows, r)
		}
		if len(section.Rows) > 0 {
			out = append(out, section)
		}
	}
	return out, nil
}

// boardAlerts are the alerts that say something is wrong.
func boardAlerts(alerts []ruleAlert) []BoardAlert {
	var out []BoardAlert
	for _, a := range alerts {
		if a.check == watchdogCheck {
			continue
		}
		text := a.active.Annotations
		out = append(out, BoardAlert{
			Name: a.name, Check: a.check, Severity: a.severity, State: a.state(), Recovering: a.recovering(),
			Labels: subject(a.active.Labels), Since: a.active.ActiveAt,
			Summary: text.Get("summary"), Description: text.Get("description"),
			Action: text.Get("action"), Runbook: text.Get("runbook_url"),
		})
	}
	severities := checklist.Severities()
	slices.SortStableFunc(out, func(a, b BoardAlert) int {
		if a.State != b.State {
			return b.State.rank() - a.State.rank()
		}
		if a.Severity != b.Severity {
			return slices.Index(severities, checklist.Severity(b.Severity)) - slices.Index(severities, checklist.Severity(a.Severity))
		}
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return labels.Compare(a.Labels, b.Labels)
	})
	return out
}
