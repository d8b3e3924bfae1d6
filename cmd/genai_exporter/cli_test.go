package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

var update = flag.Bool("update", false, "write what the scripts in testdata/cli expect")

// built is the folder of the real program; TestMain makes it once.
var built string

// leakCheck makes this test binary a process that runs the exporter and then
// tells what it left behind. Among parallel tests nobody could tell.
const leakCheck = "GENAI_EXPORTER_LEAK_CHECK"

func TestMain(m *testing.M) {
	// The exporter starts its own program as the worker, and here that is this
	// one: without this it would run all tests, each of which starts workers.
	if len(os.Args) > 1 && os.Args[1] == workerCommand {
		os.Exit(exitCode(run(context.Background(), os.Args[1:], streams{out: os.Stdout, err: os.Stderr}, nil)))
	}
	if args := os.Getenv(leakCheck); args != "" {
		os.Exit(checkLeaks(strings.Fields(args)))
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "genai_exporter")
	if err != nil {
		panic(err)
	}
	built = dir
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "genai_exporter"), ".")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // a temporary folder
	os.Exit(code)
}

// TestScripts runs the real program as a user does: testdata/cli/exporter-*.txtar.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(skiptest.Root(t), "testdata", "cli", "exporter-*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", built+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("COLUMNS", "80") // kingpin wraps its help there
			env.Setenv("NODE_NAME", "")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":  exits,
			"listen": listenInScript,
		},
	})
}

// exits runs a program and compares its exit code: exits CODE PROGRAM [ARG...]
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		var exit *exec.ExitError
		if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // testscript returns it bare
			exit = e
		}
		if exit == nil {
			ts.Fatalf("%v", err)
		}
		code = fmt.Sprint(exit.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// listenInScript takes a port and names its address in a variable: listen NAME
func listenInScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen NAME")
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() }) // the script has ended
	ts.Setenv(args[0], l.Addr().String())
}

// checkLeaks runs the exporter, scrapes it, ends it, and is 1 when a goroutine
// of the project or a child process is still there.
func checkLeaks(args []string) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log := &journal{}
	err := run(ctx, args, streams{out: log, err: log}, func(a net.Addr) {
		go func() {
			defer stop()
			client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.String()+"/metrics", nil)
			if err != nil {
				panic(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				panic(err)
			}
			_ = resp.Body.Close() // only that it answered matters
		}()
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	deadline := time.Now().Add(patience)
	for {
		left := leftovers()
		if left == "" {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Printf("left behind:\n%s\nlog:\n%s", left, log)
			return 1
		}
		runtime.Gosched()
	}
}

// leftovers are the goroutines of the project but this one, and child processes.
func leftovers() string {
	buf := make([]byte, 1<<20)
	var left []string
	for i, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && strings.Contains(g, "genai-exporter/") {
			left = append(left, g)
		}
	}
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		panic(err)
	}
	for _, task := range tasks {
		if children, err := os.ReadFile(task); err == nil && len(bytes.TrimSpace(children)) > 0 {
			left = append(left, "child processes "+string(children))
		}
	}
	return strings.Join(left, "\n\n")
}

func TestRunLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"driver": "--gpu.source=auto", // starts a worker, with or without a driver
		"replay": replayed(t, "rtx5080-heats.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), leakCheck+"=--web.listen-address=127.0.0.1:0 "+source)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestProgramEndsCleanlyAtSIGTERM runs the real program: its handlers of signals
// are those of the whole process.
func TestProgramEndsCleanlyAtSIGTERM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "genai.yml"), goodConfig)
	log := &journal{}
	cmd := exec.CommandContext(t.Context(), filepath.Join(built, "genai_exporter"),
		"--web.listen-address=127.0.0.1:0", "--config.file="+file, "--path.state="+filepath.Join(dir, "state"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "listening", func() bool { return strings.Contains(log.String(), "Listening on") })

	write(t, file, badConfig)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "the bad file refused", func() bool { return strings.Contains(log.String(), "configuration not reloaded") })

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit 0\n%s", err, log)
	}
	if !strings.Contains(log.String(), "msg=stopped") {
		t.Errorf("no word of the end:\n%s", log)
	}
}
