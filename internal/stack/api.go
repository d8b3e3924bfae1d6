package stack

import (
	"context"
	"errors"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
	"github.com/prometheus/common/version"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	v1 "github.com/prometheus/prometheus/web/api/v1"
)

// apiParts is Prometheus' own API, of which only what reads is mounted.
type apiParts struct{ handler http.Handler }

// apiPaths are the mounted paths below /api/v1: no administration, no
// receiver of samples, no remote read.
func apiPaths() []string {
	return []string{
		"GET query", "POST query", "GET query_range", "POST query_range",
		"GET format_query", "POST format_query", "GET parse_query", "POST parse_query",
		"GET labels", "POST labels", "GET label/{name}/values", "GET series", "POST series",
		"GET metadata", "GET rules", "GET alerts", "GET alertmanagers",
		"GET scrape_pools", "GET targets", "GET targets/metadata",
		"GET status/config", "GET status/flags", "GET status/runtimeinfo", "GET status/buildinfo",
		"GET status/tsdb", "GET status/walreplay",
	}
}

func (a apiParts) mount(mux *http.ServeMux) {
	for _, p := range apiPaths() {
		method, path, _ := strings.Cut(p, " ")
		mux.Handle(method+" /api/v1/"+path, a.handler)
	}
}

func newAPI(o Options, s *stack) apiParts {
	p := s.prom
	started := o.Now()
	api := v1.NewAPI(
		p.engine, p.db, nil, nil, p.db,
		func(context.Context) v1.ScrapePoolsRetriever { return p.scrape },
		func(context.Context) v1.TargetRetriever { return p.scrape },
		func(context.Context) v1.AlertmanagerRetriever { return s.alerts },
		func() config.Config { return *p.conf },
		map[string]string{"storage.retention": model.Duration(o.Retention).String(), "scrape.interval": model.Duration(o.ScrapeInterval).String()},
		v1.GlobalURLOptions{ListenAddress: (*o.Web.WebListenAddresses)[0], Host: o.ExternalURL.Host, Scheme: o.ExternalURL.Scheme},
		func(f http.HandlerFunc) http.HandlerFunc { return f },
		dbStatus{p.db}, s.dir.join("tsdb"), false, false, 0,
		p.component("api"),
		func(context.Context) v1.RulesRetriever { return p.rules },
		0, 0, 0, false,
		nil, // no origin is allowed, and none is passed on
		func() (v1.RuntimeInfo, error) { return runtimeInfo(o, started), nil },
		&v1.PrometheusVersion{
			Version: version.Version, Revision: version.Revision, Branch: version.Branch,
			BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
		},
		nil, nil, s.registry, s.registry, nil,
		false, nil, false, false, false, false,
		5*time.Minute, false, false, nil, nil,
		v1.OpenAPIOptions{}, p.parser,
	)
	router := route.New().WithPrefix("/api/v1")
	api.Register(router)
	return apiParts{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without an origin the API has no cross-origin headers to set.
		r = r.Clone(r.Context())
		r.Header.Del("Origin")
		router.ServeHTTP(w, r)
	})}
}

// dbStatus is the storage as the status pages see it; what changes the
// storage is refused here as well as not mounted.
type dbStatus struct{ db *tsdb.DB }

var errReadOnly = errors.New("genaictl up is read-only")

func (d dbStatus) CleanTombstones() error { return errReadOnly }

func (d dbStatus) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return errReadOnly
}

func (d dbStatus) Snapshot(string, bool) error { return errReadOnly }

func (d dbStatus) Stats(label string, limit int) (*tsdb.Stats, error) {
	return d.db.Head().Stats(label, limit), nil
}

// WALReplayStatus is that of a finished replay: nothing is served before.
func (d dbStatus) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }

func (d dbStatus) BlockMetas() ([]tsdb.BlockMeta, error) { return d.db.BlockMetas(), nil }

func runtimeInfo(o Options, started time.Time) v1.RuntimeInfo {
	cwd, err := os.Getwd()
	if err != nil {
		cwd = ""
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return v1.RuntimeInfo{
		StartTime: started, CWD: cwd, Hostname: host, ServerTime: o.Now(),
		ReloadConfigSuccess: true, LastConfigTime: started,
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		GOMEMLIMIT: debug.SetMemoryLimit(-1), GOGC: os.Getenv("GOGC"), GODEBUG: os.Getenv("GODEBUG"),
		StorageRetention: model.Duration(o.Retention).String(),
	}
}
