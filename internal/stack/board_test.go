package stack

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"github.com/genai-exporter/genai-exporter/checklist"
)

func gpuLabels(gpu string) labels.Labels { return labels.FromStrings("gpu", gpu, "node", "n1") }

// onGPU is an alert of a check about a GPU.
func onGPU(gpu, severity string, state rules.AlertState) ruleAlert {
	ls := labels.FromStrings("alertname", "GPUTemperatureHigh", "category", "gpu", "check", "gpu_temperature",
		"gpu", gpu, "node", "n1", "severity", severity, "signal", "gpu_temperature")
	return ruleAlert{name: "GPUTemperatureHigh", check: "gpu_temperature", severity: severity, active: &rules.Alert{
		State: state, Labels: ls, Value: 91, ActiveAt: time.Unix(100, 0),
	}}
}

func TestRowShowsTheWorstSeries(t *testing.T) {
	t.Parallel()
	const firing, pending = rules.StateFiring, rules.StatePending
	tests := []struct {
		name   string
		bad    checklist.Direction
		values map[string]float64
		alerts []ruleAlert
		want   string // state, severity, GPU and value of the first series, and how many
	}{
		{"nothing", checklist.Above, nil, nil, "no_data"},
		{"nan-is-no-data", checklist.Above, map[string]float64{"0": math.NaN()}, nil, "no_data"},
		{"largest", checklist.Above, map[string]float64{"0": 1, "1": 3, "2": 2}, nil, "ok  1 3 of 3"},
		{"smallest", checklist.Below, map[string]float64{"0": 2, "1": 3, "2": 1}, nil, "ok  2 1 of 3"},
		{"zero-is-a-value", checklist.Above, map[string]float64{"0": 0}, nil, "ok  0 0 of 1"},
		{"state-before-value", checklist.Above, map[string]float64{"0": 1, "1": 3}, []ruleAlert{onGPU("0", "warning", pending)}, "pending warning 0 1 of 2"},
		{"firing-before-pending", checklist.Above, map[string]float64{"0": 1, "1": 3}, []ruleAlert{onGPU("1", "critical", pending), onGPU("0", "warning", firing)}, "breached warning 0 1 of 2"},
		{"severe-level", checklist.Above, map[string]float64{"0": 1}, []ruleAlert{onGPU("0", "critical", firing), onGPU("0", "warning", firing)}, "breached critical 0 1 of 1"},
		{"firing-level-before-pending-level", checklist.Above, map[string]float64{"0": 1}, []ruleAlert{onGPU("0", "critical", pending), onGPU("0", "warning", firing)}, "breached warning 0 1 of 1"},
		{"held-without-series", checklist.Above, map[string]float64{"1": 3}, []ruleAlert{onGPU("0", "warning", firing)}, "breached warning 0 NaN of 2"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var values []Series
			for gpu, v := range tc.values {
				values = append(values, Series{Labels: gpuLabels(gpu), Value: v})
			}
			r := row(checklist.Check{ID: "gpu_temperature", Bad: tc.bad}, values, tc.alerts)
			got := string(r.State)
			if w, ok := r.Worst(); ok {
				got += fmt.Sprintf(" %s %s %v of %d", w.Severity, w.Labels.Get("gpu"), w.Value, len(r.Series))
				if (w.State == OK) != w.Since.IsZero() {
					t.Errorf("state %s since %s", w.State, w.Since)
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBoardAlertsLeaveTheWatchdogOut(t *testing.T) {
	t.Parallel()
	dog := ruleAlert{name: "Watchdog", check: watchdogCheck, severity: "none", active: &rules.Alert{State: rules.StateFiring}}
	held := onGPU("1", "warning", rules.StateFiring)
	held.active.KeepFiringSince = time.Unix(200, 0)
	var got []string
	for _, a := range boardAlerts([]ruleAlert{dog, onGPU("2", "critical", rules.StatePending), held, onGPU("0", "critical", rules.StateFiring)}) {
		got = append(got, fmt.Sprintf("%s/%s/%s/%v", a.State, a.Severity, a.Labels.Get("gpu"), a.Recovering))
	}
	want := "[breached/critical/0/false breached/warning/1/true pending/critical/2/false]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAbsentSignalIsNamed(t *testing.T) {
	t.Parallel()
	ls := labels.FromStrings("alertname", "GenAISignalAbsent", "category", "meta", "check", "signal_absent", "severity", "warning", "signal", "gpu_memory")
	if got := subject(ls).String(); got != `{signal="gpu_memory"}` {
		t.Errorf("got %s", got)
	}
}
