package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/config"
	"github.com/genai-exporter/genai-exporter/internal/tail"
)

// How often files are looked at, and how often totals are made durable. Their
// sum bounds the age of what a scrape shows of a line: below one second.
const (
	pollInterval       = 250 * time.Millisecond
	checkpointInterval = 500 * time.Millisecond
)

// RequestLogOptions are what NewRequestLog needs.
type RequestLogOptions struct {
	// StateDir holds the state file; "" keeps the state in memory, so that a
	// restart counts from 0 and reads from where the configuration says.
	StateDir string
	// Config is a valid configuration; nil is the zero configuration.
	Config *config.Config
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Wake lets Run look at the files; a ticker of 250 ms by default.
	Wake <-chan time.Time
}

// RequestLog counts the requests that JSON-lines files tell of. It shows the
// totals of its last durable checkpoint, so that nothing a scrape has seen
// goes back, through a restart and through a kill.
type RequestLog struct {
	logger *slog.Logger
	o      RequestLogOptions
	store  *store // nil in memory

	mu        sync.Mutex // held while counting and while swapping configurations
	cfg       *config.Config
	allow     map[string]bool
	groups    []*follow
	totals    *totals
	dirty     bool
	saved     time.Time
	failing   bool
	failures  uint64
	discarded bool

	published atomic.Pointer[published]
	live      atomic.Pointer[live]
}

// published is what a scrape shows of the totals.
type published struct {
	totals *totals
	at     time.Time
}

// live is what a scrape shows of this moment.
type live struct {
	groups    []groupLive
	failures  uint64
	discarded bool
	failing   bool
	cfg       *config.Config
}

type groupLive struct {
	name     string
	lag      int64
	files    int
	readable bool
}

// follow is one group of files at work.
type follow struct {
	cfg      *config.RequestLog
	follower *tail.Follower
	parser   *lineParser
	counts   *group
	cache    map[string]*series
	live     groupLive
	problem  string // why not every file could be read at the last look
	bounds   [numBounds]float64
	rec      record
}

// NewRequestLog goes on from the state in o.StateDir. A state directory that
// another process uses is an error. One that cannot be written is logged and
// shown (genai_requestlog_checkpoint_failures_total) while the totals shown
// stand still.
func NewRequestLog(logger *slog.Logger, o RequestLogOptions) (*RequestLog, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Config == nil {
		o.Config = &config.Config{}
	}
	r := &RequestLog{logger: logger, o: o, totals: &totals{}, dirty: true}
	if o.StateDir != "" {
		if err := r.restore(); err != nil {
			return nil, err
		}
	}
	if err := r.configure(o.Config); err != nil {
		return nil, errors.Join(err, r.closeStore())
	}
	r.publish(time.Time{})
	return r, nil
}

// restore opens the state directory and takes the totals from it.
func (r *RequestLog) restore() (err error) {
	if r.store, err = openStore(r.o.StateDir); err != nil {
		return err
	}
	t, err := r.store.load(r.o.Now())
	switch {
	case errors.Is(err, errStateUnusable):
		r.discarded = true
		r.logger.Error("state file set aside, counters start at 0", "err", err)
	case err != nil:
		return errors.Join(err, r.closeStore())
	case t != nil:
		r.totals = t
	}
	return nil
}

func (r *RequestLog) closeStore() error {
	if r.store == nil {
		return nil
	}
	return r.store.close()
}

// configure builds the groups of c. Groups go on from the positions in the
// totals; groups without any start as at a first start.
func (r *RequestLog) configure(c *config.Config) error {
	for _, g := range r.groups {
		g.counts.Positions = g.follower.Positions()
	}
	var groups []*follow
	for i := range c.RequestLogs {
		g := &c.RequestLogs[i]
		var known group
		if i := slices.IndexFunc(r.totals.Groups, func(x *group) bool { return x.Name == g.Name }); i >= 0 {
			known = *r.totals.Groups[i]
		}
		f, err := tail.New(tail.Options{
			Patterns: g.Files, FromStart: g.Start == config.StartBeginning, MaxLine: g.MaxLineBytes, Now: r.o.Now,
		}, known.Positions, known.Files)
		if err != nil {
			return fmt.Errorf("request log %q: %w", g.Name, err)
		}
		groups = append(groups, &follow{cfg: g, follower: f, parser: newLineParser(g), cache: map[string]*series{}, bounds: durationBounds()})
	}
	for _, old := range r.groups {
		_ = old.follower.Close() // read only: nothing can be lost in closing
	}
	r.groups, r.cfg, r.allow = groups, c, map[string]bool{}
	for _, m := range c.Models.Allow {
		r.allow[m] = true
	}
	r.totals.Groups = slices.DeleteFunc(r.totals.Groups, func(g *group) bool {
		return !slices.ContainsFunc(groups, func(f *follow) bool { return f.cfg.Name == g.Name })
	})
	for _, f := range groups {
		f.counts = r.totals.groupOf(f.cfg.Name)
		f.live = groupLive{name: f.cfg.Name, readable: true}
		for _, m := range c.Models.Allow {
			r.totals.seriesOf(f.cfg.Namespace, m)
		}
		if len(c.Models.Allow) > 0 {
			r.totals.seriesOf(f.cfg.Namespace, otherModel)
		}
	}
	r.dirty = true
	return nil
}

