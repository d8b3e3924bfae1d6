//go:build linux && cgo && !nonvml

package nvml

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// stubLibrary builds the stand-in driver library, without the functions named.
func stubLibrary(t *testing.T, without ...string) string {
	t.Helper()
	gcc := skiptest.Installed(t, "gcc", "the stand-in driver library is built with it; apt-get install gcc libc6-dev")
	stubs.mu.Lock()
	defer stubs.mu.Unlock()
	if stubs.dir == "" {
		dir, err := os.MkdirTemp("", "nvml-stub")
		if err != nil {
			t.Fatal(err)
		}
		stubs.dir = dir
	}
	key := "full"
	if len(without) > 0 {
		key = strings.Join(without, "+")
	}
	lib := filepath.Join(stubs.dir, key+".so")
	if _, err := os.Stat(lib); err == nil {
		return lib
	}
	args := []string{"-shared", "-fPIC", "-O1", "-Wl,-z,lazy", "-Wall", "-Werror", "-o", lib, "testdata/stub/stub.c"}
	if len(without) > 0 {
		hide := filepath.Join(stubs.dir, key+".map")
		script := "{ global: *; local: " + strings.Join(without, "; ") + "; };\n"
		if err := os.WriteFile(hide, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-Wl,--version-script="+hide)
	}
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return lib
}

// rig is a Driver over real worker processes and the stand-in library.
type rig struct {
	t       *testing.T
	control string
	driver  *Driver
	stop    func()
	log     *logBuffer
	pids    *pids
}

// pids notes the workers that were started.
type pids struct {
	mu  sync.Mutex
	all []int
}

func (p *pids) last() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return 0
	}
	return p.all[len(p.all)-1]
}

// impatient is for tests in which a worker is to be found hanging; the others
// wait longer than a busy machine takes.
func impatient(o *DriverOptions) { o.StallAfter, o.StartTimeout = 2*time.Second, 2*time.Second }

