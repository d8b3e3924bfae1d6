package nvml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// process is a running worker.
type process interface {
	// frames is what it writes; close lets go of a reader that waits there.
	frames() io.ReadCloser
	// stop asks it to end; kill does not ask.
	stop()
	kill()
	// wait returns after the end of frames, and says how it ended.
	wait() error
}

// The time given to a worker to end when asked to, and to die when told to.
const (
	stopGrace = 2 * time.Second
	killGrace = 3 * time.Second
)

// errMute is the end of a worker's frames for which nobody gave a reason.
var errMute = errors.New("the gpu worker ended without a word")

// session runs one worker to its end.
func (d *Driver) session(ctx context.Context, exits chan<- struct{}) ending {
	p, err := d.start(d.o.Command)
	if err != nil {
		return ending{err: fmt.Errorf("start the gpu worker: %w", err), down: true}
	}
	var said ending
	heard := make(chan struct{}, 1)
	over := make(chan error, 1)
	read := make(chan struct{})
	go func() {
		err := readFrames(p.frames(), func(f frame) {
			d.take(f)
			switch {
			case f.Kind == kindDown:
				said = ending{err: errors.New(f.Reason), down: !f.Fresh, final: f.Final, fresh: f.Fresh}
			case f.Kind == kindReading, f.Kind == kindBeat && f.Beat.silent():
				select {
				case heard <- struct{}{}:
				default:
				}
			}
		})
		over <- err
		close(read)
	}()
	err = d.listen(ctx, heard, over)
	if !d.finish(p, errors.Is(err, context.Canceled), exits, &err) {
		return ending{err: err}
	}
	<-read // the end of the process is the end of its frames
	if said.err != nil {
		return said
	}
	return ending{err: err}
}

// listen waits until the frames end or stay out too long.
func (d *Driver) listen(ctx context.Context, heard <-chan struct{}, over <-chan error) error {
	timer := time.NewTimer(d.o.StartTimeout)
	defer timer.Stop()
	for {
		select {
		case <-heard:
			timer.Reset(d.o.StallAfter)
		case err := <-over:
			return err
		case <-timer.C:
			return errStalled
		case <-ctx.Done():
			return context.Canceled
		}
	}
}

// finish ends the process and waits for it, but not for ever: one that does
// not die is left behind, and finish is then false. How it ended goes into why.
func (d *Driver) finish(p process, asked bool, exits chan<- struct{}, why *error) bool {
	gone := make(chan error, 1)
	go func() { gone <- p.wait() }()
	steps := []struct {
		act   func()
		grace time.Duration
	}{{p.stop, stopGrace}, {p.kill, killGrace}}
	if !asked && *why != nil {
		steps = steps[1:]
	}
	for _, step := range steps {
		step.act()
		timer := time.NewTimer(step.grace)
		select {
		case err := <-gone:
			timer.Stop()
			if *why == nil {
				*why = err
			}
			if *why == nil {
				*why = errMute
			}
			return true
		case <-timer.C:
		}
	}
	if *why == nil {
		*why = errMute
	}
	d.mu.Lock()
	d.stuck++
	d.mu.Unlock()
	p.frames().Close()
	go func() {
		<-gone
		d.mu.Lock()
		d.stuck--
		d.mu.Unlock()
		select {
		case exits <- struct{}{}:
		default: // one is noted already, and the count is looked at anew
		}
	}()
	return false
}

// child is a process of the operating system.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr *lastLine
}

func startProcess(argv []string) (process, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command")
	}
	c := &child{cmd: exec.Command(argv[0], argv[1:]...), stderr: &lastLine{}}
	c.cmd.Stderr = c.stderr
	c.cmd.WaitDelay = time.Second
	ownGroup(c.cmd)
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.stdout, err = c.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *child) frames() io.ReadCloser { return c.stdout }
func (c *child) stop()                 { c.stdin.Close() }
func (c *child) kill()                 { c.cmd.Process.Kill() }

func (c *child) wait() error {
	err := c.cmd.Wait()
	var exit *exec.ExitError
	line := c.stderr.String()
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 127:
		return fmt.Errorf("the gpu worker called a function that the driver library lacks: %s", line)
	case line != "":
		return fmt.Errorf("gpu worker: %w: %s", err, line)
	}
	return fmt.Errorf("gpu worker: %w", err)
}

// lastLine keeps the beginning of the last line written to it.
type lastLine struct {
	mu   sync.Mutex
	text []byte
	done bool
}

const maxLine = 512

func (l *lastLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, tail, ended := bytes.Cut(rest, []byte("\n"))
		if l.done {
			l.text, l.done = l.text[:0], false
		}
		l.text = append(l.text, part[:min(len(part), maxLine-len(l.text))]...)
		l.done, rest = ended, tail
	}
	return len(p), nil
}

func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(string(l.text)), "")
}
