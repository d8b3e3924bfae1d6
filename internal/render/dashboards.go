package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// schemaVersion is the newest that Grafana 10.4 reads without migrating.
const schemaVersion = 39

// dashboardFiles are the boards that read the recorded signals.
func dashboardFiles(b *bundle) ([]File, error) {
	tree, err := b.overview()
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(b.fillTree(tree)); err != nil {
		return nil, fmt.Errorf("overview board: %w", err)
	}
	return []File{{"dashboards/overview.json", buf.Bytes()}}, nil
}

// board collects the panels of one dashboard.
type board struct {
	*bundle
	builder *dashboard.DashboardBuilder
	// vars are the labels that have a variable.
	vars []string
	id   uint32
}

// overview is the board with one panel per check, as a symbolic tree: queries
// hold parameters, and thresholds are a numberHole.
func (b *bundle) overview() (any, error) {
	title := checklist.Text{EN: "genai / Overview", KO: "genai / 개요"}
	about := checklist.Text{
		EN: "The operations checklist: every line drawn on a panel is the threshold of its alert.",
		KO: "운영 점검표. 패널의 선은 해당 경보의 기준값이다.",
	}
	o := &board{bundle: b, builder: dashboard.NewDashboardBuilder(title.In(b.lang))}
	o.builder.Uid("genai-overview").Description(about.In(b.lang)+" "+generated).Tags([]string{"genai"}).
		Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair).Time("now-6h", "now").Refresh("1m").Timezone("browser")
	o.variables()
	o.annotations()
	o.firing()
	for _, s := range b.c.Sections {
		o.section(s)
	}
	d, err := o.builder.Build()
	if err != nil {
		return nil, fmt.Errorf("overview board: %w", err)
	}
	d.SchemaVersion = schemaVersion
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("overview board: %w", err)
	}
	return decodeTree(data)
}

func datasource() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// variables are the data source, and a filter for each label that names a
// place; the values are those of the first signal that always carries it.
func (o *board) variables() {
	o.builder.WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").
		Label(checklist.Text{EN: "Data source", KO: "데이터 소스"}.In(o.lang)).Type("prometheus"))
	labels := []struct {
		name  string
		label checklist.Text
	}{
		{"cluster", checklist.Text{EN: "Cluster", KO: "클러스터"}},
		{"node", checklist.Text{EN: "Node", KO: "노드"}},
		{"model", checklist.Text{EN: "Model", KO: "모델"}},
	}
	for _, l := range labels {
		record := o.carrier(l.name)
		if record == "" {
			continue
		}
		o.vars = append(o.vars, l.name)
		o.builder.WithVariable(dashboard.NewQueryVariableBuilder(l.name).Label(l.label.In(o.lang)).
			Datasource(datasource()).Query(dashboard.StringOrMap{String: cog.ToPtr(fmt.Sprintf("label_values(%s, %s)", record, l.name))}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
			// The empty value is among all: a series need not have the label.
			Multi(true).IncludeAll(true).AllValue(".*"))
	}
}

func (o *board) carrier(label string) string {
	for _, s := range o.c.Sections {
		for _, g := range s.Signals {
			if g.Expected && (label == "cluster" || slices.Contains(g.Labels, label)) {
				return g.Record
			}
		}
	}
	return ""
}

// filtered is a series with matchers for those of its labels that have a variable.
func (o *board) filtered(series string, labels []string) string {
	var matchers []string
	for _, v := range o.vars {
		if slices.Contains(labels, v) {
			matchers = append(matchers, fmt.Sprintf(`%s=~"$%s"`, v, v))
		}
	}
	if len(matchers) == 0 {
		return series
	}
	return series + "{" + strings.Join(matchers, ", ") + "}"
}

// annotations mark on every panel when an alert of the checklist fired.
func (o *board) annotations() {
	o.builder.Annotation(dashboard.NewAnnotationQueryBuilder().
		Name(checklist.Text{EN: "Alerts of the checklist", KO: "점검표 경보"}.In(o.lang)).Datasource(datasource()).
		Enable(true).IconColor("red").
		Expr(o.alerts(`severity=~"warning|critical"`)).Step("60s").
		TitleFormat("{{alertname}}").TextFormat(o.place()).TagKeys("severity,category"))
}

// place are the labels that say where an alert of the checklist is.
func (o *board) place() string {
	var out []string
	for _, ch := range o.c.Checks() {
		g, _ := o.c.Signal(ch.Signal)
		for _, l := range g.Labels {
			if hole := "{{" + l + "}}"; !slices.Contains(out, hole) {
				out = append(out, hole)
			}
		}
	}
	return strings.Join(out, " ")
}

// alerts are the firing alerts of the checklist in the clusters chosen, and
// those of no cluster: what is absent everywhere belongs to none.
func (o *board) alerts(matchers ...string) string {
	var categories []string
	for _, ch := range o.c.Checks() {
		if !slices.Contains(categories, ch.Category) {
			categories = append(categories, ch.Category)
		}
	}
	if !slices.Contains(categories, "meta") {
		categories = append(categories, "meta")
	}
	fixed := append([]string{`alertstate="firing"`, fmt.Sprintf("category=~%q", strings.Join(categories, "|"))}, matchers...)
	if slices.Contains(o.vars, "cluster") {
		fixed = append(fixed, `cluster=~"$cluster|"`)
	}
	return "ALERTS{" + strings.Join(fixed, ", ") + "}"
}

// query is a Prometheus query of a panel.
func query(expr, legend string) *prometheus.DataqueryBuilder {
	q := prometheus.NewDataqueryBuilder().RefId("A").Datasource(datasource()).Expr(expr)
	if legend != "" {
		q.LegendFormat(legend)
	}
	return q
}
