// Package stack is a whole monitoring system in one process, for people who
// have no Prometheus yet: Prometheus' own scrape, storage, rule and notifier
// packages, Alertmanager's own routing, and one page that shows the checklist.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
)

// Options say what is watched, by which rules, and where the result is shown.
type Options struct {
	Checklist *checklist.Checklist
	// Files are what render.All makes of the checklist; the rules and the
	// routing are taken from them.
	Files []render.File
	// Lang is the language of the page, one of checklist.Languages.
	Lang string
	// Targets are host:port of exporters, scraped under Job.
	Targets        []string
	Job            string
	ScrapeInterval time.Duration
	// StoragePath is the folder of everything that is kept; made when missing.
	StoragePath string
	// Retention is how long samples are kept.
	Retention time.Duration
	// AlertmanagerURL gets all alerts; nil routes them in this process.
	AlertmanagerURL *url.URL
	// ExternalURL is how people reach the page; nil is the listen address.
	ExternalURL *url.URL
	Web         *web.FlagConfig
	Logger      *slog.Logger
	Now         func() time.Time
	// Location is the time zone of the page.
	Location *time.Location
}

// Validate finds what cannot be used as it is, naming the flag of genaictl up.
func (o Options) Validate() error {
	var problems []error
	bad := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	for _, t := range o.Targets {
		if reason := targetFault(t); reason != "" {
			bad("target="+t, "%s", reason)
		}
	}
	if len(o.Targets) == 0 {
		bad("target", "at least one exporter is needed")
	}
	if reason := o.jobFault(); reason != "" {
		bad("job="+o.Job, "%s", reason)
	}
	if o.ScrapeInterval < 100*time.Millisecond || o.ScrapeInterval > 5*time.Minute {
		bad("scrape.interval="+o.ScrapeInterval.String(), "must be between 100ms and 5m: Prometheus takes older samples for gone")
	}
	if o.Retention < 2*time.Hour {
		bad("storage.retention="+o.Retention.String(), "must be 2h or more, the length of a block")
	}
	if o.StoragePath == "" {
		bad("storage.path", "must not be empty")
	}
	if u := o.AlertmanagerURL; u != nil {
		if reason := urlFault(u); reason != "" {
			bad("alertmanager.url", "%s", reason)
		}
	}
	if u := o.ExternalURL; u != nil {
		if reason := urlFault(u); reason != "" {
			bad("web.external-url", "%s", reason)
		} else if u.Path != "" && u.Path != "/" {
			bad("web.external-url", "a path is not supported; serve the page at the root of its own name")
		}
	}
	problems = append(problems, webFaults(o.Web)...)
	return errors.Join(problems...)
}

// ownSource is the source that the targets are.
const ownSource = "genai_exporter"

// jobFault finds a job that the rules would not find: everything would be
// without data.
func (o Options) jobFault() string {
	if o.Job == "" {
		return "must not be empty; the checklist's selectors find the exporter by it"
	}
	selector := o.Checklist.Selectors[ownSource]
	if selector == "" {
		return ""
	}
	matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + selector + "}")
	if err != nil {
		return fmt.Sprintf("the checklist's selectors.%s cannot be read: %v", ownSource, err)
	}
	for _, m := range matchers {
		if m.Name == "job" && !m.Matches(o.Job) {
			return fmt.Sprintf("the checklist's selectors.%s, %s, does not match this job; change one of them", ownSource, m)
		}
	}
	return ""
}

func targetFault(t string) string {
	host, port, err := net.SplitHostPort(t)
	if err != nil || host == "" || port == "" {
		return "want HOST:PORT, such as 127.0.0.1:19400"
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return "the port is not a number from 1 to 65535"
	}
	if u, err := url.Parse("http://" + t); err != nil || u.Host != t {
		return "want HOST:PORT without scheme, path or credentials"
	}
	return ""
}

// urlFault never repeats the URL: it may hold credentials.
func urlFault(u *url.URL) string {
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "want http://HOST:PORT or https://HOST:PORT"
	case u.User != nil:
		return "credentials do not belong on the command line; put a proxy that adds them in front"
	case u.RawQuery != "" || u.Fragment != "":
		return "must not have a query or a fragment"
	}
	return ""
}

// reachable is an address of this machine for one that means all of them.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

// alerter takes alerts from the rules and brings them to people.
type alerter interface {
	rules.Sender
	v1.AlertmanagerRetriever
	stop()
}

// Run serves until ctx ends, then writes everything down. onListen, where it
// is not nil, gets the address once requests are accepted.
func Run(ctx context.Context, o Options, onListen func(net.Addr)) error {
	if err := o.Validate(); err != nil {
		return err
	}
	listener, err := listen(ctx, o.Web)
	if err != nil {
		return err
	}
	defer listener.Close() // the server has closed it by then, or nothing was served
	if o.ExternalURL == nil {
		o.ExternalURL = &url.URL{Scheme: "http", Host: reachable(listener.Addr())}
	}
	s, err := start(o)
	if err != nil {
		return err
	}
	o.Logger.Info("watching", "targets", o.Targets, "checks", len(o.Checklist.Checks()), "scrape_interval", o.ScrapeInterval,
		"storage_path", s.dir.path, "retention", o.Retention)
	handler, err := s.handler()
	if err == nil {
		err = serve(ctx, serving{listener: listener, handler: handler, flags: o.Web, logger: o.Logger}, onListen)
	}
	o.Logger.Info("stopping")
	return errors.Join(err, s.stop())
}

// stack is the running system.
type stack struct {
	o        Options
	registry *prometheus.Registry
	dir      *dataDir
	prom     *promServer
	alerts   alerter
	// router is nil where another Alertmanager gets the alerts.
	router *router
	// forwarder is nil where alerts are routed here.
	forwarder *forwarder
	boards    *boardMaker
	api       apiParts
}

// start opens the data and starts everything behind the page.
func start(o Options) (s *stack, err error) {
	s = &stack{o: o, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.dir, err = openDataDir(o.StoragePath); err != nil {
		return s, err
	}
	if err := s.dir.writeRendered(o.Files); err != nil {
		return s, err
	}
	if s.prom, err = openProm(o, s.dir, s.registry); err != nil {
		return s, err
	}
	if err := s.startAlerter(); err != nil {
		return s, err
	}
	if err := s.prom.run(s.alerts); err != nil {
		return s, err
	}
	s.boards = newBoardMaker(s)
	s.api = newAPI(o, s)
	return s, nil
}

// startAlerter starts what the rules send to. A nil pointer must not get into
// the interface: stop would take it for something that runs.
func (s *stack) startAlerter() (err error) {
	if s.o.AlertmanagerURL != nil {
		f, err := newForwarder(s.prom.conf, s.o.Logger, s.registry)
		if err == nil {
			s.alerts, s.forwarder = f, f
		}
		return err
	}
	if s.router, err = newRouter(s.o, s.dir, s.registry); err == nil {
		s.alerts = s.router
	}
	return err
}

// stop ends in the order in which data flows, so that nothing is lost: first
// scrapes, then rules, then notifications, then the storage.
func (s *stack) stop() error {
	var problems []error
	if s.prom != nil {
		s.prom.stopScraping()
	}
	if s.alerts != nil {
		s.alerts.stop()
	}
	if s.prom != nil {
		problems = append(problems, s.prom.close())
	}
	if s.dir != nil {
		problems = append(problems, s.dir.close())
	}
	return errors.Join(problems...)
}
