package nvml

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// DriverOptions is how a Driver runs its worker. Only Command is required.
type DriverOptions struct {
	// Command starts the worker: this program and its hidden subcommand.
	Command []string
	// Interval must be what the worker was told; 0: one second.
	Interval time.Duration
	// StallAfter without a reading ends the worker; 0: five intervals, at
	// least 15 seconds.
	StallAfter time.Duration
	// StartTimeout is how long the first reading may take, because a driver
	// without persistence mode starts every GPU first; 0: one minute.
	StartTimeout time.Duration
	// RetryAfter is the wait before a driver that is not there is looked for
	// again; 0: one minute.
	RetryAfter time.Duration
	// Required says that GPUs were asked for by name: their absence is then a
	// warning, not a remark.
	Required bool
}

// Driver keeps one worker running and remembers what it said. It never blocks
// a Snapshot.
type Driver struct {
	logger *slog.Logger
	o      DriverOptions
	start  func([]string) (process, error)

	mu       sync.Mutex
	known    map[string]*seen
	devices  int
	alive    time.Time // the last frame that shows a working driver
	reason   string    // why there is no working driver
	restarts uint64
	stuck    int  // workers that were killed and are still there
	wedged   bool // too many of them
	troubles string
	lastEnd  string // how a worker ended last
}

// seen is one GPU and when, by our own clock, it was heard of.
type seen struct {
	Reading
	at time.Time
}

// maxStuck is how many workers that cannot be killed are left behind.
const maxStuck = 2

// maxGPUs bounds what is remembered, whatever a worker says.
const maxGPUs = 256

// The waits between workers: doubled after each that did not last.
const (
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	lastedAfter  = time.Minute
)

// NewDriver makes a Driver; Run starts it.
func NewDriver(logger *slog.Logger, o DriverOptions) *Driver {
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.StallAfter = cmp.Or(o.StallAfter, max(5*o.Interval, 15*time.Second))
	o.StartTimeout = max(cmp.Or(o.StartTimeout, time.Minute), o.StallAfter)
	o.RetryAfter = cmp.Or(o.RetryAfter, time.Minute)
	return &Driver{logger: logger, o: o, start: startProcess, known: map[string]*seen{}, reason: "the driver has not answered yet"}
}

// Snapshot is the last good state, aged to now.
func (d *Driver) Snapshot() Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := StaleAfter(d.o.Interval)
	s := Snapshot{Devices: d.devices, Restarts: d.restarts}
	s.DriverUp = d.reason == "" && time.Since(d.alive) <= limit
	switch {
	case d.reason != "":
		s.Reason = d.reason
	case !s.DriverUp:
		s.Reason = fmt.Sprintf("the driver has not answered for %s", time.Since(d.alive).Truncate(time.Second))
	}
	for _, g := range d.known {
		r := g.aged(time.Since(g.at), limit).clone()
		if r.State == Stale && d.wedged {
			r.State = Wedged
		}
		s.GPUs = append(s.GPUs, r)
	}
	sortByUUID(s.GPUs)
	return s
}

// Run keeps a worker running until ctx ends, and then ends the worker.
func (d *Driver) Run(ctx context.Context) error {
	backOff := firstBackOff
	exits := make(chan struct{}, 1)
	for ctx.Err() == nil {
		begin := time.Now()
		end := d.session(ctx, exits)
		if ctx.Err() != nil {
			break
		}
		if end.final {
			d.down(end.err)
			<-ctx.Done()
			break
		}
		d.ended(end)
		if !d.wait(ctx, exits) {
			break
		}
		wait := backOff
		switch {
		case end.down:
			wait = d.o.RetryAfter
		case end.fresh:
			wait, backOff = 0, firstBackOff
		case time.Since(begin) >= lastedAfter:
			wait, backOff = firstBackOff, firstBackOff
			d.lasted()
		default:
			backOff = min(2*backOff, maxBackOff)
		}
		sleep(ctx, jitter(wait))
	}
	return ctx.Err()
}

