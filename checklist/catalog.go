package checklist

// Text is one text in the languages of the bundle.
type Text struct {
	EN string `yaml:"en"`
	KO string `yaml:"ko"`
}

// Languages are the codes Text.In accepts.
func Languages() []string { return []string{"en", "ko"} }

// In is the text in a language of Languages; any other code gives English.
func (t Text) In(lang string) string {
	if lang == "ko" {
		return t.KO
	}
	return t.EN
}

// Section is one file of the catalogue: how a part of the checklist is measured.
type Section struct {
	ID string `yaml:"section"`
	// Category is the routing and inhibition category of its alerts.
	Category string `yaml:"category"`
	Title    Text   `yaml:"title"`
	// Identity are the labels, beside cluster, that name what an alert is
	// about; inhibition compares them.
	Identity []string `yaml:"identity"`
	Signals  []Signal `yaml:"signals"`
	Checks   []Check  `yaml:"checks"`
}

// Signal is one recorded series: what boards, alerts and reports read.
type Signal struct {
	ID string `yaml:"id"`
	// Record is the recorded name; it may hold parameters, written %(name)s.
	Record string `yaml:"record"`
	Unit   Unit   `yaml:"unit"`
	// Labels are carried by every series, beside cluster.
	Labels []string `yaml:"labels"`
	// Expected signals are reported when they are absent and a check that is on
	// reads them.
	Expected bool `yaml:"expected"`
	// Needs are signals this one is computed from.
	Needs []string `yaml:"needs"`
	// Prefer joins the arms by these labels, the first arm winning; without
	// it, by Labels.
	Prefer []string `yaml:"prefer"`
	// Histogram is the family, by source, whose bounds limit a quantile.
	Histogram map[string]string `yaml:"histogram"`
	Help      Text              `yaml:"help"`
	Arms      []Arm             `yaml:"arms"`
}

// Arm is how one source measures a signal.
type Arm struct {
	// Source is empty for a signal computed from other signals.
	Source string `yaml:"source"`
	// Each repeats the arm for every runtime, in the declared order of
	// sources, with %(each)s in Expr. The only value is "runtime".
	Each string `yaml:"each"`
	// Expr is PromQL with parameters.
	Expr string `yaml:"expr"`
}

// Check is one line of the checklist and the alert behind it.
type Check struct {
	// ID is the key in checklist.yaml, the label `check` and the runbook.
	ID    string `yaml:"id"`
	Alert string `yaml:"alert"`
	// Category overrides the section's.
	Category string    `yaml:"category"`
	Period   string    `yaml:"period"`
	Signal   string    `yaml:"signal"`
	Bad      Direction `yaml:"bad"`
	// Fixed levels are part of what the check means and cannot be changed.
	Fixed map[Severity]float64 `yaml:"fixed"`
	// Guard must hold beside the condition: enough traffic, enough history.
	Guard       string  `yaml:"guard"`
	Title       Text    `yaml:"title"`
	Summary     Text    `yaml:"summary"`
	Description Text    `yaml:"description"`
	Action      Text    `yaml:"action"`
	Proof       []Proof `yaml:"proof"`
	// ProofArms prove the other sources' arms, by source.
	ProofArms map[string][]Proof `yaml:"proof_arms"`
	// ProofLabels are the labels of the alert that the proof makes fire.
	ProofLabels map[string]string `yaml:"proof_labels"`

	// What follows comes from checklist.yaml.

	Levels        []Level  `yaml:"-"`
	For           Duration `yaml:"-"`
	Window        Duration `yaml:"-"`
	KeepFiringFor Duration `yaml:"-"`
	MinRequests   float64  `yaml:"-"`
}

// Proof is one input series of the generated rule tests. Exactly one of the
// fields after Series is set; v is the value just below or above a threshold.
type Proof struct {
	Series string `yaml:"series"`
	// Const is the same value in every case.
	Const *float64 `yaml:"const"`
	// State is v itself where only breached and not breached exist: the value when breached.
	State *float64 `yaml:"state"`
	// Gauge is v times this.
	Gauge *float64 `yaml:"gauge"`
	// Complement is (1 - v) times this.
	Complement *float64 `yaml:"complement"`
	// Rate is a counter that grows by this much a second in every case.
	Rate *float64 `yaml:"rate"`
	// Counter grows by v times this a second.
	Counter *float64 `yaml:"counter"`
	// Histogram gets this many observations a second with a P99 of v seconds.
	Histogram *float64 `yaml:"histogram"`
	// Increase is a counter that grows by v in one window.
	Increase bool `yaml:"increase"`
	// Jump is a counter at rest for one window that then grows by v in the next.
	Jump bool `yaml:"jump"`
}

// Source is the metric contract of one source: the names a rule may use.
type Source struct {
	ID       string   `yaml:"source"`
	Title    string   `yaml:"title"`
	Families []Family `yaml:"families"`
	// Runtime is the value of the label `runtime` that stands for the source
	// where it has no such label itself.
	Runtime string `yaml:"runtime"`
}

// Family is one metric family of a Source.
type Family struct {
	Name string `yaml:"name"`
	// Type is counter, gauge or histogram.
	Type    string    `yaml:"type"`
	Labels  []string  `yaml:"labels"`
	Buckets []float64 `yaml:"buckets,omitempty"`
}
