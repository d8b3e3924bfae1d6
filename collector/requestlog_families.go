package collector

// result of a line; the order is part of the state file's version.
type result int

const (
	lineOK result = iota
	lineIgnored
	lineInvalidJSON
	lineMissingModel
	lineBadNumber
	lineTooLong
	numResults
)

func (r result) String() string {
	return [numResults]string{"ok", "ignored", "invalid_json", "missing_model", "bad_number", "too_long"}[r]
}

const groupBound = "request_logs of the configuration"

var (
	requestLogLines = Family{
		Name: "genai_requestlog_lines_total", Type: Counter, Labels: []string{"group", "result"},
		Help:  "Lines read by result: ok, ignored (no inference event), invalid_json (not one JSON object), missing_model, bad_number (a token count or duration that is none), too_long.",
		Bound: groupBound + " x 6", Origin: "files of the request log",
	}
	requestLogLost = Family{
		Name: "genai_requestlog_lost_bytes_total", Type: Counter, Labels: []string{"group"},
		Help:  "Bytes known to have been written and gone before they were read; see the gaps for what cannot be known.",
		Bound: groupBound, Origin: "size last seen less offset read, at a truncation",
	}
	requestLogGaps = Family{
		Name: "genai_requestlog_gaps_total", Type: Counter, Labels: []string{"group"},
		Help:  "Times at which lines may have been lost: a file was truncated, or vanished while the exporter was down.",
		Bound: groupBound, Origin: "device, inode, size and hashes of the files",
	}
	requestLogLag = Family{
		Name: "genai_requestlog_lag_bytes", Type: Gauge, Labels: []string{"group"},
		Help:  "Bytes written and not yet counted, lines without their newline included.",
		Bound: groupBound, Origin: "size less offset of the files followed",
	}
	requestLogFiles = Family{
		Name: "genai_requestlog_files", Type: Gauge, Labels: []string{"group"},
		Help:  "Files held open, rotated ones that may still grow included.",
		Bound: groupBound, Origin: "files of the request log",
	}
	requestLogReadable = Family{
		Name: "genai_requestlog_readable", Type: Gauge, Labels: []string{"group"},
		Help:  "Whether every file found could be read at the last look: 1 yes, 0 no, the log of the exporter says which.",
		Bound: groupBound, Origin: "stat, open and read of the files",
	}
	requestLogCheckpoint = Family{
		Name: "genai_requestlog_checkpoint_timestamp_seconds", Type: Gauge,
		Help:   "When the request log's totals were last made durable, in seconds since the epoch; the totals shown are of that moment. Absent without a state directory.",
		Origin: "state file",
	}
	requestLogCheckpointFailures = Family{
		Name: "genai_requestlog_checkpoint_failures_total", Type: Counter,
		Help:   "Failed attempts to write the state file since start; while it cannot be written the totals shown stand still and nothing is lost.",
		Origin: "state file",
	}
	requestLogStateDiscarded = Family{
		Name: "genai_requestlog_state_discarded", Type: Gauge,
		Help:   "Whether the state file found at start was unusable and was set aside, so that counters began at 0: 1 yes, 0 no.",
		Origin: "state file",
	}
)

func requestLogFamilies() []Family {
	return []Family{
		requestLogLines, requestLogLost, requestLogGaps, requestLogLag, requestLogFiles, requestLogReadable,
		requestLogCheckpoint, requestLogCheckpointFailures, requestLogStateDiscarded,
	}
}
