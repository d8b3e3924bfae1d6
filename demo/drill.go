package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// expected are the alerts that must be seen, and through which steps. The error
// ratio is smoothed over its window, so its alert has no `for` to be pending in.
func expected() map[string][]string {
	return map[string][]string{
		"GPUTemperatureHigh":     {"pending", "firing", "ticket told: firing", "resolved", "ticket told: resolved"},
		"InferenceErrorRateHigh": {"firing", "ticket told: firing", "resolved", "ticket told: resolved"},
	}
}

// tableEvery is how often the checklist is printed.
const tableEvery = 15 * time.Second

// drill is one run of the demo.
type drill struct {
	dir   string
	out   io.Writer
	start time.Time

	mu    sync.Mutex
	seen  map[string]map[string]time.Duration // alert -> what happened -> when
	table time.Time
	over  bool // that all was seen has been said
}

// conduct starts everything, reports until the time is over, and stops everything.
func (d *drill) conduct(ctx context.Context, limit time.Duration) (err error) {
	d.seen = map[string]map[string]time.Duration{}
	receiver, err := d.receive()
	if err != nil {
		return err
	}
	defer func() { err = with(err, receiver.Close()) }()

	exporter, err := start(d.dir, "bin/genai_exporter",
		"--web.listen-address="+exporterAddress, "--gpu.source=replay:demo/gpus.yaml",
		"--config.file=demo/exporter.yaml", "--path.state="+d.dir+"/state", "--node.name=demo-box")
	if err != nil {
		return err
	}
	defer func() { err = with(err, exporter.stop()) }()
	d.start = time.Now() // the replayed GPUs begin now, and so does the drill

	writing, stopWriting := context.WithCancel(context.Background())
	wrote := make(chan error, 1)
	go func() { wrote <- d.write(writing) }()
	defer func() { stopWriting(); err = with(err, <-wrote) }()

	up, err := start(d.dir, "bin/genaictl", "up", "--checklist=demo/checklist.yaml",
		"--web.listen-address="+pageAddress, "--target="+exporterAddress,
		"--scrape.interval=2s", "--storage.path="+d.dir+"/data")
	if err != nil {
		return err
	}
	defer func() { err = with(err, up.stop()) }()
	if err := exporter.ready(ctx, "http://"+exporterAddress+"/-/healthy"); err != nil {
		return err
	}
	if err := up.ready(ctx, "http://"+pageAddress+"/-/ready"); err != nil {
		return err
	}
	d.say("open http://%s/ (the checklist) and http://%s/ (the exporter)", pageAddress, exporterAddress)
	d.say("the drill: GPU 0 heats past 80 °C, and %s fails more than 1 %% of its requests", failingModel)
	d.table = time.Now().Add(-tableEvery + 6*time.Second) // the first one when there is something in it
	return d.watch(ctx, limit, exporter, up)
}

// with adds what went wrong while stopping, and leaves err as it is where nothing did.
func with(err, stopping error) error {
	if stopping == nil {
		return err
	}
	return errors.Join(err, stopping)
}

// watch reports once a second.
func (d *drill) watch(ctx context.Context, limit time.Duration, ps ...*process) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ps[0].done:
			return ps[0].ended(ctx)
		case <-ps[1].done:
			return ps[1].ended(ctx)
		case now := <-tick.C:
			if err := d.look(ctx, now); err != nil && ctx.Err() == nil {
				d.say("the page does not answer: %v", err)
			}
			if limit > 0 && now.Sub(d.start) >= limit {
				return d.verdict()
			}
			if limit == 0 && !d.over && len(d.missing()) == 0 {
				d.over = true
				d.say("the drill is over: %s; Ctrl-C ends the demo", allSeen)
			}
		}
	}
}

// look notes what the alerts do and prints the checklist now and then.
func (d *drill) look(ctx context.Context, now time.Time) error {
	body, err := get(ctx, "http://"+pageAddress+"/api/v1/alerts")
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
				State  string            `json:"state"`
			} `json:"alerts"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read the alerts: %w", err)
	}
	var active []string
	for _, a := range answer.Data.Alerts {
		if name := a.Labels["alertname"]; expected()[name] != nil {
			active = append(active, name)
			d.note(name, a.State)
		}
	}
	for name := range expected() {
		if !slices.Contains(active, name) && d.has(name, "firing") {
			d.note(name, "resolved")
		}
	}
	if now.Sub(d.table) < tableEvery {
		return nil
	}
	d.table = now
	text, err := get(ctx, fmt.Sprintf("http://%s/checklist.txt?columns=%d", pageAddress, terminalColumns(ctx)))
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%s\n", text)
	return nil
}

// note prints an event the first time it is seen.
func (d *drill) note(alert, event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[alert] == nil {
		d.seen[alert] = map[string]time.Duration{}
	}
	if _, ok := d.seen[alert][event]; ok {
		return
	}
	d.seen[alert][event] = time.Since(d.start)
	d.say("%s: %s", alert, event)
}

func (d *drill) has(alert, event string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.seen[alert][event]
	return ok
}

// say prints one line with the time since the drill began.
func (d *drill) say(format string, args ...any) {
	fmt.Fprintf(d.out, "[%3.0f s] %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

// allSeen is the good end.
const allSeen = "every expected alert fired, was delivered and resolved"

// verdict fails for every step of an expected alert that was not seen.
func (d *drill) verdict() error {
	if missing := d.missing(); len(missing) > 0 {
		return fmt.Errorf("not seen: %s; the logs are in %s", strings.Join(missing, ", "), d.dir)
	}
	d.say(allSeen)
	return nil
}

// missing are the steps of expected alerts that were not seen yet.
func (d *drill) missing() []string {
	var missing []string
	for _, alert := range slices.Sorted(maps.Keys(expected())) {
		for _, event := range expected()[alert] {
			if !d.has(alert, event) {
				missing = append(missing, alert+": "+event)
			}
		}
	}
	return missing
}

// receive is somebody's webhook: it prints what it is told.
func (d *drill) receive() (io.Closer, error) {
	l, err := net.Listen("tcp", receiverAddress)
	if err != nil {
		return nil, fmt.Errorf("listen for notifications on %s: %w", receiverAddress, err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(d.told), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.say("the receiver stopped: %v", err)
		}
	}()
	return srv, nil
}

func (d *drill) told(w http.ResponseWriter, r *http.Request) {
	// A page in somebody's browser may post here, but not with this type.
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "not Alertmanager's JSON", http.StatusUnsupportedMediaType)
		return
	}
	var message struct {
		Alerts []struct {
			Status      string            `json:"status"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&message); err != nil {
		http.Error(w, "not Alertmanager's JSON", http.StatusBadRequest)
		return
	}
	audience := strings.TrimPrefix(r.URL.Path, "/")
	if audience == "dead_man" {
		return
	}
	for _, a := range message.Alerts {
		name := a.Labels["alertname"]
		d.note(name, audience+" told: "+a.Status)
		if a.Status == "firing" {
			d.say("    %s", a.Annotations["description"])
		}
	}
}
