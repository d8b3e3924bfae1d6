package stack

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quiet is a stack about nothing in particular.
func quietStack(t *testing.T) (*running, Options) {
	t.Helper()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	return startStack(t, o), o
}

func TestWebRefusesStrangeHostsOriginsAndWrites(t *testing.T) {
	t.Parallel()
	r, _ := quietStack(t)
	port := r.url[strings.LastIndex(r.url, ":")+1:]
	tests := []struct {
		name, method, path, host, origin string
		want                             int
	}{
		{"localhost", "GET", "/", "localhost:" + port, "", 200},
		{"loopback-v6", "GET", "/", "[::1]:" + port, "", 200},
		{"rebound-name", "GET", "/", "evil.example:" + port, "", 403},
		{"rebound-name-api", "GET", "/api/v1/rules", "evil.example", "", 403},
		{"rebound-name-metrics", "GET", "/metrics", "evil.example", "", 403},
		{"other-address", "GET", "/", "192.0.2.1", "", 403},
		{"suffix", "GET", "/", "localhost.evil.example", "", 403},
		{"query", "POST", "/api/v1/query?query=up", "localhost", "", 200},
		{"cross-origin-get", "GET", "/api/v1/query?query=up", "localhost", "http://evil.example", 403},
		{"cross-origin-query", "POST", "/api/v1/query?query=up", "localhost", "http://evil.example", 403},
		{"page-is-not-written", "POST", "/", "localhost", "", 405},
		{"no-admin", "POST", "/api/v1/admin/tsdb/delete_series", "localhost", "", 404},
		{"no-snapshot", "PUT", "/api/v1/admin/tsdb/snapshot", "localhost", "", 404},
		{"no-remote-write", "POST", "/api/v1/write", "localhost", "", 404},
		{"no-otlp", "POST", "/api/v1/otlp/v1/metrics", "localhost", "", 404},
		{"no-remote-read", "POST", "/api/v1/read", "localhost", "", 404},
		{"no-reload", "POST", "/-/reload", "localhost", "", 404},
		{"rules-are-not-written", "POST", "/api/v1/rules", "localhost", "", 405},
		{"healthy", "GET", "/-/healthy", "localhost", "", 200},
		{"ready", "GET", "/-/ready", "localhost", "", 200},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), tc.method, r.url+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tc.host
			if tc.origin != "" {
				req.Header.Set("Origin", tc.origin)
				req.Header.Set("Sec-Fetch-Site", "cross-site")
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.want {
				t.Errorf("got %d, want %d", resp.StatusCode, tc.want)
			}
			for h := range resp.Header {
				if strings.HasPrefix(h, "Access-Control-") {
					t.Errorf("header %s", h)
				}
			}
			if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("policy %q", csp)
			}
		})
	}
}

func TestOtherSitesMayLinkButNotFetch(t *testing.T) {
	t.Parallel()
	h := refuseEmbedding(say("ok"))
	for _, tc := range []struct {
		site, mode, dest string
		want             int
	}{
		{"", "", "", 200}, // curl, Grafana and Prometheus say nothing of it
		{"same-origin", "cors", "empty", 200},
		{"none", "navigate", "document", 200},
		{"cross-site", "navigate", "document", 200},
		{"cross-site", "navigate", "iframe", 403},
		{"cross-site", "no-cors", "image", 403},
		{"cross-site", "cors", "empty", 403},
		{"same-site", "no-cors", "script", 403}, // another port of this machine
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/query?query=up", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": tc.site, "Sec-Fetch-Mode": tc.mode, "Sec-Fetch-Dest": tc.dest} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != tc.want {
			t.Errorf("%+v: got %d", tc, w.Code)
		}
	}
}

func TestWebLetsTheExternalNameIn(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	o.ExternalURL = &url.URL{Scheme: "https", Host: "gpu.example"}
	r := startStack(t, o)
	for host, want := range map[string]int{"gpu.example": 200, "GPU.example:443": 200, "other.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/checklist.txt", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != want {
			t.Errorf("%s: got %d (%v), want %d", host, resp.StatusCode, err, want)
		}
	}
}

func TestAPIAnswersAsPrometheusDoes(t *testing.T) {
	t.Parallel()
	r, _ := quietStack(t)
	eventually(t, "a scrape", func() bool { return r.check("exporter_down").State == OK })
	now := fmt.Sprint(time.Now().Unix())
	for path, want := range map[string]string{
		"query?query=up": `"value"`,
		"query_range?query=up&step=1&start=" + now + "&end=" + now: `"resultType":"matrix"`,
		"series?match[]=up":     `"job":"genai_exporter"`,
		"labels":                `"uuid"`,
		"label/node/values":     `"n1"`,
		"rules":                 `"GPUTemperatureHigh"`,
		"alerts":                `"Watchdog"`,
		"targets":               `"health":"up"`,
		"metadata":              `"status":"success"`,
		"status/config":         `honor_labels: true`,
		"status/flags":          `"storage.retention":"15d"`,
		"status/runtimeinfo":    `"storageRetention":"15d"`,
		"status/buildinfo":      `"goVersion"`,
		"status/tsdb":           `"headStats"`,
		"status/walreplay":      `"status":"success"`,
		"format_query?query=up": `"up"`,
		"parse_query?query=up":  `"vectorSelector"`,
		"scrape_pools":          `"genai_exporter"`,
		"targets/metadata":      `"status":"success"`,
		"alertmanagers":         `"activeAlertmanagers":[]`,
	} {
		if got := r.get("/api/v1/" + path); !strings.Contains(got, want) {
			t.Errorf("%s: got %.300s, want %s", path, got, want)
		}
	}
	if m := r.get("/metrics"); !strings.Contains(m, "prometheus_tsdb_head_series") || !strings.Contains(m, "alertmanager_notifications_total") {
		t.Error("own metrics are incomplete")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/plain")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("text was asked for and %s given", got)
	}
}

