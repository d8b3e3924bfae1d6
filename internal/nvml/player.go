package nvml

import (
	"context"
	"math"
	"time"
)

// Replay is a time line of GPUs, loaded by LoadReplay.
type Replay struct {
	interval time.Duration
	repeat   time.Duration // 0: it runs once and then stands still
	version  string
	driver   []driverEvent
	gpus     []replayGPU
}

type replayGPU struct {
	id     Identity
	values map[Field]curve
	events []gpuEvent
}

// stuck is a replayed GPU that stops answering and so becomes stale.
const stuck State = "stuck"

type gpuEvent struct {
	at    time.Duration
	state State
}

type driverEvent struct {
	at     time.Duration
	up     bool
	reason string
}

// Player plays a Replay from the moment it was started.
type Player struct {
	replay *Replay
	now    func() time.Time
	start  time.Time
}

// Start begins the time line now.
func (r *Replay) Start(now func() time.Time) *Player {
	return &Player{replay: r, now: now, start: now()}
}

// Run waits for the end of ctx: a replay needs no sampling.
func (p *Player) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Snapshot is the time line at the last sample before now.
func (p *Player) Snapshot() Snapshot {
	elapsed := max(p.now().Sub(p.start), 0)
	sampled := elapsed - elapsed%p.replay.interval
	up, reason, since := p.replay.driverAt(sampled)
	s := Snapshot{DriverUp: up, Reason: reason}
	if up {
		s.Devices = len(p.replay.gpus)
	}
	limit := StaleAfter(p.replay.interval)
	for _, g := range p.replay.gpus {
		answered := sampled
		if !up {
			answered = since
		}
		if answered < 0 {
			continue // the driver never said that this GPU exists
		}
		r := p.reading(g, answered)
		s.GPUs = append(s.GPUs, r.aged(p.now().Sub(r.At), limit))
	}
	sortByUUID(s.GPUs)
	return s
}

// phase is where t lies in the period, and how many periods came before it.
func (r *Replay) phase(t time.Duration) (cycle int64, in time.Duration) {
	if r.repeat == 0 {
		return 0, t
	}
	return int64(t / r.repeat), t % r.repeat
}

// driverAt is whether the driver answers at t, and when it last did: below
// zero if it never has.
func (r *Replay) driverAt(t time.Duration) (up bool, reason string, last time.Duration) {
	cycle, in := r.phase(t)
	up, since := true, time.Duration(0)
	for _, e := range r.driver {
		if e.at > in {
			break
		}
		if up && !e.up {
			since = e.at
		}
		up, reason = e.up, e.reason
	}
	if up {
		return true, "", t
	}
	return false, reason, time.Duration(cycle)*r.repeat + since - r.interval
}

// reading is the GPU as it was when it answered at t.
func (p *Player) reading(g replayGPU, t time.Duration) Reading {
	cycle, in := p.replay.phase(t)
	begin := time.Duration(cycle) * p.replay.repeat
	state, since, lastOK := OK, time.Duration(0), begin-p.replay.interval
	for _, e := range g.events {
		if e.at > in {
			break
		}
		if state == OK {
			lastOK = begin + e.at - p.replay.interval
		}
		state, since = e.state, e.at
	}
	if state == stuck {
		return p.reading(g, begin+since-p.replay.interval)
	}
	if state == OK {
		lastOK = t
	}
	out := Reading{Identity: g.id, State: state}
	out.DriverVersion = p.replay.version
	if lastOK >= 0 {
		out.At = p.start.Add(lastOK)
	}
	if state != OK {
		return out
	}
	out.Values = make(map[Field]float64, len(g.values))
	for f, c := range g.values {
		v, said := c.at(in)
		if !said {
			continue
		}
		if f == Energy {
			if cycle > 0 {
				v += float64(cycle) * p.replay.gain(c)
			}
			// Whole millijoules, as the driver counts: the last bits of a sum
			// would else make a counter fall.
			v = math.Round(v*1e3) / 1e3
		}
		out.Values[f] = v
	}
	return out
}

// gain is what a counter adds in one period, so that it goes on where it was
// when the time line starts again.
func (r *Replay) gain(c curve) float64 {
	first, _ := c.at(0)
	last, _ := c.at(r.repeat)
	return last - first
}
