package nvml

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// head makes a replay of one GPU whose values follow.
const head = "gpus:\n- uuid: GPU-a\n  index: 0\n  values:\n"

func TestReplayErrorsNameLineAndField(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"empty":              {"", "gpus.yaml: empty: want at least gpus"},
		"no-mapping":         {"- 1\n", `gpus.yaml:1: want a mapping of driver_events, driver_version, gpus, interval, repeat, got a list`},
		"two-documents":      {"gpus: []\n---\ngpus: []\n", "gpus.yaml: more than one document"},
		"no-gpus":            {"repeat: 10s\n", "gpus.yaml:1: gpus: missing: want a list, which may be empty"},
		"syntax":             {"gpus: [\n", "gpus.yaml:1: did not find expected node content"},
		"unknown-field":      {"gpus: []\nperiod: 10s\n", "gpus.yaml:2: period: unknown field: want one of driver_events, driver_version, gpus, interval, repeat"},
		"twice":              {"gpus: []\nrepeat: 10s\nrepeat: 10s\n", "gpus.yaml:3: repeat: given twice"},
		"bad-duration":       {"gpus: []\nrepeat: 10\n", `gpus.yaml:2: repeat: want a duration such as 40s or 1m30s, got "10"`},
		"negative-duration":  {"gpus: []\nrepeat: -10s\n", `gpus.yaml:2: repeat: want a duration such as 40s or 1m30s, got "-10s"`},
		"short-interval":     {"interval: 99ms\ngpus: []\n", "gpus.yaml:1: interval: must be at least 100ms, got 99ms"},
		"short-repeat":       {"repeat: 999ms\ngpus: []\n", "gpus.yaml:1: repeat: must be at least the interval 1s, got 999ms"},
		"alias":              {"gpus: []\ndriver_version: &a \"1\"\nrepeat: *a\n", "gpus.yaml:3: repeat: want a duration such as 40s or 1m30s, got an alias, which is not supported"},
		"no-uuid":            {"gpus:\n- index: 0\n", "gpus.yaml:2: gpus[0].uuid: missing"},
		"no-index":           {"gpus:\n- uuid: GPU-a\n", "gpus.yaml:2: gpus[0].index: missing"},
		"bad-index":          {"gpus:\n- uuid: GPU-a\n  index: 1.5\n", "gpus.yaml:3: gpus[0].index: want a whole number from 0, got \"1.5\""},
		"same-uuid":          {"gpus:\n- {uuid: a, index: 0}\n- {uuid: a, index: 1}\n", "gpus.yaml:3: gpus[1].uuid: a is gpus[0] already"},
		"same-index":         {"gpus:\n- {uuid: a, index: 0}\n- {uuid: b, index: 0}\n", "gpus.yaml:3: gpus[1].index: 0 is gpus[0] already"},
		"unknown-value":      {head + "    temperature: 5\n", "gpus.yaml:5: gpus[0].values.temperature: unknown field: want one of energy_joules, graphics_clock_hertz, memory_clock_hertz, memory_free_bytes, memory_reserved_bytes, memory_total_bytes, memory_used_bytes, memory_utilization_ratio, power_limit_watts, power_watts, sm_clock_hertz, temperature_celsius, temperature_slowdown_celsius, utilization_ratio, video_clock_hertz"},
		"percent":            {head + "    utilization_ratio: 55\n", "gpus.yaml:5: gpus[0].values.utilization_ratio: utilization_ratio cannot be 55: want a ratio from 0 to 1"},
		"fahrenheit":         {head + "    temperature_celsius: 201\n", "gpus.yaml:5: gpus[0].values.temperature_celsius: temperature_celsius cannot be 201: want degrees from 0 to 200"},
		"negative":           {head + "    power_watts: -1\n", "gpus.yaml:5: gpus[0].values.power_watts: power_watts cannot be -1: want a number from 0 to 1e18"},
		"not-a-number":       {head + "    power_watts: .nan\n", `gpus.yaml:5: gpus[0].values.power_watts: want a number, got ".nan"`},
		"nan":                {head + "    power_watts: nan\n", `gpus.yaml:5: gpus[0].values.power_watts: power_watts cannot be NaN: want a number from 0 to 1e18`},
		"nothing":            {head + "    power_watts:\n", "gpus.yaml:5: gpus[0].values.power_watts: want a number, got nothing"},
		"unit-elsewhere":     {head + "    power_watts: 1GiB\n", `gpus.yaml:5: gpus[0].values.power_watts: want a number, got "1GiB"`},
		"no-form":            {head + "    power_watts: {}\n", "gpus.yaml:5: gpus[0].values.power_watts: want a number or exactly one of points, ramp, steps, wave"},
		"two-forms":          {head + "    power_watts: {points: {0s: 1}, steps: {0s: 1}}\n", "gpus.yaml:5: gpus[0].values.power_watts: want a number or exactly one of points, ramp, steps, wave"},
		"points-order":       {head + "    power_watts:\n      points:\n        5s: 1\n        5s: 2\n", "gpus.yaml:8: gpus[0].values.power_watts.points: 5s does not come after 5s"},
		"points-silent":      {head + "    power_watts: {points: {0s: null}}\n", "gpus.yaml:5: gpus[0].values.power_watts.points.0s: want a number, got nothing"},
		"no-points":          {head + "    power_watts: {points: {}}\n", "gpus.yaml:5: gpus[0].values.power_watts.points: want a mapping of moments to values such as {0s: 61, 20s: 79}, got a mapping"},
		"ramp-incomplete":    {head + "    power_watts: {ramp: {from: 1, over: 5s}}\n", "gpus.yaml:5: gpus[0].values.power_watts.ramp.to: missing"},
		"ramp-at-once":       {head + "    power_watts: {ramp: {from: 1, to: 2, over: 0s}}\n", "gpus.yaml:5: gpus[0].values.power_watts.ramp.over: must be longer than 0s"},
		"wave-too-fast":      {head + "    power_watts: {wave: {low: 1, high: 2, every: 1us}}\n", "gpus.yaml:5: gpus[0].values.power_watts.wave.every: must be at least 1ms"},
		"energy-falls":       {head + "    energy_joules: {points: {0s: 2, 5s: 1}}\n", "gpus.yaml:5: gpus[0].values.energy_joules: a counter must not fall: want constant, rising points, steps or ramp, or integral_of"},
		"energy-waves":       {head + "    energy_joules: {wave: {low: 1, high: 2, every: 5s}}\n", "gpus.yaml:5: gpus[0].values.energy_joules: a counter must not fall: want constant, rising points, steps or ramp, or integral_of"},
		"energy-of-nothing":  {head + "    energy_joules: {integral_of: power_watts}\n", "gpus.yaml:5: gpus[0].values.energy_joules.integral_of: want power_watts, and its values beside it"},
		"event-state":        {"gpus:\n- {uuid: a, index: 0, events: [{at: 5s, state: gone}]}\n", `gpus.yaml:2: gpus[0].events[0].state: want one of [ok lost reset_required unavailable stuck], got "gone"`},
		"event-order":        {"gpus:\n- {uuid: a, index: 0, events: [{at: 5s, state: lost}, {at: 5s, state: ok}]}\n", "gpus.yaml:2: gpus[0].events[1].at: 5s does not come after 5s"},
		"event-not-reached":  {"repeat: 5s\ngpus:\n- {uuid: a, index: 0, events: [{at: 5s, state: lost}]}\n", "gpus.yaml:3: gpus[0].events[0].at: 5s is not reached: the time line repeats every 5s"},
		"stuck-at-once":      {"gpus:\n- {uuid: a, index: 0, events: [{at: 999ms, state: stuck}]}\n", "gpus.yaml:2: gpus[0].events[0].at: a GPU has to answer once before it is stuck: want at least 1s"},
		"driver-state":       {"gpus: []\ndriver_events: [{at: 5s, state: gone}]\n", `gpus.yaml:2: driver_events[0].state: want up or down, got "gone"`},
		"driver-no-reason":   {"gpus: []\ndriver_events: [{at: 5s, state: down}]\n", "gpus.yaml:2: driver_events[0].reason: missing: say why the driver is down"},
		"driver-up-reason":   {"gpus: []\ndriver_events: [{at: 5s, state: up, reason: x}]\n", "gpus.yaml:2: driver_events[0].reason: only for state down"},
		"driver-not-reached": {"repeat: 5s\ngpus: []\ndriver_events: [{at: 5s, state: up}]\n", "gpus.yaml:3: driver_events[0].at: 5s is not reached: the time line repeats every 5s"},
		"several-at-once":    {"gpus: []\na: 1\nb: 2\n", "gpus.yaml:2: a: unknown field: want one of driver_events, driver_version, gpus, interval, repeat\ngpus.yaml:3: b: unknown field: want one of driver_events, driver_version, gpus, interval, repeat"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := LoadReplay("gpus.yaml", strings.NewReader(tc.text))
			if err == nil {
				t.Fatalf("loaded %+v, want error %s", r, tc.want)
			}
			if r != nil {
				t.Error("a replay came with the error")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplayIsBounded(t *testing.T) {
	t.Parallel()
	endless := strings.NewReader("gpus: []\n" + strings.Repeat("#", maxReplaySize))
	if _, err := LoadReplay("big.yaml", endless); err == nil || err.Error() != "big.yaml: larger than 32 MiB" {
		t.Errorf("got %v", err)
	}
}

func TestCurvesAndTheirAreas(t *testing.T) {
	t.Parallel()
	s := time.Second
	for name, tc := range map[string]struct {
		c        curve
		at       time.Duration
		v        float64
		said     bool
		areaFrom float64
	}{
		"constant":           {line{{v: 3}}, 5 * s, 3, true, 15},
		"line-before":        {line{{at: 2 * s, v: 1}, {at: 4 * s, v: 3}}, 1 * s, 1, true, 1},
		"line-at":            {line{{at: 2 * s, v: 1}, {at: 4 * s, v: 3}}, 2 * s, 1, true, 2},
		"line-between":       {line{{at: 2 * s, v: 1}, {at: 4 * s, v: 3}}, 3 * s, 2, true, 3.5},
		"line-after":         {line{{at: 2 * s, v: 1}, {at: 4 * s, v: 3}}, 5 * s, 3, true, 9},
		"steps-before":       {steps{{at: 2 * s, v: 1, said: true}}, 2*s - 1, 0, false, 0},
		"steps-at":           {steps{{at: 2 * s, v: 1, said: true}}, 2 * s, 1, true, 0},
		"steps-silent":       {steps{{v: 5, said: true}, {at: 2 * s}, {at: 3 * s, v: 7, said: true}}, 2500 * time.Millisecond, 0, false, 10},
		"steps-after":        {steps{{v: 5, said: true}, {at: 2 * s}, {at: 3 * s, v: 7, said: true}}, 4 * s, 7, true, 17},
		"wave-low":           {wave{1, 3, 4 * s}, 0, 1, true, 0},
		"wave-high":          {wave{1, 3, 4 * s}, 2 * s, 3, true, 4},
		"wave-down":          {wave{1, 3, 4 * s}, 3 * s, 2, true, 6.5},
		"wave-second-period": {wave{1, 3, 4 * s}, 9 * s, 2, true, 17.5},
		"integral":           {integral{100, line{{v: 3}}}, 5 * s, 115, true, math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, said := tc.c.at(tc.at)
			if v != tc.v || said != tc.said {
				t.Errorf("at %s: got %v, %v, want %v, %v", tc.at, v, said, tc.v, tc.said)
			}
			if area := tc.c.area(tc.at); !math.IsNaN(tc.areaFrom) && math.Abs(area-tc.areaFrom) > 1e-9 {
				t.Errorf("area to %s: got %v, want %v", tc.at, area, tc.areaFrom)
			}
		})
	}
}

// startReplay plays text by a clock that the returned function moves to an
// offset from the start.
func startReplay(t testing.TB, text string) func(time.Duration) Snapshot {
	t.Helper()
	r, err := LoadReplay("gpus.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Unix(1_700_000_000, 0)
	now := begin
	p := r.Start(func() time.Time { return now })
	return func(offset time.Duration) Snapshot {
		now = begin.Add(offset)
		return p.Snapshot()
	}
}

func TestEnergyNeverFallsOnRepeat(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"integral-of-wave":   "    power_watts: {wave: {low: 1, high: 300, every: 7s}}\n    energy_joules: {integral_of: power_watts, start: 5}\n",
		"integral-of-steps":  "    power_watts: {steps: {3s: 100, 5s: null, 6s: 50}}\n    energy_joules: {integral_of: power_watts}\n",
		"integral-of-points": "    power_watts: {points: {2s: 10, 4s: 90, 20s: 0}}\n    energy_joules: {integral_of: power_watts}\n",
		"points":             "    energy_joules: {points: {0s: 5, 10s: 500}}\n",
		"steps-late":         "    energy_joules: {steps: {4s: 5, 8s: 500}}\n",
		"constant":           "    energy_joules: 7\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := startReplay(t, "repeat: 10s\ninterval: 100ms\n"+head+text)
			last, grew := 0.0, 0
			for offset := time.Duration(0); offset < 65*time.Second; offset += 100 * time.Millisecond {
				v, said := at(offset).GPUs[0].Values[Energy]
				if !said {
					continue
				}
				if v < last {
					t.Fatalf("at %s it fell from %v to %v", offset, last, v)
				}
				if v > last {
					grew++
				}
				last = v
			}
			if name != "constant" && grew < 6 {
				t.Errorf("it grew only %d times in seven periods", grew)
			}
		})
	}
}

