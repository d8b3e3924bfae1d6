package stack

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
)

// Alertmanager's own defaults, of its command's flags.
const (
	notificationRetention = 120 * time.Hour
	alertGCInterval       = 30 * time.Minute
	dispatchMaintenance   = 30 * time.Second
	// Alertmanager writes its notification log every 15 minutes; what is sent
	// after the last time is sent again after a `kill -9`.
	maintenanceInterval = time.Minute
)

// router is Alertmanager without its interface: grouping, inhibition, repeat
// and resolve come from its own packages and the rendered configuration.
type router struct {
	logger     *slog.Logger
	journal    *journal
	memory     memory
	alerts     *mem.Alerts
	inhibitor  *inhibit.Inhibitor
	dispatcher *dispatch.Dispatcher
	endLog     chan struct{}
	running    sync.WaitGroup
}

func newRouter(o Options, dir *dataDir, reg prometheus.Registerer) (*router, error) {
	conf, err := config.LoadFile(dir.join(renderedDir + "/" + routingFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", routingFile, err)
	}
	tmpl, err := template.FromGlobs(conf.Templates)
	if err != nil {
		return nil, fmt.Errorf("%s: templates: %w", routingFile, err)
	}
	tmpl.ExternalURL = o.ExternalURL

	// What a delivery reports is not reported again by the packages around it.
	logger := slog.New(withoutReported{quietly(o.Logger).With("component", "routing").Handler()})
	r := &router{
		logger: logger, journal: newJournal(o.Logger, o.Now), memory: newMemory(o, dir.join("alerts.json")), endLog: make(chan struct{}),
	}
	receivers, err := r.receivers(conf, tmpl)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", routingFile, err)
	}
	before, err := r.memory.load()
	if err != nil {
		return nil, err
	}
	log, err := r.openLog(dir.join("alertmanager.nflog"), reg)
	if err != nil {
		return nil, err
	}
	// Silences are not offered here; the pipeline wants an empty set of them.
	silences, err := silence.New(silence.Options{Retention: notificationRetention, Metrics: reg, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("routing: %w", err)
	}
	recorder := eventrecorder.NopRecorder()
	silencer := silence.NewSilencer(silences, logger, recorder)
	r.alerts, err = mem.NewAlerts(context.Background(), alertGCInterval, 0, silencer, logger, recorder, reg, featurecontrol.NoopFlags{})
	if err != nil {
		return nil, fmt.Errorf("routing: %w", err)
	}
	if err := r.alerts.Put(context.Background(), before...); err != nil {
		return nil, fmt.Errorf("routing: %w", err)
	}
	r.inhibitor = inhibit.NewInhibitor(r.alerts, conf.InhibitRules, logger, recorder)
	groups := marker.NewGroupMarker()
	pipeline := notify.NewPipelineBuilder(reg, featurecontrol.NoopFlags{}, recorder).New(
		receivers, func() time.Duration { return 0 }, r.inhibitor, silencer,
		timeinterval.NewIntervener(timeIntervals(conf)), groups, log, nil,
	)
	r.dispatcher = dispatch.NewDispatcher(
		r.alerts, dispatch.NewRoute(conf.Route, nil), pipeline, groups,
		func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) },
		dispatchMaintenance, nil, logger, recorder, dispatch.NewDispatcherMetrics(false, reg, featurecontrol.NoopFlags{}), tmpl,
	)
	r.run()
	return r, nil
}

// run starts the inhibitor before the dispatcher, so that nothing is sent that
// should have been inhibited.
func (r *router) run() {
	r.running.Go(r.inhibitor.Run)
	r.inhibitor.WaitForLoading()
	r.running.Go(func() { r.dispatcher.Run(time.Now()) })
	r.dispatcher.WaitForLoading()
	r.running.Go(r.remember)
}

// remember writes the alerts down now and then, and at the end.
func (r *router) remember() {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
		case <-r.endLog:
			running = false
		}
		if err := r.memory.save(r.all()); err != nil {
			r.logger.Error("alerts not remembered", "err", err)
		}
	}
}

