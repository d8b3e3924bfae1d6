package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
	"go.yaml.in/yaml/v3"
)

// Prometheus' own defaults, of its command's flags.
const (
	queryMaxSamples  = 50_000_000
	queryTimeout     = 30 * time.Second
	queryConcurrency = 8
	outageTolerance  = time.Hour
	forGracePeriod   = 10 * time.Minute
	resendDelay      = time.Minute
	blockMax         = 31 * 24 * time.Hour
)

// promServer is what Prometheus is made of, less its web interface.
type promServer struct {
	conf        *config.Config
	externalURL *url.URL
	logger      *slog.Logger
	registry    prometheus.Registerer
	ruleFiles   []string

	db     *tsdb.DB
	engine *promql.Engine
	parser parser.Parser
	rules  *rules.Manager
	scrape *scrape.Manager

	stopRules context.CancelFunc
	running   sync.WaitGroup
	once      sync.Once
}

// openProm reads the rules and opens the storage; nothing runs yet.
func openProm(o Options, dir *dataDir, reg prometheus.Registerer) (*promServer, error) {
	p := &promServer{
		externalURL: o.ExternalURL, logger: quietly(o.Logger), registry: reg,
		parser: parser.NewParser(parser.Options{}),
	}
	var err error
	if p.ruleFiles, err = dir.ruleFiles(); err != nil {
		return nil, err
	}
	if p.conf, err = promConfig(o, p.ruleFiles); err != nil {
		return nil, err
	}
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = o.Retention.Milliseconds()
	// As Prometheus does: blocks of a tenth of the retention, at least the smallest and at most a month.
	opts.MaxBlockDuration = min(max(opts.MinBlockDuration, opts.RetentionDuration/10), blockMax.Milliseconds())
	opts.WALCompression = compression.Snappy
	if p.db, err = tsdb.Open(dir.join("tsdb"), p.component("tsdb"), reg, opts, nil); err != nil {
		return nil, fmt.Errorf("--storage.path=%s: %w", o.StoragePath, err)
	}
	tracker, err := promql.NewActiveQueryTracker(dir.join("tsdb"), queryConcurrency, p.component("query tracker"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--storage.path=%s: %w", o.StoragePath, err), p.db.Close())
	}
	p.engine = promql.NewEngine(promql.EngineOpts{
		Logger: p.component("query engine"), Reg: reg,
		MaxSamples: queryMaxSamples, Timeout: queryTimeout, ActiveQueryTracker: tracker,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Duration(o.Checklist.Interval).Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: p.parser,
	})
	return p, nil
}

func (p *promServer) component(name string) *slog.Logger { return p.logger.With("component", name) }

// promConfig writes the configuration that a Prometheus taking over would
// have, and reads it back with Prometheus' own defaults.
func promConfig(o Options, ruleFiles []string) (*config.Config, error) {
	timeout := min(10*time.Second, o.ScrapeInterval)
	doc := map[string]any{
		"global": map[string]any{
			"scrape_interval":     model.Duration(o.ScrapeInterval).String(),
			"scrape_timeout":      model.Duration(timeout).String(),
			"evaluation_interval": o.Checklist.Interval.String(),
		},
		"rule_files": ruleFiles,
		"scrape_configs": []any{map[string]any{
			"job_name": o.Job,
			// The exporter's own labels (namespace, pod) name what it measured.
			"honor_labels":   true,
			"static_configs": []any{map[string]any{"targets": o.Targets}},
		}},
	}
	if u := o.AlertmanagerURL; u != nil {
		doc["alerting"] = map[string]any{"alertmanagers": []any{map[string]any{
			"scheme": u.Scheme, "path_prefix": u.Path,
			"static_configs": []any{map[string]any{"targets": []string{u.Host}}},
		}}}
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("scrape configuration: %w", err)
	}
	conf, err := config.Load(string(text), quietly(o.Logger))
	if err != nil {
		return nil, fmt.Errorf("scrape configuration: %w", err)
	}
	return conf, nil
}

// run starts scraping and evaluating; alerts go to the sender.
func (p *promServer) run(sender rules.Sender) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.stopRules = cancel
	manager, err := scrape.NewManager(&scrape.Options{DiscoveryReloadOnStartup: true}, p.component("scrape manager"), nil, nil, p.db, p.registry)
	if err != nil {
		return fmt.Errorf("scrape manager: %w", err)
	}
	if err := manager.ApplyConfig(p.conf); err != nil {
		return fmt.Errorf("scrape manager: %w", err)
	}
	p.rules = rules.NewManager(&rules.ManagerOptions{
		Appendable: p.db, Queryable: p.db,
		QueryFunc:  rules.EngineQueryFunc(p.engine, p.db),
		NotifyFunc: rules.SendAlerts(sender, p.externalURL.String()),
		Context:    ctx, ExternalURL: p.externalURL, Registerer: p.registry,
		Logger: p.component("rule manager"), OutageTolerance: outageTolerance,
		ForGracePeriod: forGracePeriod, ResendDelay: resendDelay,
		MaxConcurrentEvals:     queryConcurrency,
		DefaultRuleQueryOffset: func() time.Duration { return 0 },
		Parser:                 p.parser,
	})
	interval := time.Duration(p.conf.GlobalConfig.EvaluationInterval)
	if err := p.rules.Update(interval, p.ruleFiles, labels.EmptyLabels(), p.externalURL.String(), nil); err != nil {
		p.rules = nil
		return fmt.Errorf("rules: %w", err)
	}
	p.scrape = manager
	p.running.Go(p.rules.Run)
	p.running.Go(func() {
		if err := manager.Run(staticTargets(p.conf)); err != nil {
			p.logger.Error("scrape manager stopped", "err", err)
		}
	})
	return nil
}

// staticTargets are all targets of the configuration, told once; nothing is
// ever discovered later.
func staticTargets(conf *config.Config) <-chan map[string][]*targetgroup.Group {
	sets := map[string][]*targetgroup.Group{}
	for _, sc := range conf.ScrapeConfigs {
		sets[sc.JobName] = staticGroups(sc.ServiceDiscoveryConfigs)
	}
	ch := make(chan map[string][]*targetgroup.Group, 1)
	ch <- sets
	return ch
}

func staticGroups(configs discovery.Configs) []*targetgroup.Group {
	var groups []*targetgroup.Group
	for _, c := range configs {
		if static, ok := c.(discovery.StaticConfig); ok {
			groups = append(groups, static...)
		}
	}
	return groups
}

// stopScraping ends scrapes and rules; what they wrote stays in the storage.
func (p *promServer) stopScraping() {
	p.once.Do(func() {
		if p.scrape != nil {
			p.scrape.Stop()
		}
		if p.rules != nil {
			p.rules.Stop()
		}
		if p.stopRules != nil {
			p.stopRules()
		}
		p.running.Wait()
	})
}

func (p *promServer) close() error {
	p.stopScraping()
	return errors.Join(p.engine.Close(), p.db.Close())
}
