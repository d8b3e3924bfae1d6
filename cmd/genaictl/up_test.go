package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestUpRefusesWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("checks:\n  gpu_temprature: {warning: 85}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"checklist-line", []string{"--checklist", bad}, filepath.ToSlash(bad) + ":2: checks.gpu_temprature: unknown check"},
		{"checklist-missing", []string{"--checklist", filepath.Join(dir, "none.yaml")}, "none.yaml"},
		{"public-address", []string{"--web.listen-address", "0.0.0.0:0"}, "--web.listen-address=0.0.0.0:0: not a loopback address"},
		{"retention", []string{"--storage.retention", "soon"}, "--storage.retention=soon"},
		{"interval", []string{"--scrape.interval", "often"}, "--scrape.interval=often"},
		{"target", []string{"--target", "http://a:1/metrics"}, "--target=http://a:1/metrics"},
		{"language", []string{"--lang", "fr"}, "--lang=fr: want one of en, ko"},
		{"flag", []string{"--nonsense"}, "--nonsense"},
		{"argument", []string{"nonsense"}, "nonsense"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := filepath.Join(t.TempDir(), "data")
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"up", "--storage.path", store}, tc.args...), &stdout, &stderr)
			if code != exitMisuse || !strings.Contains(stderr.String(), tc.want) {
				t.Errorf("got %d and %q, want %d and %q", code, stderr.String(), exitMisuse, tc.want)
			}
			if _, err := os.Stat(store); !os.IsNotExist(err) {
				t.Errorf("the folder was made all the same: %v", err)
			}
		})
	}
}

func TestUpServesUntilItIsToldToStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"up", "--storage.path", t.TempDir(), "--web.listen-address", "127.0.0.1:0", "--target", "127.0.0.1:1",
		}, w, &stderr)
		w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(line)
	resp, err := http.Get(address + "checklist.txt")
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "GPU temperature") {
		t.Errorf("got %s (%v)", body, err)
	}
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("got exit code %d, want %d: %s", got, exitOK, stderr.String())
	}
}
