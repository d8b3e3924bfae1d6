package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// The scripted fault: one model fails for a while. The GPU's fault is in gpus.yaml.
const (
	failingModel = "qwen2.5-7b"
	faultBegins  = 25 * time.Second
	faultEnds    = 55 * time.Second
	faultRatio   = 0.08
)

// request is one line of the log, as the README shows it.
type request struct {
	Time         string `json:"timestamp"`
	Level        string `json:"level"`
	Event        string `json:"event"`
	Model        string `json:"model"`
	InputTokens  int    `json:"input_tokens"`
	OutputTokens int    `json:"output_tokens"`
	LatencyMS    int    `json:"latency_ms"`
	UserID       string `json:"user_id"`
	Error        string `json:"error,omitempty"`
}

// write appends some thirty requests a second to the log until ctx ends.
func (d *drill) write(ctx context.Context) (err error) {
	f, err := os.OpenFile(filepath.Join(d.dir, "requests.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	enc := json.NewEncoder(f)
	tick := time.NewTicker(33 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := enc.Encode(nextRequest(n, now, now.Sub(d.start))); err != nil {
				return fmt.Errorf("write the request log: %w", err)
			}
		}
	}
}

func nextRequest(n int, now time.Time, since time.Duration) request {
	r := request{
		Time: now.UTC().Format(time.RFC3339Nano), Level: "info", Event: "inference_request",
		Model: failingModel, InputTokens: 400 + rand.IntN(800), OutputTokens: 40 + rand.IntN(200),
		LatencyMS: 300 + rand.IntN(1500), UserID: fmt.Sprintf("u-%d", rand.IntN(50)),
	}
	if n%3 == 0 {
		r.Model = "llama-3.1-8b"
		return r
	}
	if since >= faultBegins && since < faultEnds && rand.Float64() < faultRatio {
		r.Level, r.Error, r.OutputTokens = "error", "CUDA out of memory", 0
	}
	return r
}
