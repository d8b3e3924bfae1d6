// Command demo conducts the drill of `make demo`: it starts the exporter with
// replayed GPUs and a live request log, and `genaictl up` beside it, lets a GPU
// overheat and a model fail, and says what was seen. It is not shipped.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Where the demo listens; all on loopback.
const (
	exporterAddress = "127.0.0.1:19400"
	pageAddress     = "127.0.0.1:19490"
	receiverAddress = "127.0.0.1:19491"
)

// shortest is the least time in which the whole drill can be seen.
const shortest = 100 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Getenv("DEMO_SECONDS"), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// run conducts the drill until ctx ends or for the seconds given ("" for ever),
// and then fails if an expected alert was not seen through to its end.
func run(ctx context.Context, seconds string, out io.Writer) error {
	var limit time.Duration
	if seconds != "" {
		n, err := strconv.Atoi(seconds)
		if err != nil || time.Duration(n)*time.Second < shortest {
			return fmt.Errorf("DEMO_SECONDS=%q: want a whole number of seconds, at least %.0f, which the drill takes", seconds, shortest.Seconds())
		}
		limit = time.Duration(n) * time.Second
	}
	if err := portsFree(exporterAddress, pageAddress, receiverAddress); err != nil {
		return err
	}
	dir, err := freshDir()
	if err != nil {
		return err
	}
	d := &drill{dir: dir, out: out, start: time.Now()}
	err = d.conduct(ctx, limit)
	if err == context.Canceled { //nolint:errorlint // beside another error it is not a clean end
		fmt.Fprintln(out, "\nstopped; nothing is left running")
		return nil
	}
	return err
}

// freshDir empties demo/run, which is the demo's own and not under version control.
func freshDir() (string, error) {
	if _, err := os.Stat("demo/gpus.yaml"); err != nil {
		return "", fmt.Errorf("run it from the top of the repository, with make demo: %w", err)
	}
	dir := filepath.Join("demo", "run")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o755); err != nil {
		return "", err
	}
	return dir, nil
}