func TestSecondStackIsRefused(t *testing.T) {
	t.Parallel()
	r, o := quietStack(t)
	inUse := Run(t.Context(), o, nil)
	if inUse == nil || !strings.HasPrefix(inUse.Error(), "--storage.path="+o.StoragePath+": in use by another genaictl up") {
		t.Errorf("same folder: got %v", inUse)
	}
	o.StoragePath = t.TempDir()
	o.Web.WebListenAddresses = &[]string{strings.TrimPrefix(r.url, "http://")}
	taken := Run(t.Context(), o, nil)
	if taken == nil || !strings.HasPrefix(taken.Error(), "--web.listen-address=127.0.0.1:") || !strings.Contains(taken.Error(), "in use by another process") {
		t.Errorf("same port: got %v", taken)
	}
	if entries, err := os.ReadDir(o.StoragePath); err != nil || len(entries) != 0 {
		t.Errorf("a start that failed left %v (%v)", entries, err)
	}
}

func TestValidateNamesTheFlag(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(bad, []byte("tls_server_config: {cert_file: missing}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	parse := func(raw string) *url.URL {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	tests := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"good", func(*Options) {}, ""},
		{"public", func(o *Options) { o.Web.WebListenAddresses = &[]string{"0.0.0.0:19490"} }, "--web.listen-address=0.0.0.0:19490: not a loopback address"},
		{"all", func(o *Options) { o.Web.WebListenAddresses = &[]string{":19490"} }, "give --web.config.file"},
		{"no-port", func(o *Options) { o.Web.WebListenAddresses = &[]string{"127.0.0.1"} }, "want HOST:PORT"},
		{"web-config", func(o *Options) { o.Web.WebConfigFile = &bad }, "--web.config.file=" + bad},
		{"target-url", func(o *Options) { o.Targets = []string{"http://a:1"} }, "--target=http://a:1: want HOST:PORT"},
		{"target-credentials", func(o *Options) { o.Targets = []string{"u@a:1"} }, "--target=u@a:1: want HOST:PORT without"},
		{"target-port", func(o *Options) { o.Targets = []string{"a:99999"} }, "--target=a:99999"},
		{"no-target", func(o *Options) { o.Targets = nil }, "--target: at least one"},
		{"interval-short", func(o *Options) { o.ScrapeInterval = 99 * time.Millisecond }, "--scrape.interval=99ms"},
		{"interval-long", func(o *Options) { o.ScrapeInterval = 5*time.Minute + 1 }, "--scrape.interval=5m"},
		{"retention", func(o *Options) { o.Retention = 2*time.Hour - 1 }, "--storage.retention="},
		{"job", func(o *Options) { o.Job = "" }, "--job=: must not be empty"},
		{"job-unknown-to-the-rules", func(o *Options) { o.Job = "node" }, "--job=node: the checklist's selectors.genai_exporter, job=~\".*genai.*\", does not match"},
		{"storage", func(o *Options) { o.StoragePath = "" }, "--storage.path: must not be empty"},
		{"am-secret", func(o *Options) { o.AlertmanagerURL = parse("http://u:s3cr3t@a:9093") }, "--alertmanager.url: credentials do not belong"},
		{"am-scheme", func(o *Options) { o.AlertmanagerURL = parse("ftp://a") }, "--alertmanager.url: want http"},
		{"external-path", func(o *Options) { o.ExternalURL = parse("https://a/b") }, "--web.external-url: a path"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", "http://127.0.0.1:1"), "http://127.0.0.1:1")
			tc.change(&o)
			err := o.Validate()
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if run := Run(t.Context(), o, nil); run == nil || !strings.Contains(run.Error(), tc.want) {
				t.Errorf("Run: got %v", run)
			}
		})
	}
}

func TestBasicAuthenticationIsTheToolkits(t *testing.T) {
	t.Parallel()
	gpu, phone := newFakeExporter(t, "n1"), newPhone(t)
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", phone.URL), gpu.URL)
	file := filepath.Join(t.TempDir(), "web.yml")
	// The hash is that of "correct horse".
	conf := "basic_auth_users: {ops: $2a$04$QMysAi3UrFmhD3TvwdGUw.pwrXFtxIo65Ll/Lqoyz5/o7fVpBRbqK}\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Web.WebConfigFile = &file
	r := startStack(t, o)
	for password, want := range map[string]int{"": 401, "wrong": 401, "correct horse": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/checklist.txt", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			req.SetBasicAuth("ops", password)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != want {
			t.Errorf("password %q: got %d (%v), want %d", password, resp.StatusCode, err, want)
		}
	}
}

func TestBrokenRoutingIsAnErrorAndFreesTheFolder(t *testing.T) {
	t.Parallel()
	o := quickOptions(t, fmt.Sprintf(quickChecklist, "warning: 80", "http://127.0.0.1:1"), "http://127.0.0.1:1")
	good := o.Files
	for i, f := range o.Files {
		if f.Path == routingFile {
			o.Files = append(o.Files[:i:i], o.Files[i+1:]...)
			f.Data = []byte("route: {receiver: nobody}\nreceivers: []\n")
			o.Files = append(o.Files, f)
			break
		}
	}
	if err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), routingFile) {
		t.Errorf("got %v", err)
	}
	o.Files = good
	if err := startStack(t, o).stop(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
