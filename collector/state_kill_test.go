package collector

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

// killDir tells the test binary to be the process that is killed.
const killDir = "GENAI_TEST_KILL_DIR"

// TestRequestLogProcess is the process that TestRequestLogIsExactThroughKills
// starts and kills; by itself it does nothing. It prints what a scrape would
// show, over and over.
func TestRequestLogProcess(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	r := newRequestLogFor(t, dir, killConfig, RequestLogOptions{StateDir: filepath.Join(dir, "state"), Now: time.Now})
	done := make(chan error)
	go func() { done <- r.Run(t.Context()) }()
	tick := time.NewTicker(2 * time.Millisecond)
	for {
		select {
		case err := <-done:
			t.Fatal(err)
		case <-tick.C:
			fmt.Println(shown(r.published.Load().totals))
		}
	}
}

const killConfig = "request_logs: [{name: a, files: app.log, start: beginning}]\nprices: {file: prices.yaml}"

// shown is one scrape: lines, requests in the histogram, tokens, picodollars,
// gaps, and a mark that the line is whole.
func shown(t *totals) string {
	g, s := t.groupOf("a"), t.clone().seriesOf("", "m")
	var n uint64
	for _, b := range s.Buckets {
		n += b
	}
	return fmt.Sprintf("%d %d %d %s %d;", g.Results[lineOK], n, s.Input, s.Cost["provider"][0].String(), g.Gaps)
}

// killBench writes a log, rotates it, and watches what the process shows.
type killBench struct {
	t       *testing.T
	dir     string
	rng     *rand.Rand
	written uint64
	rotated int
	most    int // how many rotations may have been made by now
	last    [5]float64
	cmd     *exec.Cmd
	shown   chan [5]float64
}

func (k *killBench) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// maxRotated bounds the files, each of which is renamed at every rotation, and
// maxBehind the lines that a slow process still has to read in the end.
const (
	maxRotated = 60
	maxBehind  = 5000
)

// write appends lines, in pieces, and rotates now and then.
func (k *killBench) write(lines int) {
	k.t.Helper()
	path := filepath.Join(k.dir, "app.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	k.must(err)
	for range lines {
		k.written++
		line := fmt.Sprintf(`{"event":"inference_request","model":"m","n":%d,"input_tokens":1,"latency_ms":7}`+"\n", k.written)
		cut := k.rng.IntN(len(line))
		_, err := f.WriteString(line[:cut])
		k.must(err)
		_, err = f.WriteString(line[cut:])
		k.must(err)
	}
	k.must(f.Close())
	for range min(max(k.rng.IntN(4)-1, 0), k.most-k.rotated) {
		for i := k.rotated; i > 0; i-- {
			k.must(os.Rename(fmt.Sprintf("%s.%d", path, i), fmt.Sprintf("%s.%d", path, i+1)))
		}
		k.must(os.Rename(path, path+".1"))
		k.rotated++
		k.must(os.WriteFile(path, nil, 0o644))
	}
}

// start runs the process; its scrapes arrive in k.shown until it ends.
func (k *killBench) start() {
	k.t.Helper()
	k.cmd = exec.CommandContext(k.t.Context(), os.Args[0], "-test.run=^TestRequestLogProcess$")
	k.cmd.Env = append(os.Environ(), killDir+"="+k.dir)
	out, err := k.cmd.StdoutPipe()
	k.must(err)
	k.must(k.cmd.Start())
	shown := make(chan [5]float64)
	k.shown = shown
	go func() {
		defer close(shown)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			var v [5]float64
			text, whole := strings.CutSuffix(sc.Text(), ";")
			if n, _ := fmt.Sscan(text, &v[0], &v[1], &v[2], &v[3], &v[4]); whole && n == len(v) {
				shown <- v
			}
		}
	}()
}

// check wants that nothing goes back and that all counters belong together.
func (k *killBench) check(v [5]float64) {
	k.t.Helper()
	for i := range v {
		if v[i] < k.last[i] {
			k.t.Fatalf("a scrape showed %v after %v", v, k.last)
		}
	}
	if v[1] != v[0] || v[2] != v[0] || v[0] > float64(k.written) || v[3] != v[0]*1e-6 && fmt.Sprintf("%.6f", v[3]) != fmt.Sprintf("%.6f", v[0]*1e-6) {
		k.t.Fatalf("a scrape shows counters of different moments, or too much: %v of %d lines", v, k.written)
	}
	k.last = v
}

// watch reads scrapes and writes lines between them until the time is over and
// the process has counted something, however long it takes to get there. Before
// it ever did nothing is written: what is rotated before the first look at a
// log was there before the first start, and is not read.
func (k *killBench) watch(d time.Duration) {
	k.t.Helper()
	over, before := time.Now().Add(d), k.last[0]
	for v := range k.shown {
		k.check(v)
		if v[0] > before && time.Now().After(over) {
			return
		}
		if v[0] > 0 && k.written < uint64(v[0])+maxBehind {
			k.write(k.rng.IntN(200))
		}
	}
	k.t.Fatal("the process ended by itself")
}

// kill ends the process at once and reads what it still had said.
func (k *killBench) kill() {
	k.t.Helper()
	k.must(k.cmd.Process.Kill())
	for v := range k.shown {
		k.check(v)
	}
	if err := k.cmd.Wait(); err == nil {
		k.t.Fatal("the process ended well")
	}
}

func TestRequestLogIsExactThroughKills(t *testing.T) {
	t.Parallel()
	k := &killBench{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(1, 2))}
	k.must(os.WriteFile(filepath.Join(k.dir, "prices.yaml"),
		[]byte(`prices: [{model: m, effective_from: 2020-01-01, billed: provider, input: "1"}]`), 0o644))
	if _, err := config.Load(filepath.Join(k.dir, "c.yaml"), []byte(killConfig)); err != nil {
		t.Fatal(err)
	}
	k.write(100)
	const kills = 6
	counted := 0.0
	for i := range kills {
		k.most = maxRotated * (i + 1) / kills
		k.start()
		k.watch(time.Duration(100+k.rng.IntN(600)) * time.Millisecond)
		k.kill()
		counted = k.last[0]
		k.write(100)
		k.write(100)
		k.write(100)
	}
	if k.rotated < kills {
		t.Fatalf("proves nothing: %d rotations", k.rotated)
	}
	k.start()
	deadline := time.After(time.Minute)
	for k.last[0] != float64(k.written) {
		select {
		case v, ok := <-k.shown:
			if !ok {
				t.Fatal("the process ended by itself")
			}
			k.check(v)
		case <-deadline:
			t.Fatalf("counted %v of %d lines after a minute", k.last[0], k.written)
		}
	}
	k.kill()
	if k.last[4] != 0 {
		t.Errorf("got %v gaps, want none", k.last[4])
	}
	t.Logf("%d lines, %d rotations, %d kills, %v counted before the last one", k.written, k.rotated, kills, counted)
}