func TestEnergyIsTheIntegralOfPower(t *testing.T) {
	t.Parallel()
	at := startReplay(t, "repeat: 10s\n"+head+"    power_watts: {ramp: {from: 0, to: 100, over: 10s}}\n    energy_joules: {integral_of: power_watts, start: 1000}\n")
	for offset, want := range map[time.Duration]float64{0: 1000, 5 * time.Second: 1125, 10 * time.Second: 1500, 35 * time.Second: 2625} {
		if got := at(offset).GPUs[0].Values[Energy]; got != want {
			t.Errorf("at %s: got %v, want %v", offset, got, want)
		}
	}
}

func TestReplayEventsAreExact(t *testing.T) {
	t.Parallel()
	at := startReplay(t, "repeat: 100s\n"+head+"    power_watts: 5\n  events:\n  - {at: 40s, state: lost}\n  - {at: 70s, state: ok}\n  - {at: 80s, state: stuck}\n")
	s := time.Second
	for _, tc := range []struct {
		at    time.Duration
		state State
		age   time.Duration // of the last good sample
	}{
		{0, OK, 0}, {40*s - 1, OK, s - 1}, {40 * s, Lost, s}, {69 * s, Lost, 30 * s}, {70 * s, OK, 0},
		{79 * s, OK, 0}, {80 * s, OK, s}, {89 * s, OK, 10 * s}, {90 * s, Stale, 11 * s}, {99 * s, Stale, 20 * s},
		{100 * s, OK, 0}, {140 * s, Lost, s}, {190 * s, Stale, 11 * s},
	} {
		got := at(tc.at).GPUs[0]
		if got.State != tc.state || (got.Values != nil) != (tc.state == OK) {
			t.Errorf("at %s: got %+v, want %s", tc.at, got, tc.state)
		}
		if age := time.Unix(1_700_000_000, 0).Add(tc.at).Sub(got.At); age != tc.age {
			t.Errorf("at %s: the last good sample is %s old, want %s", tc.at, age, tc.age)
		}
	}
}

