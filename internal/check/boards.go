package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// registerOnce tells the SDK, whose registry is global, which panels and
// queries it decodes strictly.
var registerOnce = sync.OnceFunc(func() {
	r := cog.NewRuntime()
	r.RegisterDataqueryVariant(prometheus.VariantConfig())
	r.RegisterPanelcfgVariant(stat.VariantConfig())
	r.RegisterPanelcfgVariant(table.VariantConfig())
	r.RegisterPanelcfgVariant(timeseries.VariantConfig())
})

// panelTypes come with Grafana and are decoded strictly here.
func panelTypes() []string { return []string{"row", "stat", "table", "timeseries"} }

// boardJSON are the parts of a dashboard that name series.
type boardJSON struct {
	UID        string `json:"uid"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name        string `json:"name"`
			Expr        string `json:"expr"`
			TitleFormat string `json:"titleFormat"`
			TextFormat  string `json:"textFormat"`
			TagKeys     string `json:"tagKeys"`
		} `json:"list"`
	} `json:"annotations"`
	Panels []panelJSON `json:"panels"`
}

type panelJSON struct {
	ID         int    `json:"id"`
	Type       string `json:"type"`
	Title      string `json:"title"`
	Datasource struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	Targets []struct {
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
	Panels []panelJSON `json:"panels"`
}

// board is one dashboard being checked against the rules beside it.
type board struct {
	*universe
	file string
	// data is the file's text, to find lines in; nil where there are none.
	data []byte
	// from is where the panel being looked at begins.
	from int
	vars []string
	ids  []int
}

// boards checks dashboards/ with Grafana's own schema, and every query in them.
func (k *checker) boards() {
	for _, name := range k.files("dashboards", ".json") {
		b := &board{universe: k.plain, file: name, data: k.have[name]}
		b.check(k.have[name], "")
	}
}

func (b *board) note(subject, quoted, reason, advice string) {
	b.add(Finding{File: b.file, Line: b.line(quoted), Subject: subject, Reason: reason, Advice: advice})
}

// line is that of a JSON string, searched from the panel being looked at.
func (b *board) line(text string) int {
	quoted := &bytes.Buffer{}
	enc := json.NewEncoder(quoted)
	enc.SetEscapeHTML(false)
	if b.data == nil || text == "" || enc.Encode(text) != nil {
		return 0
	}
	i := bytes.Index(b.data[b.from:], bytes.TrimSpace(quoted.Bytes()))
	if i < 0 {
		return 0
	}
	return bytes.Count(b.data[:b.from+i], []byte("\n")) + 1
}

func (b *board) check(data []byte, subject string) {
	registerOnce()
	var strict dashboard.Dashboard
	err := strict.UnmarshalJSONStrict(data)
	if !wrong(err) {
		err = strict.Validate()
	}
	if wrong(err) {
		for _, line := range strings.Split(err.Error(), "\n") {
			b.note(subject, "", "is not a dashboard of Grafana's schema: "+line, "render it again")
		}
	}
	var d boardJSON
	if err := json.Unmarshal(data, &d); err != nil {
		return // UnmarshalJSONStrict has said so
	}
	for _, v := range d.Templating.List {
		b.vars = append(b.vars, v.Name)
	}
	for _, v := range d.Templating.List {
		if q, ok := v.Query.(string); ok && v.Type == "query" {
			b.variable(v.Name, q)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			labels := b.query(a.Name, a.Expr)
			b.legend(a.Name, a.TitleFormat+a.TextFormat, labels)
		}
	}
	for _, p := range d.Panels {
		b.panel(p)
	}
}

// wrong tells an error from the SDK's empty list of errors.
func wrong(err error) bool {
	var list cog.BuildErrors
	return err != nil && (!errors.As(err, &list) || len(list) > 0)
}

func (b *board) panel(p panelJSON) {
	subject := fmt.Sprintf("panel %q", p.Title)
	b.from = max(bytes.Index(b.data, fmt.Appendf(nil, "\"id\": %d,", p.ID)), 0)
	if slices.Contains(b.ids, p.ID) {
		b.note(subject, p.Title, fmt.Sprintf("has the id %d of another panel", p.ID), "number panels in order")
	}
	b.ids = append(b.ids, p.ID)
	if !slices.Contains(panelTypes(), p.Type) {
		b.note(subject, p.Title, fmt.Sprintf("is of type %s, which needs a plug-in or is not checked", p.Type), "use "+strings.Join(panelTypes(), ", "))
	}
	if len(p.Targets) > 0 && p.Datasource.UID != "${datasource}" {
		b.note(subject, p.Title, fmt.Sprintf("reads the data source %q", p.Datasource.UID), "use the variable ${datasource}")
	}
	for _, t := range p.Targets {
		b.legend(subject, t.LegendFormat, b.query(subject, t.Expr))
	}
	for _, below := range p.Panels {
		b.panel(below)
	}
}

// labelValues is the query of a variable.
var labelValues = regexp.MustCompile(`^label_values\((?:(.+),\s*)?(\w+)\)$`)

func (b *board) variable(name, query string) {
	subject := "variable " + name
	m := labelValues.FindStringSubmatch(query)
	if m == nil {
		b.note(subject, query, fmt.Sprintf("query %q is not of the form label_values(series, label)", query), "only those are checked")
		return
	}
	if m[1] == "" {
		return
	}
	if labels := b.query(subject, m[1]); !labels.has(m[2]) {
		b.note(subject, query, fmt.Sprintf("takes values of label %s, which %s does not carry", m[2], m[1]), "it carries: "+orNone(labels))
	}
}

// reference is a variable in a query: $name, ${name}, ${name:format}.
var reference = regexp.MustCompile(`\$(?:\{(\w+)[^}]*\}|(\w+))`)

// query parses a panel's query with its variables filled in and says what the
// result carries.
func (b *board) query(subject, expr string) carried {
	filled := reference.ReplaceAllStringFunc(expr, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		name := m[1] + m[2]
		switch name {
		case "__rate_interval", "__interval", "__range":
			return "5m"
		}
		if !slices.Contains(b.vars, name) {
			b.note(subject, expr, fmt.Sprintf("uses variable %s, which the board does not have", name), "it has: "+strings.Join(b.vars, ", "))
		}
		return "x"
	})
	e, err := b.parser.ParseExpr(filled)
	if err != nil {
		b.note(subject, expr, "the query does not parse: "+err.Error(), "mend the query")
		return carried{names: map[string]bool{}, open: true}
	}
	in := &inferrer{u: b.universe, report: func(reason, advice string) { b.note(subject, expr, reason, advice) }}
	return in.expr(e)
}

// placeholder is a label in a legend or an annotation's text.
var placeholder = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

func (b *board) legend(subject, text string, labels carried) {
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if !labels.has(m[1]) {
			b.note(subject, text, fmt.Sprintf("shows label %s, which the series does not carry", m[1]), "it carries: "+orNone(labels))
		}
	}
}
