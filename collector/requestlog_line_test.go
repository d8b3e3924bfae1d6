package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

func TestEventTimeReadsWhatLogsWrite(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	at := time.Date(2026, 5, 1, 9, 30, 0, 250_000_000, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-05-01T09:30:00.25Z"`:        at,
		`"2026-05-01T18:30:00.25+09:00"`:   at,
		`"2026-05-01T09:30:00.250000"`:     at,
		`"2026-05-01 09:30:00.25"`:         at,
		`"2026-05-01 18:30:00.25+09:00"`:   at,
		`1777627800.25`:                    at,
		`1777627800250`:                    at,
		`1777627800250000`:                 at,
		`1777627800250000000`:              at,
		`"1777627800250"`:                  at,
		`"2026-06-01T12:00:00Z"`:           now,
		`"2026-06-01T12:00:00.000000001Z"`: now, // the future is now
		`4000000000`:                       now,
		`"yesterday"`:                      now,
		`-5`:                               now,
		`0`:                                now,
		`true`:                             now,
		`{}`:                               now,
	} {
		if got := eventTime(fastjson.MustParse(text), now); got.Sub(want).Abs() > time.Microsecond {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	if got := eventTime(nil, now); !got.Equal(now) {
		t.Errorf("got %v without a time, want now", got)
	}
}

func TestObservePutsABoundIntoItsOwnBucket(t *testing.T) {
	t.Parallel()
	bounds := durationBounds()
	for i, le := range bounds {
		var b buckets
		b.observe(le, &bounds)
		b.observe(le*1.000001, &bounds)
		if b[i] != 1 || b[i+1] != 1 {
			t.Errorf("%v: got buckets %v", le, b)
		}
	}
}

func TestWrittenTellsAnErrorFromAnEmptyField(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`""`: false, `"x"`: true, `false`: false, `true`: true, `0`: false, `1`: true, `{}`: false, `{"a":1}`: true, `[]`: false, `["x"]`: true,
	} {
		if got := written(fastjson.MustParse(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestReasonOfAsksTypeThenStatusThenText(t *testing.T) {
	t.Parallel()
	p := benchParser(t)
	for i, c := range []struct {
		kind, message string
		code          int
		want          string
	}{
		{"TimeoutError", "CUDA out of memory", 500, "timeout"},
		{"", "CUDA out of memory", 500, "cuda_oom"},
		{"", "validation timed out", 422, "client"},
		{"Strange", "", 0, "other"},
		{"", "", 399, "other"},
		{"", "", 400, "client"},
		{"", "", 499, "client"},
		{"", "", 500, "backend"},
		{"", "", 529, "overload"},
		{"", "", 599, "backend"},
		{"", "NCCL communicator was aborted", 0, "nccl_timeout"},
		{"", "Failed to load model weights", 503, "overload"},
	} {
		if got := config.Reasons()[p.reasonOf(c.kind, c.message, c.code)]; got != c.want {
			t.Errorf("%d: got %s, want %s", i, got, c.want)
		}
	}
	if got := len(config.Reasons()); got != numReasons {
		t.Errorf("got %d reasons, want %d", got, numReasons)
	}
}

// FuzzLine compares what is taken from a line with what the standard library
// reads in it.
func FuzzLine(f *testing.F) {
	paths, err := filepath.Glob("../testdata/requestlog/*.jsonl")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			f.Add([]byte(line))
		}
	}
	f.Add([]byte(benchLine))
	p := benchParser(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) >= fastjson.MaxDepth {
			return // deeper nesting is refused on purpose
		}
		var r record
		res := p.parse(line, &r)
		var object map[string]json.RawMessage
		valid := json.Unmarshal(line, &object) == nil && object != nil
		if valid != (res != lineInvalidJSON) {
			t.Fatalf("got %v, the standard library says valid=%v", res, valid)
		}
		if res != lineOK {
			return
		}
		eventTime(r.at, time.Unix(1e9, 0))
		if r.usage.Cached > r.usage.Input || r.seconds < 0 || r.reason >= numReasons || r.outcome >= numOutcomes {
			t.Errorf("got an impossible record %+v", r)
		}
		var model string
		if json.Unmarshal(object["model"], &model) == nil && config.ModelName(model) && string(r.model) != model {
			t.Errorf("got model %q, want %q", r.model, model)
		}
		var input uint64
		if json.Unmarshal(object["input_tokens"], &input) == nil && input > 0 && fmt.Sprint(r.usage.Input) != fmt.Sprint(input) {
			t.Errorf("got %d input tokens, want %d", r.usage.Input, input)
		}
	})
}