func TestReplayDriverEventsAreExact(t *testing.T) {
	t.Parallel()
	at := startReplay(t, "driver_events:\n- {at: 0s, state: down, reason: none}\n- {at: 5s, state: up}\n- {at: 20s, state: down, reason: upgraded}\n"+head+"    power_watts: 5\n")
	s := time.Second
	for _, tc := range []struct {
		at     time.Duration
		up     bool
		reason string
		gpu    State
	}{
		{0, false, "none", ""}, {5*s - 1, false, "none", ""}, {5 * s, true, "", OK}, {20*s - 1, true, "", OK},
		{20 * s, false, "upgraded", OK}, {29 * s, false, "upgraded", OK}, {29*s + 1, false, "upgraded", Stale}, {time.Hour, false, "upgraded", Stale},
	} {
		got := at(tc.at)
		var gpu State
		if len(got.GPUs) > 0 {
			gpu = got.GPUs[0].State
		}
		if got.DriverUp != tc.up || got.Reason != tc.reason || gpu != tc.gpu {
			t.Errorf("at %s: got %+v, want %+v", tc.at, got, tc)
		}
	}
}

func TestReplayBeforeItsStartIsItsStart(t *testing.T) {
	t.Parallel()
	if got := startReplay(t, head+"    power_watts: 5\n")(-time.Hour); len(got.GPUs) != 1 || got.GPUs[0].Values[Power] != 5 {
		t.Errorf("got %+v", got)
	}
}

