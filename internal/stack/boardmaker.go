package stack

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"

	"github.com/genai-exporter/genai-exporter/checklist"
)

const (
	sparkRange = time.Hour
	// A sparkline has a point per evaluation, but no more than its width.
	sparkStepMin = 5 * time.Second
	sparkStepMax = 15 * time.Second
	// boardAge is how long a board is served again: many readers cost no more
	// queries than one.
	boardAge = time.Second
)

// boardMaker makes the board from what runs.
type boardMaker struct {
	checklist    *checklist.Checklist
	lang         string
	now          func() time.Time
	query        querier
	rules        func() []*rules.AlertingRule
	targets      func() map[string][]*scrape.Target
	alertmanager *url.URL
	// One of them is nil.
	router    *router
	forwarder *forwarder

	mu   sync.Mutex
	last *Board
}

func newBoardMaker(s *stack) *boardMaker {
	return &boardMaker{
		checklist: s.o.Checklist, lang: s.o.Lang, now: s.o.Now, query: engineQuerier{s.prom},
		rules: s.prom.rules.AlertingRules, targets: s.prom.scrape.TargetsActive,
		alertmanager: s.o.AlertmanagerURL, router: s.router, forwarder: s.forwarder,
	}
}

// board is the state of now, at most boardAge old.
func (m *boardMaker) board(ctx context.Context) (*Board, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.now()
	if m.last != nil && at.Sub(m.last.At) < boardAge && !at.Before(m.last.At) {
		return m.last, nil
	}
	alerts := m.ruleAlerts()
	b := &Board{At: at, Alerts: boardAlerts(alerts), Targets: boardTargets(m.targets())}
	var err error
	if b.Sections, err = m.sections(ctx, at, alerts); err != nil {
		return nil, err
	}
	if m.alertmanager != nil {
		b.Alertmanager = m.alertmanager.String()
	}
	if m.forwarder != nil {
		b.AlertmanagerFails = m.forwarder.failing.Load()
	}
	if m.router != nil {
		b.Notices, b.Heartbeat = m.router.journal.last()
		b.Undelivered, b.HeartbeatDelivered = m.router.journal.outcomes()
	}
	m.last = b
	return b, nil
}

// step is how far the points of a sparkline are apart.
func (m *boardMaker) step() time.Duration {
	return min(max(time.Duration(m.checklist.Interval), sparkStepMin), sparkStepMax)
}

// ruleAlerts are the active alerts of all rules.
func (m *boardMaker) ruleAlerts() []ruleAlert {
	var out []ruleAlert
	for _, r := range m.rules() {
		for _, a := range r.ActiveAlerts() {
			out = append(out, ruleAlert{
				name: r.Name(), check: r.Labels().Get("check"), severity: r.Labels().Get("severity"), active: a,
			})
		}
	}
	return out
}

func boardTargets(pools map[string][]*scrape.Target) []BoardTarget {
	var out []BoardTarget
	for _, job := range slices.Sorted(maps.Keys(pools)) {
		for _, t := range pools[job] {
			bt := BoardTarget{
				Job: job, Address: t.URL().Host, Health: string(t.Health()),
				LastScrape: t.LastScrape(), Took: t.LastScrapeDuration(),
			}
			if err := t.LastError(); err != nil {
				bt.Err = err.Error()
			}
			out = append(out, bt)
		}
	}
	slices.SortStableFunc(out, func(a, b BoardTarget) int { return strings.Compare(a.Job+"\x00"+a.Address, b.Job+"\x00"+b.Address) })
	return out
}

// engineQuerier asks the query engine.
type engineQuerier struct{ p *promServer }

func (q engineQuerier) now(ctx context.Context, record string, at time.Time) ([]Series, error) {
	query, err := q.p.engine.NewInstantQuery(ctx, q.p.db, nil, record, at)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", record, err)
	}
	defer query.Close()
	vector, err := query.Exec(ctx).Vector()
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", record, err)
	}
	var out []Series
	for _, s := range vector {
		if s.H == nil {
			out = append(out, Series{Labels: withoutName(s.Metric), Value: s.F})
		}
	}
	return out, nil
}

func (q engineQuerier) hour(ctx context.Context, of recorded, at time.Time, step time.Duration) ([]Point, error) {
	query, err := q.p.engine.NewRangeQuery(ctx, q.p.db, nil, of.record, at.Add(-sparkRange), at, step)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", of.record, err)
	}
	defer query.Close()
	matrix, err := query.Exec(ctx).Matrix()
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", of.record, err)
	}
	i := slices.IndexFunc(matrix, func(s promql.Series) bool { return labels.Equal(withoutName(s.Metric), of.labels) })
	if i < 0 {
		return nil, nil
	}
	var out []Point
	for _, f := range matrix[i].Floats {
		out = append(out, Point{At: time.UnixMilli(f.T), Value: f.F})
	}
	return out, nil
}

func withoutName(ls labels.Labels) labels.Labels {
	return labels.NewBuilder(ls).Del(model.MetricNameLabel).Labels()
}
