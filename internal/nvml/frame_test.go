package nvml

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFramesAreChecked(t *testing.T) {
	t.Parallel()
	const ok = `"at":"2026-01-02T03:04:05Z"`
	for name, tc := range map[string]struct{ text, want string }{
		"not-json":      {`{"kind":`, "unexpected EOF"},
		"two-values":    {`{"kind":"hello","protocol":1}{}`, "more than one value"},
		"unknown-field": {`{"kind":"hello","protocol":1,"x":1}`, `unknown field "x"`},
		"unknown-kind":  {`{"kind":"bye"}`, `unknown kind "bye"`},
		"protocol":      {`{"kind":"hello","protocol":2}`, "the worker speaks protocol 2 and this program 1"},
		"empty-beat":    {`{"kind":"beat"}`, "a beat without its facts"},
		"negative-beat": {`{"kind":"beat","beat":{"devices":-1}}`, "a beat without its facts"},
		"refused-state": {`{"kind":"beat","beat":{"devices":1,"refused":["stale"]}}`, `a worker cannot say state "stale"`},
		"no-gpu":        {`{"kind":"reading"}`, "a reading needs a uuid"},
		"no-uuid":       {`{"kind":"reading","gpu":{"uuid":"","index":0,"state":"ok",` + ok + `}}`, "a reading needs a uuid"},
		"long-uuid":     {`{"kind":"reading","gpu":{"uuid":"` + strings.Repeat("x", 129) + `","index":0,"state":"ok",` + ok + `}}`, "a reading needs a uuid"},
		"no-moment":     {`{"kind":"reading","gpu":{"uuid":"a","index":0,"state":"ok","at":"0001-01-01T00:00:00Z"}}`, "a reading needs its moment"},
		"parents-state": {`{"kind":"reading","gpu":{"uuid":"a","index":0,"state":"wedged",` + ok + `}}`, `a worker cannot say state "wedged"`},
		"unknown-value": {`{"kind":"reading","gpu":{"uuid":"a","index":0,"state":"ok",` + ok + `,"values":{"x":1}}}`, "value x 1"},
		"absurd-value":  {`{"kind":"reading","gpu":{"uuid":"a","index":0,"state":"ok",` + ok + `,"values":{"utilization_ratio":1.01}}}`, "value utilization_ratio 1.01"},
		"no-reason":     {`{"kind":"down"}`, "down without a reason"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := decodeFrame([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, %v, want error with %q", f, err, tc.want)
			}
		})
	}
}

func TestReadingSurvivesTheFrame(t *testing.T) {
	t.Parallel()
	want := Reading{
		Identity: Identity{UUID: "GPU-a", Index: 3, Name: "card", PCIBusID: "00000000:01:00.0", DriverVersion: "1.2"},
		State:    OK, At: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC),
		Values: map[Field]float64{Power: 123.456, Energy: 987654.321, Utilization: 0.1},
	}
	text, err := json.Marshal(frame{Kind: kindReading, GPU: &want})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeFrame(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got.GPU); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
	if len(text) > maxFrame/16 {
		t.Errorf("a reading takes %d bytes", len(text))
	}
}

// FuzzReadFrames: whatever a worker writes, reading it neither panics nor lets
// through what the parent does not expect.
func FuzzReadFrames(f *testing.F) {
	f.Add([]byte(`{"kind":"hello","protocol":1,"driver_version":"1.2"}` + "\n" + `{"kind":"beat","beat":{"devices":1,"listed":["a"],"settled":true}}`))
	f.Add([]byte(`{"kind":"reading","gpu":{"uuid":"a","index":0,"state":"ok","at":"2026-01-02T03:04:05Z","values":{"power_watts":5}}}`))
	f.Add([]byte("notice\n" + `{"kind":"down","reason":"x","final":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d := NewDriver(nil, DriverOptions{})
		d.logger = discard()
		err := readFrames(bytes.NewReader(text), func(fr frame) {
			if err := fr.check(); err != nil {
				t.Fatalf("let through %+v: %v", fr, err)
			}
			d.take(fr)
		})
		if err != nil && errors.Unwrap(err) == nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
		for _, g := range d.Snapshot().GPUs {
			for field, v := range g.Values {
				if !field.plausible(v) {
					t.Fatalf("%s is %v", field, v)
				}
			}
		}
	})
}
