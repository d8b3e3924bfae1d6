package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/config/*.error")

func cases(t testing.TB, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no cases at %s: %v", pattern, err)
	}
	return found
}

func TestLoadRejectsBadFilesWithEveryProblem(t *testing.T) {
	t.Parallel()
	for _, path := range cases(t, "../../testdata/config/bad-*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := Load(path, data)
			if err == nil || cfg != nil {
				t.Fatalf("got %v and error %v, want nil and an error", cfg, err)
			}
			want := strings.TrimSuffix(path, ".yaml") + ".error"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, string(expected)); diff != "" {
				t.Errorf("error differs (-got +want), -update rewrites it:\n%s", diff)
			}
		})
	}
}

func load(t *testing.T, path string) *Config {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadAcceptsAnEmptyFile(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(load(t, "../../testdata/config/good-empty.yaml"), &Config{}); diff != "" {
		t.Errorf("differs from no configuration (-got +want):\n%s", diff)
	}
}

func TestLoadFillsInDefaultsAndResolvesPaths(t *testing.T) {
	t.Parallel()
	c := load(t, "../../testdata/config/good-full.yaml")
	chat, batch := c.RequestLogs[0], c.RequestLogs[1]
	relative, err := filepath.Abs("../../testdata/config/relative/app.log")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(chat.Files, Strings{"/var/log/chat/*.jsonl", relative}); diff != "" {
		t.Errorf("files differ (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(chat.Fields.Duration, Strings{"took", "latency_ms"}); diff != "" {
		t.Errorf("fields differ (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(batch.Fields, defaultFields()); diff != "" {
		t.Errorf("default fields differ (-got +want):\n%s", diff)
	}
	if batch.Start != StartEnd || !*batch.InputIncludesCached || *chat.InputIncludesCached || len(batch.Events) != 2 {
		t.Errorf("got defaults %+v", batch)
	}
	if c.Prices.Book == nil || c.Prices.ModTime.IsZero() || !chat.Reasons[0].Regexp.MatchString("GPU fell off the bus") {
		t.Errorf("got prices %+v and reasons %+v", c.Prices, chat.Reasons)
	}
}

func TestDurationScaleReadsTheUnitFromTheName(t *testing.T) {
	t.Parallel()
	r := RequestLog{Units: Units{Duration: "us"}}
	for path, want := range map[string]float64{
		"latency_ms": 1e-3, "latency_s": 1, "a.b_seconds": 1, "tookMs": 1e-3, "elapsed_ns": 1e-9,
		"time.micros": 1e-6, "run_minutes": 60, "took": 1e-6, "ms": 1e-6, "latency_items": 1e-6,
	} {
		if got := r.DurationScale(path); got != want {
			t.Errorf("%s: got %v seconds, want %v", path, got, want)
		}
	}
	if got := (&RequestLog{}).DurationScale("duration"); got != 1 {
		t.Errorf("got %v without any unit, want 1", got)
	}
}

func TestModelNameIsBounded(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"": false, "a": true, "A/b:c@d+e-f_g.h": true, "a b": false, "a\"b": false, "é": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		if got := ModelName(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, path := range cases(f, "../../testdata/config/*.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Load("/nowhere/config.yaml", data)
		if (c == nil) != (err != nil) {
			t.Errorf("got %v and error %v", c, err)
		}
		if err != nil && !strings.Contains(err.Error(), "/nowhere/") {
			t.Errorf("error names no file: %v", err)
		}
	})
}
