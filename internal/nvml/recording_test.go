package nvml

import (
	"strings"
	"testing"
	"time"
)

const recordedHello = `{"kind":"hello","protocol":1,"driver_version":"1.2"}` + "\n"

func recorded(at, state, values string) string {
	return `{"kind":"reading","gpu":{"uuid":"GPU-a","index":0,"name":"card","state":"` + state + `","at":"2026-01-02T03:04:` + at + `Z","values":{` + values + `}}}` + "\n"
}

func TestRecordingIsReplayed(t *testing.T) {
	t.Parallel()
	at := startReplay(t, recordedHello+
		recorded("05.1", "ok", `"power_watts":5`)+
		recorded("06.2", "ok", `"power_watts":6,"temperature_celsius":40`)+
		recorded("07.05", "ok", `"power_watts":7`)+
		recorded("07.06", "ok", `"power_watts":8`)+ // still in the second that began at 06.1
		`{"kind":"beat","beat":{"devices":1}}`+"\n"+
		recorded("09.15", "lost", "")+
		recorded("11.15", "ok", `"power_watts":9`))
	for _, tc := range []struct {
		at          time.Duration
		state       State
		power       float64
		temperature bool
	}{{0, OK, 5, false}, {time.Second, OK, 8, false}, {3 * time.Second, OK, 8, false}, {4 * time.Second, Lost, 0, false}, {6 * time.Second, OK, 9, false}, {time.Hour, OK, 9, false}} {
		g := at(tc.at).GPUs[0]
		_, hot := g.Values[Temperature]
		if g.State != tc.state || g.Values[Power] != tc.power || hot != tc.temperature || g.DriverVersion != "1.2" || g.Name != "card" {
			t.Errorf("at %s: got %+v, want %+v", tc.at, g, tc)
		}
	}
}

func TestBadRecordingNamesItsLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"no-reading": {recordedHello, "gpus.yaml: a recording without a reading"},
		"bad-frame":  {recordedHello + "\n{}\n", `gpus.yaml:3: frame "{}": unknown kind ""`},
		"backwards":  {recordedHello + recorded("05", "ok", `"power_watts":5`) + recorded("09", "ok", `"power_watts":5`) + recorded("07", "ok", `"power_watts":5`), "gpus.yaml:4: gpu GPU-a: reading at 2s comes after 4s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadReplay("gpus.yaml", strings.NewReader(tc.text))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