// newRig starts a Driver; control is the stub's control file.
func newRig(t *testing.T, lib, control string, options ...func(*DriverOptions)) *rig {
	t.Helper()
	r := &rig{t: t, control: filepath.Join(t.TempDir(), "control"), log: &logBuffer{}, pids: &pids{}}
	r.set(control)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := DriverOptions{
		Command:      []string{"env", workerVariable + "=" + lib, "NVML_STUB_CONTROL=" + r.control, "GORACE=atexit_sleep_ms=0", self},
		Interval:     workerInterval,
		StallAfter:   15 * time.Second,
		StartTimeout: 15 * time.Second,
		RetryAfter:   50 * time.Millisecond,
	}
	for _, option := range options {
		option(&o)
	}
	r.driver = NewDriver(slog.New(slog.NewTextHandler(r.log, nil)), o)
	start := r.driver.start
	r.driver.start = func(argv []string) (process, error) {
		p, err := start(argv)
		if err == nil {
			r.pids.mu.Lock()
			r.pids.all = append(r.pids.all, p.(*child).cmd.Process.Pid)
			r.pids.mu.Unlock()
		}
		return p, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.driver.Run(ctx)
	}()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(func() {
		r.stop()
		r.noChildren()
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// set replaces the control file at once, so that no call reads half of it.
func (r *rig) set(control string) {
	r.t.Helper()
	if err := os.WriteFile(r.control+".new", []byte(control+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.control+".new", r.control); err != nil {
		r.t.Fatal(err)
	}
}

// until polls for a real process to get somewhere.
func (r *rig) until(what string, ok func(Snapshot) bool) Snapshot {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s := r.driver.Snapshot()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not reached: %s\nlast: %+v", what, s)
		}
		<-tick.C
	}
}

// noChildren proves that no worker outlives the Driver.
func (r *rig) noChildren() {
	r.pids.mu.Lock()
	defer r.pids.mu.Unlock()
	if len(r.pids.all) == 0 {
		r.t.Error("no worker was started")
	}
	for _, pid := range r.pids.all {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			r.t.Errorf("worker %d is still there: %v", pid, err)
		}
	}
}

func both(s Snapshot) bool {
	return state(s, "GPU-stub-0") == OK && state(s, "GPU-stub-1") == OK
}

func TestWorkerReadsBaseUnits(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "")
	s := r.until("both gpus read", func(s Snapshot) bool { return both(s) && s.Devices == 2 })
	got := s.GPUs[1]
	if age := time.Since(got.At); age < 0 || age > time.Minute {
		t.Errorf("reading is %s old", age)
	}
	got.At = time.Time{}
	want := Reading{
		Identity: Identity{UUID: "GPU-stub-1", Index: 1, Name: "Stub 1", PCIBusID: "00000000:11:00.0", DriverVersion: "999.12.34"},
		State:    OK,
		Values: map[Field]float64{
			Utilization: 0.92, MemoryUtilization: 0.29,
			MemoryUsed: 10 << 30, MemoryFree: 5 << 30, MemoryReserved: 1 << 30, MemoryTotal: 16 << 30,
			Temperature: 62, SlowdownTemperature: 95,
			Power: 123.456, PowerLimit: 350.5, Energy: 987654.321,
			GraphicsClock: 1000e6, SMClock: 1001e6, MemoryClock: 1002e6, VideoClock: 1003e6,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
	if !s.DriverUp || s.Reason != "" || s.Restarts != 0 {
		t.Errorf("got up %v, reason %q, restarts %d", s.DriverUp, s.Reason, s.Restarts)
	}
}

func TestUnsupportedFieldsAreAbsent(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "deaf 1")
	s := r.until("both gpus read", both)
	if diff := cmp.Diff(map[Field]float64{Temperature: 62}, s.GPUs[1].Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if len(s.GPUs[0].Values) != len(Fields()) {
		t.Errorf("the other gpu says only %v", s.GPUs[0].Values)
	}
}

// everySymbol is every function of the library that the binding may call.
func everySymbol() []string {
	version, name, pci := describing()
	var all []string
	for _, s := range slices.Concat(required(), []symbols{version, name, pci}) {
		all = append(all, s...)
	}
	for _, row := range questions() {
		for _, q := range row {
			all = append(all, q.symbols...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestEveryBindingCalledIsProbed reads library_linux.go: a call whose function
// is not looked up first would end the worker on an older driver.
func TestEveryBindingCalledIsProbed(t *testing.T) {
	t.Parallel()
	file, err := goparser.ParseFile(token.NewFileSet(), "library_linux.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	// These two are the linker's, not the driver's.
	exempt := []string{"lib.Extensions", "lib.Open", "lib.Lookup"}
	probed := everySymbol()
	calls := 0
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name, ok := binding(call)
		if !ok || slices.Contains(exempt, name) {
			return true
		}
		calls++
		on, method, _ := strings.Cut(name, ".")
		symbol := "nvml" + method
		if on == "dev" {
			symbol = "nvmlDevice" + method
		}
		if !slices.Contains(probed, symbol) {
			t.Errorf("%s calls %s, which is not looked up", name, symbol)
		}
		return true
	})
	if calls < 15 {
		t.Errorf("found only %d calls: does this test still know how the library is called?", calls)
	}
	source, err := os.ReadFile("testdata/stub/stub.c")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range probed {
		if !bytes.Contains(source, []byte("int "+s+"(")) {
			t.Errorf("the stand-in library lacks %s", s)
		}
	}
}

// binding is the name of a call on a variable or field called lib or dev.
func binding(call *ast.CallExpr) (string, bool) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	on := ""
	switch x := sel.X.(type) {
	case *ast.Ident:
		on = x.Name
	case *ast.SelectorExpr:
		on = x.Sel.Name
	}
	return on + "." + sel.Sel.Name, on == "lib" || on == "dev"
}

// TestMissingFunctionIsAbsentOrExplained takes away one function at a time,
// with its newer versions kept and not: no worker may die of it.
func TestMissingFunctionIsAbsentOrExplained(t *testing.T) {
	t.Parallel()
	sets := [][]string{
		{"nvmlInit", "nvmlInit_v2"}, {"nvmlDeviceGetCount", "nvmlDeviceGetCount_v2"},
		{"nvmlDeviceGetHandleByIndex", "nvmlDeviceGetHandleByIndex_v2"},
		{"nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo_v3"},
		{"nvmlDeviceGetPciInfo", "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo_v3"},
		{"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2"},
		{"nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit"},
	}
	for _, s := range everySymbol() {
		sets = append(sets, []string{s})
	}
	for _, without := range sets {
		t.Run(strings.Join(without, "+"), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, stubLibrary(t, without...), "")
			s := r.until("an answer", func(s Snapshot) bool {
				return both(s) || strings.Contains(s.Reason, "lacks the function "+without[len(without)-1]) ||
					strings.Contains(s.Reason, "lacks the function "+without[0])
			})
			if s.Restarts != 0 {
				t.Errorf("the worker died: %s", r.log)
			}
		})
	}
}

func TestOldMemoryInfoHasNoReserved(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t, "nvmlDeviceGetMemoryInfo_v2"), "")
	s := r.until("both gpus read", both)
	v := s.GPUs[0].Values
	if _, said := v[MemoryReserved]; said || v[MemoryUsed] != 11<<30 {
		t.Errorf("got %v", v)
	}
}

