package stack

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/notifier"
)

// notifierQueue is Prometheus' own default.
const notifierQueue = 10_000

// forwarder sends alerts to an Alertmanager that runs elsewhere.
type forwarder struct {
	*notifier.Manager
	running sync.WaitGroup
	// failing says that the last sending failed.
	failing atomic.Bool
}

func newForwarder(conf *config.Config, logger *slog.Logger, reg prometheus.Registerer) (*forwarder, error) {
	f := &forwarder{}
	opts := &notifier.Options{QueueCapacity: notifierQueue, DrainOnShutdown: true, Registerer: reg, Do: f.do}
	f.Manager = notifier.NewManager(opts, model.UTF8Validation, quietly(logger).With("component", "notifier"))
	if err := f.ApplyConfig(conf); err != nil {
		return nil, fmt.Errorf("--alertmanager.url: %w", err)
	}
	// The notifier names its sets as its own configuration does.
	sets := map[string][]*targetgroup.Group{}
	for name, am := range conf.AlertingConfig.AlertmanagerConfigs.ToMap() {
		sets[name] = staticGroups(am.ServiceDiscoveryConfigs)
	}
	ch := make(chan map[string][]*targetgroup.Group, 1)
	ch <- sets
	f.running.Go(func() { f.Run(ch) })
	return f, nil
}

// do sends as the notifier itself does, and remembers how it went.
func (f *forwarder) do(ctx context.Context, client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req.WithContext(ctx))
	f.failing.Store(err != nil || resp.StatusCode/100 != 2)
	return resp, err //nolint:wrapcheck // the notifier says what it was about
}

func (f *forwarder) stop() {
	f.Stop()
	f.running.Wait()
}
