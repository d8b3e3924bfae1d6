package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// portsFree says which address is taken before anything is started.
func portsFree(addresses ...string) error {
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("%s is in use; stop what listens there and try again: %w", a, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// process is one program of the demo; its output goes to a log file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// start runs a program that ends with this one, however this one ends.
func start(dir, name string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, filepath.Base(name)+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w; run make build first", name, err), log.Close())
	}
	p := &process{name: filepath.Base(name), cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		// How it ended is in ProcessState; an exit code after a signal is no news.
		_ = cmd.Wait()
	}()
	return p, nil
}

// stop asks the program to end, and after ten seconds makes it.
func (p *process) stop() error {
	select {
	case <-p.done:
		return p.log.Close()
	default:
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill %s: %w", p.name, err)
		}
		<-p.done
	}
	return p.log.Close()
}

// died is the error of a program that ended by itself, with the end of its log.
func (p *process) died() error {
	data, err := os.ReadFile(p.log.Name())
	if err != nil {
		return fmt.Errorf("%s ended (%s) and its log is gone: %w", p.name, p.cmd.ProcessState, err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Errorf("%s ended by itself (%s); the end of %s:\n%s", p.name, p.cmd.ProcessState, p.log.Name(), strings.Join(lines[max(0, len(lines)-15):], "\n"))
}

// ended tells Ctrl-C, which reaches the children as well and sometimes first,
// from a crash.
func (p *process) ended(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return p.died()
	}
}

// ready waits until url answers 200, the program dies or ctx ends.
func (p *process) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if _, err := get(ctx, url); err == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.ended(ctx)
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not ready after 30 s; see %s", p.name, p.log.Name())
			}
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// get is the body of a 200 answer.
func get(ctx context.Context, url string) (body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 4<<20))
}

// terminalColumns is the width of the terminal, and 0 where there is none.
func terminalColumns(ctx context.Context) int {
	cmd := exec.CommandContext(ctx, "stty", "size")
	cmd.Stdin = os.Stdout // the terminal that is written to, whatever is read from
	out, err := cmd.Output()
	if err != nil {
		return 0
	}
	var rows, columns int
	if _, err := fmt.Sscan(string(out), &rows, &columns); err != nil {
		return 0
	}
	return columns
}