func TestDriverIsExplainedAndFoundLater(t *testing.T) {
	t.Parallel()
	lib := stubLibrary(t)
	for name, tc := range map[string]struct{ control, reason string }{
		"not-loaded":       {"init 9", "driver not loaded (code 9): the NVIDIA kernel module is not loaded"},
		"version-mismatch": {"init 18", "different versions (code 18): the driver was upgraded under the running kernel module"},
		"no-permission":    {"init 4", "no permission (code 4): the exporter may not open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, lib, tc.control)
			s := r.until("the reason", func(s Snapshot) bool { return strings.Contains(s.Reason, tc.reason) })
			if s.DriverUp || len(s.GPUs) > 0 || s.Restarts != 0 {
				t.Errorf("got %+v", s)
			}
			first := r.pids.last()
			r.until("a second try", func(Snapshot) bool { return r.pids.last() != first })
			if n := strings.Count(r.log.String(), "no gpu readings"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, r.log)
			}
			r.set("gpus 2")
			r.until("the driver is found", func(s Snapshot) bool { return both(s) && s.DriverUp })
		})
	}
}

func TestLibraryInstalledLaterIsFound(t *testing.T) {
	t.Parallel()
	full := stubLibrary(t)
	lib := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	r := newRig(t, lib, "")
	s := r.until("the reason", func(s Snapshot) bool { return strings.Contains(s.Reason, "driver library not loaded") })
	if !strings.Contains(s.Reason, lib) {
		t.Errorf("the reason does not name the library: %s", s.Reason)
	}
	if err := os.Symlink(full, lib); err != nil {
		t.Fatal(err)
	}
	r.until("the driver is found", both)
}

func TestLostGPUKeepsIdentityAndOthersStayFresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "lost_after 5")
	s := r.until("gpu 0 lost", func(s Snapshot) bool { return state(s, "GPU-stub-0") == Lost && state(s, "GPU-stub-1") == OK })
	if g := s.GPUs[0]; g.Name != "Stub 0" || g.Values != nil || g.At.IsZero() {
		t.Errorf("the lost gpu is %+v", g)
	}
	lostAt, other := s.GPUs[0].At, s.GPUs[1].At
	s = r.until("gpu 1 goes on", func(s Snapshot) bool { return s.GPUs[1].At.Sub(other) > 5*workerInterval })
	if s.GPUs[0].At != lostAt || s.GPUs[0].State != Lost || s.Restarts != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestGPUThatVanishesIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "gpus 3")
	r.until("three gpus", func(s Snapshot) bool { return state(s, "GPU-stub-2") == OK })
	r.set("gpus 2")
	s := r.until("gpu 2 lost", func(s Snapshot) bool { return state(s, "GPU-stub-2") == Lost && both(s) && s.Devices == 2 })
	if s.Restarts != 0 {
		t.Errorf("a changed count is not a failure: %d restarts", s.Restarts)
	}
	r.set("gpus 3")
	r.until("gpu 2 back", func(s Snapshot) bool { return state(s, "GPU-stub-2") == OK })
}

func TestErrorsOfOneGPUAreItsState(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]State{16: ResetRequired, 999: Unavailable, 15: Lost} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, stubLibrary(t), "")
			r.until("both gpus read", both)
			r.set(fmt.Sprintf("fail 1 %d", code))
			r.until("the state", func(s Snapshot) bool { return state(s, "GPU-stub-1") == want && state(s, "GPU-stub-0") == OK })
			r.set("")
			r.until("well again", both)
		})
	}
}

func TestGPUWithAnEmptyUUIDLeavesTheOtherAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "nameless 1")
	s := r.until("gpu 0 read and gpu 1 a trouble", func(s Snapshot) bool {
		return state(s, "GPU-stub-0") == OK && strings.Contains(r.log.String(), "gpu 1: uuid: no data (code 21)")
	})
	if len(s.GPUs) != 1 || s.Devices != 2 || s.Restarts != 0 {
		t.Errorf("got %+v", s)
	}
}

// TestGPUThatHangsFromTheStartIsNamed has no identity to show a state of.
func TestGPUThatHangsFromTheStartIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "hang 1")
	s := r.until("gpu 0 read and gpu 1 a trouble", func(s Snapshot) bool {
		return state(s, "GPU-stub-0") == OK && strings.Contains(r.log.String(), "gpu 1: does not answer")
	})
	if len(s.GPUs) != 1 || s.Devices != 2 || s.Restarts != 0 {
		t.Errorf("got %+v", s)
	}
	r.set("")
	r.until("both gpus read", both)
}

func TestHungGPULeavesTheOtherFresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "")
	r.until("both gpus read", both)
	r.set("hang 0")
	stuck := r.until("gpu 0 stops", func(s Snapshot) bool { return s.GPUs[1].At.Sub(s.GPUs[0].At) > time.Second })
	s := r.until("gpu 1 goes on", func(s Snapshot) bool { return s.GPUs[1].At.After(stuck.GPUs[1].At) })
	if s.GPUs[0].At != stuck.GPUs[0].At || s.Restarts != 0 {
		t.Errorf("got %+v", s)
	}
	// By our clock the reading is served for ten seconds and not longer.
	r.driver.mu.Lock()
	g := r.driver.known["GPU-stub-0"]
	g.at = g.at.Add(-StaleAfter(workerInterval))
	r.driver.mu.Unlock()
	s = r.until("gpu 0 stale", func(s Snapshot) bool { return state(s, "GPU-stub-0") == Stale })
	if s.GPUs[0].Values != nil || state(s, "GPU-stub-1") != OK {
		t.Errorf("got %+v", s)
	}
	r.set("")
	r.until("gpu 0 is back", both)
}

func TestStalledWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "gpus 1", impatient)
	r.until("gpu read", func(s Snapshot) bool { return state(s, "GPU-stub-0") == OK })
	first := r.pids.last()
	r.set("gpus 1\nhang 0")
	r.until("a new worker", func(s Snapshot) bool { return s.Restarts > 0 && r.pids.last() != first })
	r.set("gpus 1")
	r.until("fresh readings", func(s Snapshot) bool { return time.Since(s.GPUs[0].At) < time.Second && s.DriverUp })
	if !strings.Contains(r.log.String(), errStalled.Error()) {
		t.Errorf("the log does not say why:\n%s", r.log)
	}
}

func TestHangingInitIsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "hang_init 1", impatient)
	r.until("a new worker", func(s Snapshot) bool { return s.Restarts > 0 })
	r.set("")
	r.until("readings", both)
}

func TestKilledWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "")
	r.until("both gpus read", both)
	first := r.pids.last()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := r.until("a new worker reads", func(s Snapshot) bool {
		return s.Restarts == 1 && r.pids.last() != first && time.Since(s.GPUs[0].At) < 500*time.Millisecond
	})
	if !s.DriverUp || !both(s) {
		t.Errorf("a short gap shows: %+v", s)
	}
	if !strings.Contains(r.log.String(), "signal: killed") {
		t.Errorf("the log does not say why:\n%s", r.log)
	}
}

func TestCrashInTheLibraryIsSurvived(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "")
	r.until("both gpus read", both)
	r.set("crash 1")
	r.until("the worker ended", func(s Snapshot) bool { return s.Restarts > 0 })
	r.set("")
	r.until("readings", func(s Snapshot) bool { return time.Since(s.GPUs[0].At) < time.Second })
}

// TestExit127IsSurvived lets the dynamic linker end the worker, as it does when
// the binding calls a function that the library lacks.
func TestExit127IsSurvived(t *testing.T) {
	t.Parallel()
	r := newRig(t, stubLibrary(t), "")
	r.until("both gpus read", both)
	r.set("missing 1")
	r.until("the worker ended", func(s Snapshot) bool { return s.Restarts > 0 })
	r.set("")
	r.until("readings", func(s Snapshot) bool { return both(s) && time.Since(s.GPUs[0].At) < time.Second })
	want := "the gpu worker called a function that the driver library lacks"
	if log := r.log.String(); !strings.Contains(log, want) || !strings.Contains(log, "undefined symbol: nvmlNotInThisDriver") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// TestWorkerEndsWithItsParent kills a parent outright: the worker's standard
// input ends, and so does the worker.
func TestWorkerEndsWithItsParent(t *testing.T) {
	t.Parallel()
	lib := stubLibrary(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The parent holds the worker's input open, prints its id, and waits.
	parent := exec.Command("sh", "-c", `tail -f /dev/null | "$1" >"$2" & echo $!; wait`, "sh", self, filepath.Join(t.TempDir(), "frames"))
	parent.Env = append(os.Environ(), workerVariable+"="+lib)
	parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var worker int
	if _, err := fmt.Fscan(out, &worker); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-parent.Process.Pid, syscall.SIGKILL); _ = parent.Wait() })
	frames := parent.Args[len(parent.Args)-1]
	poll(t, "the worker reads", func() bool {
		b, _ := os.ReadFile(frames)
		return bytes.Contains(b, []byte(kindReading))
	})
	// The writer of the pipe is the parent's other child.
	tail := siblings(t, parent.Process.Pid, worker)
	for _, pid := range append(tail, parent.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	poll(t, "the worker is gone", func() bool { return !running(worker) })
}

// siblings are the other children of parent.
func siblings(t *testing.T, parent, not int) []int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid != not {
			all = append(all, pid)
		}
	}
	return all
}

// running is false for what has ended, even where nobody has reaped it yet.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
		<-tick.C
	}
}