// ended counts the end of a worker that nobody asked for, and logs it when it
// is not the same as the one before.
func (d *Driver) ended(end ending) {
	if end.down {
		d.down(end.err)
		return
	}
	d.mu.Lock()
	changed := d.lastEnd != end.err.Error()
	d.lastEnd = end.err.Error()
	if end.fresh {
		d.mu.Unlock()
		if changed {
			d.logger.Info("gpu worker is replaced to look at the machine anew", "reason", end.err)
		}
		return
	}
	d.restarts++
	if time.Since(d.alive) > StaleAfter(d.o.Interval) {
		d.reason = end.err.Error()
	}
	d.mu.Unlock()
	if changed {
		d.logger.Warn("gpu worker ended, a new one is started", "err", end.err)
	}
}

// lasted forgets how the worker before ended, so that the next end is news.
func (d *Driver) lasted() {
	d.mu.Lock()
	d.lastEnd = ""
	d.mu.Unlock()
}

// down notes why the driver cannot be asked, and logs that once per reason.
func (d *Driver) down(err error) {
	d.mu.Lock()
	changed := d.reason != err.Error()
	d.reason = err.Error()
	d.mu.Unlock()
	switch {
	case !changed:
	case d.o.Required:
		d.logger.Warn("no gpu readings", "reason", err)
	default:
		d.logger.Info("no gpu readings", "reason", err)
	}
}

// wait holds the next worker back while too many cannot be killed; it is false
// when ctx ended.
func (d *Driver) wait(ctx context.Context, exits <-chan struct{}) bool {
	for {
		d.mu.Lock()
		was, stuck := d.wedged, d.stuck
		d.wedged = stuck >= maxStuck
		now := d.wedged
		if now {
			d.reason = fmt.Sprintf("wedged: %d workers sit in driver calls that cannot be interrupted", stuck)
		}
		d.mu.Unlock()
		if now && !was {
			d.logger.Error("gpu workers cannot be killed, no new one is started", "workers", stuck)
		}
		if !now {
			return true
		}
		select {
		case <-exits:
		case <-ctx.Done():
			return false
		}
	}
}

// take remembers what a frame says.
func (d *Driver) take(f frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	switch f.Kind {
	case kindBeat:
		d.alive = now
		d.devices = f.Beat.Devices
		if f.Beat.Settled {
			d.missing(f.Beat, now)
		}
		// Without troubles only a settled worker knows that there are none.
		if f.Beat.Settled || len(f.Beat.Troubles) > 0 {
			d.note(f.Beat.Troubles)
		}
	case kindReading:
		d.alive = now
		d.remember(*f.GPU, now)
	default:
		return
	}
	if d.reason != "" {
		d.reason = ""
		d.logger.Info("gpu driver answers", "gpus", d.devices)
	}
}

// remember keeps a reading; a GPU that is not OK keeps the moment when it was.
func (d *Driver) remember(r Reading, now time.Time) {
	old, again := d.known[r.UUID]
	if !again && len(d.known) >= maxGPUs {
		return
	}
	if r.State != OK {
		r.At = time.Time{}
		if again {
			r.At = old.At
		}
	}
	if again && old.State != r.State {
		d.logger.Warn("gpu changed its state", "uuid", r.UUID, "from", old.State, "to", r.State)
	}
	d.known[r.UUID] = &seen{Reading: r, at: now}
}

// missing marks the GPUs that the driver no longer lists: they are lost, or in
// the state of the one that would not say who it is.
func (d *Driver) missing(b *beat, now time.Time) {
	state := Lost
	if len(b.Refused) > 0 {
		state = b.Refused[0]
	}
	for uuid, g := range d.known {
		if !slices.Contains(b.Listed, uuid) && g.State != state {
			gone := g.Reading
			gone.State, gone.Values = state, nil
			d.remember(gone, now)
		}
	}
}

// note logs what is wrong with single GPUs when that changes. A new worker is
// without troubles until its first reading: that is no change.
func (d *Driver) note(troubles []string) {
	text := strings.Join(troubles, "; ")
	if text == d.troubles || text == "" && d.unwell() {
		return
	}
	d.troubles = text
	if text != "" {
		d.logger.Warn("gpus in trouble", "reason", text)
	}
}

// unwell tells whether a GPU is known not to be OK.
func (d *Driver) unwell() bool {
	for _, g := range d.known {
		if g.State != OK {
			return true
		}
	}
	return false
}

// ending is why a worker is no more.
type ending struct {
	err                error
	down, final, fresh bool
}

var errStalled = errors.New("the gpu worker sent no reading in time and was replaced")

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// jitter keeps the exporters of a fleet from moving in step.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/5+1))
}