// FuzzLoadReplay: whatever the file says, loading and playing it neither
// panics nor shows a value that cannot be.
func FuzzLoadReplay(f *testing.F) {
	for _, pattern := range []string{"../../testdata/gpu/*.yaml", "../../testdata/gpu/*.json", "../../testdata/gpu/*.jsonl", "../../demo/gpus.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(head + "    energy_joules: {steps: {1s: 1GiB}}\n  events: [{at: 1s, state: stuck}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := LoadReplay("fuzz.yaml", strings.NewReader(string(text)))
		if err != nil {
			if r != nil {
				t.Fatal("a replay came with an error")
			}
			return
		}
		begin := time.Unix(1_700_000_000, 0)
		now := begin
		p := r.Start(func() time.Time { return now })
		energy := map[string]float64{}
		for _, offset := range []time.Duration{0, time.Second, 11 * time.Second, time.Minute, time.Hour} {
			now = begin.Add(offset)
			for _, g := range p.Snapshot().GPUs {
				for field, v := range g.Values {
					if field != Energy && !field.plausible(v) {
						t.Fatalf("at %s: %s is %v", offset, field, v)
					}
				}
				if v, said := g.Values[Energy]; said && !isRecording(text) {
					if v < energy[g.UUID] {
						t.Fatalf("at %s: energy fell from %v to %v", offset, energy[g.UUID], v)
					}
					energy[g.UUID] = v
				}
			}
		}
	})
}
