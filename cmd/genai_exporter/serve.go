package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
)

const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	// shutdownTimeout is what scrapes in flight get when the exporter stops: a
	// scrape with the default timeout, and a little.
	shutdownTimeout = 12 * time.Second
)

// readiness is closed to callers of /-/ready until every collector was asked once.
type readiness struct{ done atomic.Bool }

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if !r.done.Load() {
		http.Error(w, "the collectors have not all been asked yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "genai_exporter is ready.")
}

// firstRound asks every collector once, as a scrape would, and opens /-/ready.
func (e *exporter) firstRound(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	ch := make(chan prometheus.Metric)
	go func() {
		e.set.Bind(ctx).Collect(ch)
		close(ch)
	}()
	for range ch {
		continue
	}
	e.ready.done.Store(true)
}

func (e *exporter) handler() (http.Handler, error) {
	scrape, err := e.scrapeHandler()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+e.opts.telemetryPath, scrape)
	mux.Handle("GET /-/ready", &e.ready)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "genai_exporter is healthy.")
	})
	mux.Handle("POST /-/reload", http.HandlerFunc(e.conf.serveReload))
	mux.Handle("GET /{$}", http.HandlerFunc(e.servePage))
	return mux, nil
}

// listen opens every listener before any is served, so that a taken port is
// an error at start and no half-open server.
func listen(ctx context.Context, flags *web.FlagConfig) ([]net.Listener, error) {
	if *flags.WebConfigFile != "" {
		if err := web.Validate(*flags.WebConfigFile); err != nil {
			return nil, fmt.Errorf("--web.config.file=%s: %w", *flags.WebConfigFile, err)
		}
	}
	if flags.WebSystemdSocket != nil && *flags.WebSystemdSocket {
		ls, err := activation.Listeners()
		if err != nil {
			return nil, fmt.Errorf("--web.systemd-socket: %w", err)
		}
		if len(ls) == 0 {
			return nil, errors.New("--web.systemd-socket: systemd passed no socket; start the exporter from a .socket unit")
		}
		return ls, nil
	}
	var ls []net.Listener
	for _, address := range *flags.WebListenAddresses {
		l, err := listenOn(ctx, address)
		if err != nil {
			closeAll(ls)
			return nil, fmt.Errorf("--web.listen-address=%s: %w", address, err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close() // nothing can be done, and nothing is served on it any more
	}
}

func listenOn(ctx context.Context, address string) (net.Listener, error) {
	if strings.HasPrefix(address, "vsock://") {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		port, err := strconv.ParseUint(u.Port(), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("port of the vsock: %w", err)
		}
		return vsock.Listen(uint32(port), nil)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errors.New("the port is in use by another process: stop that one or choose another port")
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w: ports below 1024 need a privilege, choose another port", err)
	}
	return l, err
}

// serve answers on all listeners until ctx ends or one of them breaks. Each has
// a server of its own, because the toolkit wraps the handler of the one it gets.
func (e *exporter) serve(ctx context.Context, listeners []net.Listener, onListen func(net.Addr)) error {
	handler, err := e.handler()
	if err != nil {
		return err
	}
	broken := make(chan error, len(listeners))
	servers := make([]*http.Server, 0, len(listeners))
	var wg sync.WaitGroup
	for _, l := range listeners {
		s := &http.Server{
			Handler: handler, ErrorLog: slog.NewLogLogger(e.logger.Handler(), slog.LevelWarn),
			ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		}
		servers = append(servers, s)
		wg.Go(func() {
			if err := web.Serve(l, s, e.opts.web, e.logger); !errors.Is(err, http.ErrServerClosed) {
				broken <- fmt.Errorf("serve on %s: %w", l.Addr(), err)
			}
		})
		if onListen != nil {
			onListen(l.Addr())
		}
	}
	select {
	case err = <-broken:
	case <-ctx.Done():
	}
	e.logger.Info("stopping")
	e.shutdown(servers)
	wg.Wait()
	return err
}

// shutdown lets scrapes in flight finish, and cuts those that take too long.
func (e *exporter) shutdown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				e.logger.Warn("scrapes cut off at shutdown", "err", err)
				_ = s.Close() // Shutdown's error was logged, and nothing else can be done
			}
		})
	}
	wg.Wait()
}
