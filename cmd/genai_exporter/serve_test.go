package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func testLogger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func TestReadyOnlyAfterTheFirstRound(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := fake{"slow", func(context.Context, chan<- prometheus.Metric) error { <-release; return nil }}
	p := startWith(t, nil, slow)
	if a := call(t, http.MethodGet, p.url("/-/ready")); a.status != http.StatusServiceUnavailable {
		t.Errorf("before: got %d, want 503", a.status)
	}
	if a := call(t, http.MethodGet, p.url("/-/healthy")); a.status != http.StatusOK {
		t.Errorf("healthy: got %d, want 200", a.status)
	}
	close(release)
	until(t, "ready", func() bool { return call(t, http.MethodGet, p.url("/-/ready")).status == http.StatusOK })
}

func TestShutdownLetsTheScrapeInFlightFinish(t *testing.T) {
	t.Parallel()
	var rounds atomic.Int32
	entered, release := make(chan struct{}), make(chan struct{})
	slow := fake{"slow", func(_ context.Context, ch chan<- prometheus.Metric) error {
		if rounds.Add(1) == 2 { // the first is the round that opens /-/ready
			close(entered)
			<-release
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("slow_answer", "42.", nil, nil), prometheus.GaugeValue, 42)
		return nil
	}}
	p := startWith(t, nil, slow)
	until(t, "ready", func() bool { return call(t, http.MethodGet, p.url("/-/ready")).status == http.StatusOK })
	got := make(chan answer, 1)
	go func() { got <- call(t, http.MethodGet, p.url("/metrics")) }()
	<-entered
	p.stop()
	until(t, "no new connections", func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
		if err == nil {
			_ = c.Close() // only whether it opened matters
		}
		return err != nil
	})
	close(release)
	if a := <-got; a.status != http.StatusOK || !strings.Contains(a.body, "\nslow_answer 42\n") {
		t.Errorf("got %d\n%s", a.status, a.body)
	}
	if err := p.ended(t); err != nil {
		t.Errorf("run: %v", err)
	}
}

// runner samples in the background and notes its end.
type runner struct {
	fake
	ended *atomic.Bool
}

func (r runner) Run(ctx context.Context) error {
	<-ctx.Done()
	r.ended.Store(true)
	return ctx.Err()
}

func TestShutdownStopsRunnersBeforeRunReturns(t *testing.T) {
	t.Parallel()
	r := runner{silent("background"), new(atomic.Bool)}
	p := startWith(t, nil, r)
	if err := p.wait(t); err != nil || !r.ended.Load() {
		t.Errorf("run: %v, runner ended: %t", err, r.ended.Load())
	}
	if strings.Contains(p.log.String(), "level=ERROR") {
		t.Errorf("a clean end is logged as an error:\n%s", p.log)
	}
}

func TestPageEscapesWhatComesFromOutside(t *testing.T) {
	t.Parallel()
	evil := fake{"gpu", func(context.Context, chan<- prometheus.Metric) error {
		return errors.New("<script>alert(1)</script>")
	}}
	p := startWith(t, nil, evil)
	until(t, "ready", func() bool { return call(t, http.MethodGet, p.url("/-/ready")).status == http.StatusOK })
	a := call(t, http.MethodGet, p.url("/"))
	if strings.Contains(a.body, "<script>") || !strings.Contains(a.body, "&lt;script&gt;alert(1)") {
		t.Errorf("not escaped:\n%s", a.body)
	}
	for _, want := range []string{`href="/metrics"`, `href="/-/ready"`, `class="bad">failed`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s:\n%s", want, a.body)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("content security policy: %q", csp)
	}
	if a := call(t, http.MethodGet, p.url("/elsewhere")); a.status != http.StatusNotFound {
		t.Errorf("unknown path: got %d, want 404", a.status)
	}
}

func TestPageTellsWhichCollectorsAreOff(t *testing.T) {
	t.Parallel()
	p := start(t, "--no-collector.gpu")
	if body := call(t, http.MethodGet, p.url("/")).body; !strings.Contains(body, "switch it on with <code>--collector.gpu</code>") {
		t.Errorf("got\n%s", body)
	}
}

// certificate makes a key and a certificate for 127.0.0.1 in dir.
func certificate(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "exporter"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	certFile = write(t, filepath.Join(dir, "cert.pem"), string(cert))
	keyFile = write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
	return certFile, keyFile, pool
}

func TestWebConfigTurnsOnTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	// The hash is bcrypt of the password below with the least cost.
	file := write(t, filepath.Join(dir, "web.yml"), "tls_server_config:\n  cert_file: "+cert+"\n  key_file: "+key+
		"\nbasic_auth_users:\n  prometheus: $2a$04$rKKig/66HdfwiT9HKeFzX.7xJl6EKnzPEK2cWq7duv6ubfw9MrAJi\n")
	p := start(t, "--no-collector.gpu", "--web.config.file="+file)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}
	get := func(password string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.addr+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			r.SetBasicAuth("prometheus", password)
		}
		return request(t, client, r)
	}
	if a := get("correct horse"); a.status != http.StatusOK || !strings.Contains(a.body, "genai_exporter_build_info") {
		t.Errorf("right password: got %d %s", a.status, a.body)
	}
	for _, password := range []string{"", "wrong"} {
		if a := get(password); a.status != http.StatusUnauthorized {
			t.Errorf("password %q: got %d, want 401", password, a.status)
		}
	}
	if a := call(t, http.MethodGet, p.url("/metrics")); a.status != http.StatusBadRequest {
		t.Errorf("plain HTTP: got %d, want 400", a.status)
	}
	if log := p.log.String(); strings.Contains(log, "correct horse") || strings.Contains(log, "$2a$") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}
