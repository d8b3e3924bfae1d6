package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
)

const (
	readTimeout     = 10 * time.Second
	writeTimeout    = queryTimeout + 10*time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
)

// webFaults finds a listen address that would show the page to strangers.
func webFaults(flags *web.FlagConfig) []error {
	if flags == nil || flags.WebListenAddresses == nil || len(*flags.WebListenAddresses) != 1 {
		return []error{errors.New("--web.listen-address: exactly one address is needed")}
	}
	address := (*flags.WebListenAddresses)[0]
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return []error{fmt.Errorf("--web.listen-address=%s: want HOST:PORT, such as 127.0.0.1:19490", address)}
	}
	if file := *flags.WebConfigFile; file != "" {
		if err := web.Validate(file); err != nil {
			return []error{fmt.Errorf("--web.config.file=%s: %w", file, err)}
		}
		return nil
	}
	if !isLoopback(host) {
		return []error{fmt.Errorf("--web.listen-address=%s: not a loopback address; whoever reaches it could read everything: give --web.config.file with TLS and basic authentication, or listen on 127.0.0.1", address)}
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func listen(ctx context.Context, flags *web.FlagConfig) (net.Listener, error) {
	address := (*flags.WebListenAddresses)[0]
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--web.listen-address=%s: the port is in use by another process: stop that one or choose another port", address)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("--web.listen-address=%s: %w: ports below 1024 need a privilege, choose another port", address, err)
	case err != nil:
		return nil, fmt.Errorf("--web.listen-address=%s: %w", address, err)
	}
	return l, nil
}

// serving is what a server needs.
type serving struct {
	listener net.Listener
	handler  http.Handler
	flags    *web.FlagConfig
	logger   *slog.Logger
}

// serve answers until ctx ends or the listener breaks.
func serve(ctx context.Context, s serving, onListen func(net.Addr)) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	broken := make(chan error, 1)
	go func() { broken <- web.Serve(s.listener, server, s.flags, quietly(s.logger)) }()
	if onListen != nil {
		onListen(s.listener.Addr())
	}
	select {
	case err := <-broken:
		return fmt.Errorf("serve on %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		_ = server.Close() // requests that took too long are cut, and that is all that can be done
	}
	<-broken
	return nil
}

// handler is the whole web interface: reading only.
func (s *stack) handler() (http.Handler, error) {
	page, err := newPage(s.o, s.boards)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page.serveRoot)
	mux.HandleFunc("GET /checklist.txt", page.serveText)
	mux.HandleFunc("GET /checklist.json", page.serveJSON)
	mux.HandleFunc("GET /graph", redirectGraph)
	mux.HandleFunc("GET /-/healthy", say("genaictl up is healthy."))
	mux.HandleFunc("GET /-/ready", say("genaictl up is ready."))
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry}))
	s.api.mount(mux)
	// A page of another origin must not make the reader's browser run queries here.
	guarded := http.NewCrossOriginProtection().Handler(refuseEmbedding(mux))
	return withHeaders(checkHost(guarded, s.o.ExternalURL.Hostname()), page.policy), nil
}

// refuseEmbedding refuses what a page of another site fetches or embeds: it
// could not read the answer, but the query would run. Links may be followed.
func refuseEmbedding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site, mode := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Mode")
		link := mode == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
		if (site == "cross-site" || site == "same-site") && !link {
			http.Error(w, "other sites may link here, and nothing else", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// redirectGraph brings the links that alerts carry (generatorURL) to the
// query's result: there is no graph page here.
func redirectGraph(w http.ResponseWriter, r *http.Request) {
	to := url.URL{Path: "/api/v1/query", RawQuery: url.Values{"query": {r.URL.Query().Get("g0.expr")}}.Encode()}
	http.Redirect(w, r, to.String(), http.StatusFound)
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text) }
}

// checkHost refuses names that are not ours: a name that somebody points at
// this address to read the page through the browser of its reader.
func checkHost(next http.Handler, external string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		if isLoopback(host) || strings.EqualFold(host, external) || isLocalAddress(host, r) {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, "unknown host name; start genaictl up with --web.external-url to reach it by this name", http.StatusForbidden)
	})
}

// isLocalAddress says whether host is the very address that the request
// arrived at; an address, unlike a name, cannot be pointed elsewhere.
func isLocalAddress(host string, r *http.Request) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.AddrPort().Addr().Unmap() == addr.Unmap()
}

// withHeaders tells browsers to load nothing, embed nothing and guess nothing.
func withHeaders(next http.Handler, policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
