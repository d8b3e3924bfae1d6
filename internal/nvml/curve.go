package nvml

import (
	"sort"
	"time"
)

// curve is how a replayed value runs within one period.
type curve interface {
	// at is the value at t; false where the GPU does not say.
	at(t time.Duration) (float64, bool)
	// area is the integral from 0 to t, in value × seconds.
	area(t time.Duration) float64
}

// point is a value at a moment; said is false where the GPU does not say.
type point struct {
	at   time.Duration
	v    float64
	said bool
}

// line runs straight from point to point and is flat outside them. A constant
// has one point, a ramp two.
type line []point

func (l line) at(t time.Duration) (float64, bool) {
	i := sort.Search(len(l), func(i int) bool { return l[i].at > t })
	switch {
	case i == 0:
		return l[0].v, true
	case i == len(l):
		return l[i-1].v, true
	}
	a, b := l[i-1], l[i]
	return a.v + (b.v-a.v)*float64(t-a.at)/float64(b.at-a.at), true
}

func (l line) area(t time.Duration) float64 {
	var sum float64
	var from time.Duration
	v := l[0].v
	for _, p := range l {
		if p.at >= t {
			break
		}
		sum += (v + p.v) / 2 * (p.at - from).Seconds()
		from, v = p.at, p.v
	}
	end, _ := l.at(t)
	return sum + (v+end)/2*(t-from).Seconds()
}

// steps holds each value until the next.
type steps []point

func (s steps) at(t time.Duration) (float64, bool) {
	i := sort.Search(len(s), func(i int) bool { return s[i].at > t })
	if i == 0 {
		return 0, false
	}
	return s[i-1].v, s[i-1].said
}

func (s steps) area(t time.Duration) float64 {
	var sum float64
	for i, p := range s {
		if p.at >= t {
			break
		}
		until := t
		if i+1 < len(s) && s[i+1].at < t {
			until = s[i+1].at
		}
		if p.said {
			sum += p.v * (until - p.at).Seconds()
		}
	}
	return sum
}

// wave runs straight from low to high and back, once every period.
type wave struct {
	low, high float64
	every     time.Duration
}

func (w wave) at(t time.Duration) (float64, bool) {
	phase := float64(t%w.every) / float64(w.every)
	if phase > 0.5 {
		phase = 1 - phase
	}
	return w.low + (w.high-w.low)*2*phase, true
}

func (w wave) area(t time.Duration) float64 {
	whole := t / w.every
	half := w.every / 2
	one := line{{at: 0, v: w.low}, {at: half, v: w.high}, {at: w.every, v: w.low}}
	return float64(whole)*one.area(w.every) + one.area(t%w.every)
}

// integral grows by another value's area: energy from power.
type integral struct {
	start float64
	of    curve
}

func (i integral) at(t time.Duration) (float64, bool) { return i.start + i.of.area(t), true }

// area is never asked for: an integral of an integral is refused on load.
func (i integral) area(t time.Duration) float64 { return 0 }
