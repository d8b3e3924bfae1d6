package check

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

// alertPrefix is what Prometheus puts before every template of an alert.
const alertPrefix = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// templateFunctions exist in templates since Prometheus 2.42, the oldest that
// must load the rules; the first line are those of the language itself.
func templateFunctions() []string {
	return []string{
		"and", "call", "html", "index", "slice", "js", "len", "not", "or", "print", "printf", "println", "urlquery", "eq", "ge", "gt", "le", "lt", "ne",
		"args", "externalURL", "first", "graphLink", "humanize", "humanize1024", "humanizeDuration", "humanizePercentage", "humanizeTimestamp",
		"label", "match", "parseDuration", "pathPrefix", "query", "reReplaceAll", "safeHtml", "sortByLabel", "stripDomain", "stripPort", "strvalue",
		"tableLink", "title", "toLower", "toTime", "toUpper", "value",
	}
}

// templates runs the texts of an alert with labels that it carries, and only those.
func (u *universe) templates(r rule, has carried) {
	for _, text := range []struct {
		kind   string
		values map[string]string
	}{{"label", r.Labels}, {"annotation", r.Annotations}} {
		for _, name := range slices.Sorted(maps.Keys(text.values)) {
			for _, reason := range u.templateFaults(text.values[name], has) {
				u.add(Finding{
					File: r.file, Line: r.line, Subject: r.name(),
					Reason: fmt.Sprintf("%s %s: %s", text.kind, name, reason[0]), Advice: reason[1],
				})
			}
		}
	}
}

// templateFaults are reasons with advice.
func (u *universe) templateFaults(text string, has carried) [][2]string {
	if !strings.Contains(text, "{{") {
		return nil
	}
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(alertPrefix+text, "", "", map[string]*parse.Tree{}); err != nil {
		return [][2]string{{"is not a template: " + err.Error(), "Prometheus would refuse the file"}}
	}
	var out [][2]string
	sample := map[string]string{}
	for name := range has.names {
		sample[name] = "x"
	}
	walkTemplate(tree.Root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.IdentifierNode:
			if !slices.Contains(templateFunctions(), n.Ident) {
				out = append(out, [2]string{fmt.Sprintf("calls %s, which Prometheus 2.42 does not have", n.Ident), "use a function that it has"})
			}
		case *parse.VariableNode:
			if len(n.Ident) > 1 && n.Ident[0] == "$labels" {
				out = append(out, u.absentLabel(n.Ident[1], has, sample)...)
			}
		case *parse.FieldNode:
			if len(n.Ident) > 1 && n.Ident[0] == "Labels" {
				out = append(out, u.absentLabel(n.Ident[1], has, sample)...)
			}
		}
	})
	if len(out) > 0 {
		return out
	}
	if err := expand(text, sample); err != nil {
		return [][2]string{{"cannot be expanded: " + err.Error(), "mend the template"}}
	}
	return nil
}

func (u *universe) absentLabel(name string, has carried, sample map[string]string) [][2]string {
	sample[name] = "x"
	if has.has(name) {
		return nil
	}
	return [][2]string{{fmt.Sprintf("uses label %s, which the alert does not carry", name), "it carries: " + orNone(has)}}
}

// expand runs a template as a rule evaluation would; a query in it finds one
// series.
func expand(text string, sample map[string]string) error {
	now := model.TimeFromUnix(0)
	found := promql.Sample{F: 1, Metric: labels.FromMap(sample)}
	query := func(context.Context, string, time.Time) (promql.Vector, error) { return promql.Vector{found}, nil }
	for _, v := range []float64{0, 0.5, 12345.678} {
		data := template.AlertTemplateData(sample, nil, "", promql.Sample{F: v})
		e := template.NewTemplateExpander(context.Background(), alertPrefix+text, "alert", data, now, query, &url.URL{}, []string{"missingkey=error"})
		if _, err := e.Expand(); err != nil {
			return err
		}
	}
	return nil
}

// walkTemplate visits every node below n.
func walkTemplate(n parse.Node, visit func(parse.Node)) {
	if n == nil || reflect.ValueOf(n).IsNil() {
		return
	}
	visit(n)
	var below []parse.Node
	add := func(nodes ...parse.Node) { below = append(below, nodes...) }
	switch n := n.(type) {
	case *parse.ListNode:
		add(n.Nodes...)
	case *parse.ActionNode:
		add(n.Pipe)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			add(c)
		}
	case *parse.CommandNode:
		add(n.Args...)
	case *parse.ChainNode:
		add(n.Node)
	case *parse.IfNode:
		add(n.Pipe, n.List, n.ElseList)
	case *parse.RangeNode:
		add(n.Pipe, n.List, n.ElseList)
	case *parse.WithNode:
		add(n.Pipe, n.List, n.ElseList)
	case *parse.TemplateNode:
		add(n.Pipe)
	}
	for _, b := range below {
		walkTemplate(b, visit)
	}
}