// Reload swaps the configuration between two checkpoints: files go on where
// they were, prices hold for the lines read from now on.
func (r *RequestLog) Reload(c *config.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.configure(c)
}

// Name is requestlog.
func (r *RequestLog) Name() string { return "requestlog" }

// Run follows the files until ctx ends, then checkpoints and closes.
func (r *RequestLog) Run(ctx context.Context) error {
	wake := r.o.Wake
	if wake == nil {
		t := time.NewTicker(pollInterval)
		defer t.Stop()
		wake = t.C
	}
	for {
		for r.turn() && ctx.Err() == nil {
		}
		select {
		case <-ctx.Done():
			return r.Close()
		case <-wake:
		}
	}
}

// turn reads what is new, within bounds, and checkpoints when it is time. It
// tells whether there is more to read at once.
func (r *RequestLog) turn() (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		if r.poll(g) {
			more = true
		}
	}
	if now := r.o.Now(); r.dirty && (r.store == nil || now.Sub(r.saved) >= checkpointInterval || now.Before(r.saved)) {
		r.checkpoint(now)
	}
	r.publishLive()
	return more
}

// poll reads one group.
func (r *RequestLog) poll(g *follow) (more bool) {
	now := r.o.Now()
	p, err := g.follower.Poll(func(l tail.Line) { r.line(g, l, now) })
	r.complain(g, err)
	if p.Gaps > 0 {
		r.logger.Warn("request log has a gap", "group", g.cfg.Name, "gaps", p.Gaps, "lost_bytes", p.Lost)
	}
	g.counts.Files = g.cfg.Files
	g.counts.Gaps += uint64(p.Gaps)
	g.counts.Lost += uint64(p.Lost)
	g.live = groupLive{name: g.cfg.Name, lag: p.Lag, files: p.Files, readable: err == nil}
	r.dirty = r.dirty || p.Moved || p.Lines > 0
	return p.More && err == nil
}

// complain logs what keeps files from being read, once and again when it
// changes, and its end.
func (r *RequestLog) complain(g *follow, err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	switch {
	case problem == g.problem:
	case err != nil:
		r.logger.Warn("request log not readable", "group", g.cfg.Name, "err", err)
	default:
		r.logger.Info("request log readable again", "group", g.cfg.Name)
	}
	g.problem = problem
}

// line counts one line.
func (r *RequestLog) line(g *follow, l tail.Line, now time.Time) {
	if l.TooLong {
		g.counts.Results[lineTooLong]++
		return
	}
	res := g.parser.parse(l.Data, &g.rec)
	g.counts.Results[res]++
	if res != lineOK {
		return
	}
	s := g.cache[string(g.rec.model)]
	if s == nil {
		name := string(g.rec.model)
		label := r.totals.admit(name, r.allow)
		s = r.totals.seriesOf(g.cfg.Namespace, label)
		if label == name {
			g.cache[name] = s // bounded by what is admitted
		}
	}
	book, at := r.cfg.Prices.Book, now
	if book != nil {
		at = eventTime(g.rec.at, now)
	}
	s.count(&g.rec, book.Cost(string(g.rec.model), g.rec.usage, at), &g.bounds)
}

// checkpoint makes the totals durable and only then shows them.
func (r *RequestLog) checkpoint(now time.Time) {
	for _, g := range r.groups {
		g.counts.Positions = g.follower.Positions()
	}
	r.saved = now
	if r.store != nil {
		if err := r.store.save(r.totals); err != nil {
			r.failures++
			if !r.failing {
				r.logger.Error("checkpoint not written, totals stand still", "err", err)
			}
			r.failing = true
			return
		}
	}
	if r.failing {
		r.logger.Info("checkpoint written again")
	}
	r.failing, r.dirty = false, false
	r.publish(now)
}

func (r *RequestLog) publish(at time.Time) {
	r.published.Store(&published{totals: r.totals.clone(), at: at})
	r.publishLive()
}

func (r *RequestLog) publishLive() {
	l := &live{failures: r.failures, discarded: r.discarded, failing: r.failing, cfg: r.cfg}
	for _, g := range r.groups {
		l.groups = append(l.groups, g.live)
	}
	r.live.Store(l)
}

// Close checkpoints and lets go of the files and the state directory.
func (r *RequestLog) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.dirty {
		r.checkpoint(r.o.Now())
		if r.failing {
			err = errors.New("last checkpoint not written: lines since the one before are read again at the next start")
		}
	}
	for _, g := range r.groups {
		err = errors.Join(err, g.follower.Close())
	}
	r.groups = nil
	return errors.Join(err, r.closeStore())
}