// all are the alerts that fire or were over a moment ago.
func (r *router) all() []*alert.Alert {
	it := r.alerts.GetPending()
	defer it.Close()
	var out []*alert.Alert
	for a := range it.Next() {
		out = append(out, a.Data)
	}
	return out
}

// openLog remembers what was sent, so that a restart sends nothing twice.
func (r *router) openLog(path string, reg prometheus.Registerer) (*nflog.Log, error) {
	log, err := nflog.New(nflog.Options{SnapshotFile: path, Retention: notificationRetention, Logger: r.logger, Metrics: reg})
	if err != nil {
		return nil, fmt.Errorf("notification log %s: %w", path, err)
	}
	r.running.Go(func() { log.Maintenance(maintenanceInterval, path, r.endLog, nil) })
	return log, nil
}

// receivers are the integrations of each receiver: the one that writes the
// notification down, and those that send it.
func (r *router) receivers(conf *config.Config, tmpl *template.Template) (map[string][]notify.Integration, error) {
	out := map[string][]notify.Integration{}
	for _, rcv := range conf.Receivers {
		senders, err := integrations(rcv, tmpl, r.logger)
		if err != nil {
			return nil, fmt.Errorf("receiver %s: %w", rcv.Name, err)
		}
		if len(senders) == 0 {
			out[rcv.Name] = nil // what goes here is only shown
			continue
		}
		note := &noteTaker{journal: r.journal, receiver: rcv.Name}
		list := make([]notify.Integration, 0, len(senders)+1)
		for i := range senders {
			via := senders[i].Name()
			if len(senders) > 1 {
				via = senders[i].String()
			}
			note.via = append(note.via, via)
			note.resolved = note.resolved || senders[i].SendResolved()
			d := &delivery{sender: &senders[i], journal: r.journal, receiver: rcv.Name, via: via, logger: r.journal.logger}
			list = append(list, notify.NewIntegration(d, d, senders[i].Name(), senders[i].Index(), rcv.Name))
		}
		out[rcv.Name] = append(list, notify.NewIntegration(note, note, "log", 0, rcv.Name))
	}
	return out, nil
}

func timeIntervals(conf *config.Config) map[string][]timeinterval.TimeInterval {
	out := map[string][]timeinterval.TimeInterval{}
	for _, t := range conf.MuteTimeIntervals {
		out[t.Name] = t.TimeIntervals
	}
	for _, t := range conf.TimeIntervals {
		out[t.Name] = t.TimeIntervals
	}
	return out
}

// Send takes alerts from the rules.
func (r *router) Send(alerts ...*notifier.Alert) {
	now := time.Now()
	in := make([]*alert.Alert, 0, len(alerts))
	for _, a := range alerts {
		in = append(in, &alert.Alert{
			Alert: model.Alert{
				Labels: labelSet(a.Labels), Annotations: labelSet(a.Annotations),
				StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL,
			},
			UpdatedAt: now,
		})
	}
	if err := r.alerts.Put(context.Background(), in...); err != nil {
		r.logger.Error("alerts not taken", "err", err)
	}
}

func labelSet(ls labels.Labels) model.LabelSet {
	out := make(model.LabelSet, ls.Len())
	ls.Range(func(l labels.Label) {
		// As Alertmanager's API does: an empty label is no label.
		if l.Value != "" {
			out[model.LabelName(l.Name)] = model.LabelValue(l.Value)
		}
	})
	return out
}

// promLabels is the way back of labelSet.
func promLabels(ls model.LabelSet) labels.Labels {
	b := labels.NewScratchBuilder(len(ls))
	for name, value := range ls {
		b.Add(string(name), string(value))
	}
	b.Sort()
	return b.Labels()
}

// Alertmanagers is empty: none runs elsewhere.
func (r *router) Alertmanagers() []*url.URL { return nil }

// DroppedAlertmanagers is empty too.
func (r *router) DroppedAlertmanagers() []*url.URL { return nil }

// stop ends dispatching and writes the notification log.
func (r *router) stop() {
	r.dispatcher.Stop()
	r.inhibitor.Stop()
	r.alerts.Close()
	close(r.endLog)
	r.running.Wait()
}
