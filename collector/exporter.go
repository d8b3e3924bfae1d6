package collector

// The exporter's own families: registered by cmd/genai_exporter, listed here so
// that the metric surface is in one place.
var (
	// BuildInfo is a constant 1 with the version in its labels.
	BuildInfo = Family{
		Name: "genai_exporter_build_info", Type: Gauge,
		Labels: []string{"branch", "goarch", "goos", "goversion", "revision", "tags", "version"},
		Help:   "A constant 1 with the version of the exporter in its labels.",
		Bound:  "one series per process", Origin: "linker flags and the Go runtime",
	}
	// ReloadSuccessful is 1 after start and after each valid reload.
	ReloadSuccessful = Family{
		Name: "genai_exporter_config_last_reload_successful", Type: Gauge,
		Help:   "Whether the last attempt to load the configuration succeeded: 1 yes, 0 the configuration before it is still in force.",
		Origin: "SIGHUP and POST /-/reload",
	}
	// ReloadTimestamp is the moment of the last successful load.
	ReloadTimestamp = Family{
		Name: "genai_exporter_config_last_reload_success_timestamp_seconds", Type: Gauge,
		Help:   "When the configuration in force was loaded, in seconds since the epoch.",
		Origin: "SIGHUP and POST /-/reload",
	}
)

func exporterFamilies() []Family { return []Family{BuildInfo, ReloadSuccessful, ReloadTimestamp} }
