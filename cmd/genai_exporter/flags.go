package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

// defaultAddress holds the port of the project.
const defaultAddress = ":19400"

// options are the flags of the process, as parsed.
type options struct {
	web                    *web.FlagConfig
	telemetryPath          string
	maxRequests            int
	timeoutOffset          time.Duration
	disableExporterMetrics bool
	enableLifecycle        bool
	configFile             string
	configCheck            bool
	stateDir               string
	node                   string
	gpu                    gpuOptions
	log                    *promslog.Config
	// enabled says for each row of the table whether it is switched on.
	enabled map[string]*bool
}

// gpuOptions are the flags under --gpu.
type gpuOptions struct {
	source      string
	libraryPath string
	interval    time.Duration
}

// parseFlags answers done when the arguments asked only for help or a version,
// which it has printed then. Its errors are misuse.
func parseFlags(args []string, std streams) (o *options, done bool, err error) {
	app := kingpin.New("genai_exporter", "Metrics of one GenAI node: GPUs, request logs and what they cost.")
	app.HelpFlag.Short('h')
	app.UsageWriter(std.out).ErrorWriter(std.err).Version(version.Print("genai_exporter"))
	app.Terminate(func(int) { done = true })
	o = declareFlags(app)
	if _, err := app.Parse(args); err != nil && !done {
		return nil, false, misuse{fmt.Errorf("%w; see genai_exporter --help", err)}
	}
	if done {
		return nil, true, nil
	}
	if err := o.validate(); err != nil {
		return nil, false, misuse{err}
	}
	return o, false, nil
}

func declareFlags(app *kingpin.Application) *options {
	o := &options{log: &promslog.Config{}, enabled: map[string]*bool{}}
	o.web = kingpinflag.AddFlags(app, defaultAddress)
	app.Flag("web.telemetry-path", "Path under which metrics are served.").
		Default("/metrics").StringVar(&o.telemetryPath)
	app.Flag("web.max-requests", "Scrapes answered at the same time; more get 503. 0 is no limit.").
		Default("40").SetValue(checked[int]{"web.max-requests", "a whole number", &o.maxRequests, strconv.Atoi})
	app.Flag("web.timeout-offset", "Taken off the scrape timeout that Prometheus announces, so that the answer arrives within it.").
		Default("500ms").SetValue(duration("web.timeout-offset", &o.timeoutOffset))
	app.Flag("web.disable-exporter-metrics", "Leave out the metrics about the process itself (go_*, process_*).").
		BoolVar(&o.disableExporterMetrics)
	app.Flag("web.enable-lifecycle", "Reload the configuration on POST /-/reload.").
		BoolVar(&o.enableLifecycle)
	app.Flag("config.file", "YAML file with request logs and prices. None: only what needs no configuration is served.").
		PlaceHolder("FILE").StringVar(&o.configFile)
	app.Flag("config.check", "Check the files named by --config.file, --web.config.file and --gpu.source, print every problem, and exit with 0 or 1.").
		BoolVar(&o.configCheck)
	app.Flag("path.state", "Folder of the checkpoint of what was read from request logs; made when it is missing.").
		Default("data/genai_exporter").StringVar(&o.stateDir)
	app.Flag("node.name", "Label node of the GPUs (default: the variable NODE_NAME, then the host name).").
		PlaceHolder("NAME").StringVar(&o.node)
	app.Flag("gpu.source", "Where GPU readings come from: auto (the driver if there is one), nvml (the driver) or replay:FILE.").
		Default("auto").StringVar(&o.gpu.source)
	app.Flag("gpu.library-path", "Path of the driver's library libnvidia-ml.so.1; by default the loader finds it.").
		PlaceHolder("FILE").StringVar(&o.gpu.libraryPath)
	app.Flag("gpu.interval", "How often each GPU is read.").
		Default("1s").SetValue(duration("gpu.interval", &o.gpu.interval))
	for _, row := range collectorTable() {
		o.enabled[row.name] = app.Flag("collector."+row.name, row.help).
			Default(fmt.Sprint(row.on)).Bool()
	}
	promslogflag.AddFlags(app, o.log)
	return o
}

// validate refuses values that kingpin's types let through.
func (o *options) validate() error {
	switch {
	case o.telemetryPath == "" || o.telemetryPath[0] != '/':
		return fmt.Errorf("--web.telemetry-path=%s: must begin with a slash", o.telemetryPath)
	case o.telemetryPath == "/" || o.telemetryPath == "/-/healthy" || o.telemetryPath == "/-/ready" || o.telemetryPath == "/-/reload":
		return fmt.Errorf("--web.telemetry-path=%s: that path has another use", o.telemetryPath)
	case o.maxRequests < 0:
		return fmt.Errorf("--web.max-requests=%d: must be 0 (no limit) or more", o.maxRequests)
	case o.timeoutOffset < 0:
		return fmt.Errorf("--web.timeout-offset=%s: must be 0s or more", o.timeoutOffset)
	case *o.enabled["cost"] && !*o.enabled["requestlog"]:
		return errors.New("--no-collector.requestlog: the collector cost shows what that one counts, give --no-collector.cost too")
	case o.configCheck && o.configFile == "" && *o.web.WebConfigFile == "" && !strings.HasPrefix(o.gpu.source, replayPrefix):
		return errors.New("--config.check: nothing to check, give --config.file, --web.config.file or --gpu.source=replay:FILE")
	case o.gpu.interval < 10*time.Millisecond || o.gpu.interval > time.Minute:
		return fmt.Errorf("--gpu.interval=%s: must be between 10ms and 1m", o.gpu.interval)
	}
	return o.validateGPUSource()
}

// nodeName is --node.name, then NODE_NAME (set by the downward API in a pod),
// then the host name.
func (o *options) nodeName() (string, error) {
	if o.node != "" {
		return o.node, nil
	}
	if env := os.Getenv("NODE_NAME"); env != "" {
		return env, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w; set --node.name", err)
	}
	return host, nil
}

// checked is a flag whose error names it: kingpin's own do not.
type checked[T any] struct {
	flag, want string
	into       *T
	parse      func(string) (T, error)
}

// Set parses the value of the flag.
func (c checked[T]) Set(s string) error {
	v, err := c.parse(s)
	if err != nil {
		return fmt.Errorf("--%s=%s: want %s", c.flag, s, c.want)
	}
	*c.into = v
	return nil
}

// String is the value in force.
func (c checked[T]) String() string { return fmt.Sprint(*c.into) }

func duration(flag string, into *time.Duration) checked[time.Duration] {
	return checked[time.Duration]{flag, "a duration such as 10s or 500ms", into, time.ParseDuration}
}
