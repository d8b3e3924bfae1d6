package checklist

import (
	"math"
	"strings"
	"testing"
)

// TestBreachedSaysWhatTheConditionSays compares both sides of each threshold
// with the operator that Condition writes.
func TestBreachedSaysWhatTheConditionSays(t *testing.T) {
	t.Parallel()
	for _, bad := range []Direction{Above, Below} {
		l := Level{Warning, bad, 0.9}
		condition := l.Condition("x", l.Bound())
		for v, side := range map[float64]int{math.Nextafter(0.9, 0): -1, 0.9: 0, math.Nextafter(0.9, 1): 1} {
			want := condition == "x > 0.9" && side > 0 || condition == "x < 0.9" && side < 0
			if got := l.Breached(v); got != want {
				t.Errorf("%s: Breached(%v) is %v, want %v", condition, v, got, want)
			}
		}
		if l.Breached(math.NaN()) {
			t.Errorf("%s: no value is a breach", condition)
		}
		if !strings.HasPrefix(condition, "x ") {
			t.Errorf("condition %q", condition)
		}
	}
}

func TestUnitFormatsForPeople(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Ratio, 0.9, "90 %"},
		{Ratio, 0.0125, "1.25 %"},
		{Celsius, 80, "80 °C"},
		{Celsius, 80.25, "80.2 °C"},
		{Seconds, 5, "5 s"},
		{Seconds, 0.0123, "0.0123 s"},
		{USD, 1000, "1000.00 USD"},
		{PerSecond, 2.5, "2.5 /s"},
		{State, 1, "1"},
	} {
		if got := tc.unit.Format(tc.v); got != tc.want {
			t.Errorf("%s %v: got %q, want %q", tc.unit, tc.v, got, tc.want)
		}
	}
	for _, u := range units() {
		if !u.known() || u.ValueTemplate() == "" || !strings.Contains(u.BoundTemplate("B"), "B") {
			t.Errorf("%s: cannot be written in a template", u)
		}
	}
	if Unit("furlongs").known() {
		t.Error("an unknown unit is known")
	}
}

func TestFillLeavesNoCommaBehindAnEmptySelector(t *testing.T) {
	t.Parallel()
	params := []Param{{Name: "empty"}, {Name: "job", Value: `job="a"`}, {Name: "n", Value: "5", Number: true}}
	for in, want := range map[string]string{
		`m{%(empty)s}`:           `m`,
		`m{%(empty)s, a="b"}`:    `m{a="b"}`,
		`m{%(job)s, a="b"}`:      `m{job="a", a="b"}`,
		`m{%(job)s} > %(n)s`:     `m{job="a"} > 5`,
		`%(unknown)s stays here`: `%(unknown)s stays here`,
	} {
		if got := Fill(in, params); got != want {
			t.Errorf("Fill(%q) is %q, want %q", in, got, want)
		}
	}
}
