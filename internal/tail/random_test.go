package tail

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// TestFollowerIsExactUnderRandomRotation writes, rotates, polls and restarts in
// random order: every line must arrive exactly once.
func TestFollowerIsExactUnderRandomRotation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			pattern := []string{"app.log", "app.log*", "*.log"}[rng.IntN(3)]
			b := newBench(t, Options{Patterns: []string{pattern}, MaxBytes: 16 + rng.Int64N(64)})
			b.write("app.log", "")
			b.poll(1)
			var want []string
			rotated := 0
			for n := range 120 {
				switch rng.IntN(8) {
				case 0, 1, 2:
					line := fmt.Sprintf("line %d %x", n, make([]byte, rng.IntN(20)))
					want = append(want, line)
					b.write("app.log", line[:3])
					if rng.IntN(2) == 0 {
						_, err := b.f.Poll(func(l Line) { b.lines = append(b.lines, string(l.Data)) })
						b.must(err)
					}
					b.write("app.log", line[3:]+"\n")
				case 3, 4:
					if _, err := os.Stat(b.path("app.log")); err != nil {
						continue
					}
					for i := rotated; i > 0; i-- {
						b.rename(fmt.Sprintf("app.log.%d", i), fmt.Sprintf("app.log.%d", i+1))
					}
					b.rename("app.log", "app.log.1")
					rotated++
				case 5:
					b.restart()
				case 6:
					b.now = b.now.Add(DefaultIdle / 2)
				default:
					_, err := b.f.Poll(func(l Line) { b.lines = append(b.lines, string(l.Data)) })
					b.must(err)
				}
			}
			b.poll(3)
			slices.Sort(want)
			slices.Sort(b.lines)
			b.want(want...)
			b.wantLost(0, 0)
		})
	}
}
