package pricebook

import (
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/prices/*.error")

func load(t testing.TB, path string) (*Book, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Load(path, data)
}

func TestLoadRejectsBadTablesWithEveryProblem(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../testdata/prices/bad-*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			t.Parallel()
			b, err := load(t, path)
			if err == nil || b != nil {
				t.Fatalf("got %v and error %v, want nil and an error", b, err)
			}
			want := strings.TrimSuffix(path, ".yaml") + ".error"
			if *update {
				if err := os.WriteFile(want, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, rerr := os.ReadFile(want)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if diff := cmp.Diff(err.Error()+"\n", string(expected)); diff != "" {
				t.Errorf("error differs (-got +want), -update rewrites it:\n%s", diff)
			}
		})
	}
}

func mustLoad(t testing.TB, path string) *Book {
	t.Helper()
	b, err := load(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAtTakesTheLatestRowThatIsInForce(t *testing.T) {
	t.Parallel()
	b := mustLoad(t, "../../testdata/prices/good-dated.yaml")
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) // 09:00 in Seoul
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2025, 12, 31, 23, 59, 59, 999_999_999, time.UTC), ""},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "2.000000"},
		{june.Add(-time.Nanosecond), "2.000000"},
		{june, "1.000001"},
		{time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), "900.000000"},
	} {
		got := ""
		if r, ok := b.At("known", c.at); ok {
			got = r.Prices[Input].String()
		}
		if got != c.want {
			t.Errorf("%v: got %q, want %q", c.at, got, c.want)
		}
	}
	if _, ok := (*Book)(nil).At("known", june); ok {
		t.Error("no book has a price")
	}
	if got := b.Current(june); len(got) != 2 || got[0].Model != "known" || got[0].Billed != Internal {
		t.Errorf("got current rows %+v", got)
	}
}

func TestCostChargesCachedInputOnceAndNamesWhatHasNoPrice(t *testing.T) {
	t.Parallel()
	b := mustLoad(t, "../../testdata/prices/good-dated.yaml")
	for _, c := range []struct {
		name     string
		at       string
		usage    Usage
		costs    [Kinds]string
		unpriced uint64
	}{
		{"cached", "2026-01-01", Usage{Input: 1_000_000, Cached: 400_000, Output: 3}, [Kinds]string{"1.200000000000", "0.200000000000", "0.000024000000"}, 0},
		{"cached_price_is_input", "2026-06-02", Usage{Input: 2, Cached: 1, Output: 7}, [Kinds]string{"0.000001000001", "0.000001000001", "0.000000000000"}, 7},
		{"before_any_row", "2025-01-01", Usage{Input: 2, Cached: 1, Output: 7}, [Kinds]string{"0.000000000000", "0.000000000000", "0.000000000000"}, 9},
		{"more_cached_than_input", "2026-01-01", Usage{Input: 1, Cached: 2}, [Kinds]string{"0.000000000000", "0.000000500000", "0.000000000000"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.DateOnly, c.at)
			if err != nil {
				t.Fatal(err)
			}
			got := b.Cost("known", c.usage, at)
			var costs [Kinds]string
			for k, a := range got.Cost {
				costs[k] = a.String()
			}
			if diff := cmp.Diff(costs, c.costs); diff != "" || got.Unpriced != c.unpriced {
				t.Errorf("unpriced %d, want %d; cost differs (-got +want):\n%s", got.Unpriced, c.unpriced, diff)
			}
		})
	}
}

func TestParsePriceKeepsItsBounds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0.000000", "0.15": "0.150000", "000.10": "0.100000", "999999.999999": "999999.999999", "0.000001": "0.000001",
		"1000000": "", "0.0000001": "", "": "", ".5": "", "5.": "", "-1": "", "+1": "", "1e3": "", "1,5": "", " 1": "", "0x1": "",
	} {
		p, err := ParsePrice(text)
		if got := p.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q and error %v, want %q", text, got, err, want)
		}
	}
}

// FuzzAmount compares the arithmetic with that of math/big.
func FuzzAmount(f *testing.F) {
	f.Add(uint64(999_999_999_999), uint64(1<<63), uint64(3), uint64(7))
	f.Add(uint64(1), uint64(1), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, p1, n1, p2, n2 uint64) {
		p1, p2, n1, n2 = p1%pico, p2%pico, n1>>1, n2>>1
		exact := new(big.Int).Add(
			new(big.Int).Mul(new(big.Int).SetUint64(p1), new(big.Int).SetUint64(n1)),
			new(big.Int).Mul(new(big.Int).SetUint64(p2), new(big.Int).SetUint64(n2)))
		sum := Price(p1).Of(n1).Plus(Price(p2).Of(n2))
		want := new(big.Rat).SetFrac(exact, big.NewInt(pico)).FloatString(12)
		if got := sum.String(); got != want {
			t.Errorf("%d x %d + %d x %d: got %s, want %s", p1, n1, p2, n2, got, want)
		}
		var back Amount
		if err := back.UnmarshalText([]byte(want)); err != nil || back != sum {
			t.Errorf("%s reads back as %v, %v", want, back, err)
		}
	})
}

func FuzzUnmarshalAmount(f *testing.F) {
	f.Add("1.000000000001")
	f.Fuzz(func(t *testing.T, text string) {
		var a Amount
		if err := a.UnmarshalText([]byte(text)); err != nil {
			return
		}
		if trimmed := strings.TrimLeft(text, "0"); strings.TrimLeft(a.String(), "0") != trimmed {
			t.Errorf("%q reads as %v", text, a)
		}
	})
}

func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("../../testdata/prices/*.yaml")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Load("prices.yaml", data)
		if (b == nil) != (err != nil) {
			t.Fatalf("got %v and error %v", b, err)
		}
		for _, r := range b.Current(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)) {
			b.Cost(r.Model, Usage{Input: 1 << 40, Output: 1 << 40}, r.From)
		}
	})
}
