package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// mixinFiles are the bundle as a monitoring mixin: the same rules and boards,
// but every parameter is a field of _config that a user may set.
func mixinFiles(b *bundle) ([]File, error) {
	tree, err := b.overview()
	if err != nil {
		return nil, err
	}
	m := &mixinWriter{b: b}
	parts := []struct{ name, body string }{
		{"config", m.config()},
		{"rules", m.groups("prometheusRules", ".rules", func(r rule) bool { return r.Record != "" })},
		{"alerts", m.groups("prometheusAlerts", ".alerts", func(r rule) bool { return r.Alert != "" })},
		{"dashboards", m.object("grafanaDashboards", map[string]any{"overview.json": tree})},
		{"lib", mixinLib},
	}
	mixin := header("//") + "// Import this file and set fields of _config:: to change the bundle.\n"
	var out []File
	for i, p := range parts {
		out = append(out, File{"mixin/" + p.name + ".libsonnet", []byte(header("//") + p.body)})
		if p.name == "lib" {
			continue
		}
		if i > 0 {
			mixin += "+ "
		}
		mixin += "(import '" + p.name + ".libsonnet')\n"
	}
	return append(out, File{"mixin/mixin.libsonnet", []byte(mixin)}), nil
}

// mixinLib writes numbers as the plain files do, leaves no comma behind for an
// empty selector, and reads durations as Prometheus does.
const mixinLib = `{
  text(value)::
    if !std.isNumber(value) then value
    else if value == std.floor(value) then '%d' % value
    else std.rstripChars('%.12f' % value, '0'),
  selector(matchers)::
    if matchers == '' then '' else matchers + ', ',
  seconds(duration)::
    local units = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };
    local close(s) =
      { number: '', unit: '', sum: s.sum + (if s.unit == '' then 0 else std.parseInt(s.number) * units[s.unit]) };
    local read(s, c) =
      if c < '0' || c > '9' then s { unit+: c }
      else if s.unit == '' then s { number+: c }
      else close(s) { number: c };
    close(std.foldl(read, std.stringChars(duration), { number: '', unit: '', sum: 0 })).sum,
}
`

// mixinWriter writes jsonnet in the layout of jsonnetfmt.
type mixinWriter struct{ b *bundle }

func (m *mixinWriter) config() string {
	var s strings.Builder
	s.WriteString("local lib = import 'lib.libsonnet';\n{\n  _config+:: {\n")
	names := map[string]bool{}
	for _, p := range m.b.c.Params() {
		names[p.Name] = true
		value := p.Value
		if window, ok := strings.CutSuffix(p.Name, "_seconds"); ok && names[window] {
			// Follows the window when a user sets that.
			value = "lib.seconds($._config." + window + ")"
		} else if !p.Number {
			value = quote(value)
		}
		fmt.Fprintf(&s, "    %s: %s,\n", p.Name, value)
	}
	s.WriteString("  },\n}\n")
	return s.String()
}

// groups is one field with the groups that hold rules of a kind. Groups of
// rules and of alerts have names of their own, so that both fit in one file.
func (m *mixinWriter) groups(field, suffix string, keep func(rule) bool) string {
	var groups []any
	for _, g := range m.b.groups {
		var rules []any
		for _, r := range g.Rules {
			if keep(r) {
				rules = append(rules, mixinRule(r))
			}
		}
		if len(rules) > 0 {
			groups = append(groups, map[string]any{"name": g.Name + suffix, "interval": checklist.Hole("evaluation_interval"), "rules": rules})
		}
	}
	return m.object(field, map[string]any{"groups": groups})
}

// mixinRule is a rule with its parameters still in it.
func mixinRule(r rule) map[string]any {
	out := map[string]any{"expr": r.Expr}
	if r.Record != "" {
		out["record"] = r.Record
	} else {
		out["alert"], out["for"] = r.Alert, r.For.String()
	}
	if r.Keep > 0 {
		out["keep_firing_for"] = r.Keep.String()
	}
	for name, texts := range map[string]map[string]string{"labels": r.Labels, "annotations": r.Annotations} {
		if texts == nil {
			continue
		}
		values := map[string]any{}
		for k, v := range texts {
			values[k] = v
		}
		out[name] = values
	}
	return out
}

// object is a file with one field of the mixin.
func (m *mixinWriter) object(field string, value map[string]any) string {
	var s strings.Builder
	s.WriteString("local lib = import 'lib.libsonnet';\n{\n  " + field + "+:: ")
	m.value(&s, value, "  ")
	s.WriteString(",\n}\n")
	return s.String()
}

// value writes a tree; keys are sorted.
func (m *mixinWriter) value(s *strings.Builder, v any, indent string) {
	deeper := indent + "  "
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			s.WriteString("{}")
			return
		}
		s.WriteString("{\n")
		for _, k := range slices.Sorted(maps.Keys(v)) {
			s.WriteString(deeper + key(k) + ": ")
			m.value(s, v[k], deeper)
			s.WriteString(",\n")
		}
		s.WriteString(indent + "}")
	case []any:
		if len(v) == 0 {
			s.WriteString("[]")
			return
		}
		s.WriteString("[\n")
		for _, e := range v {
			s.WriteString(deeper)
			m.value(s, e, deeper)
			s.WriteString(",\n")
		}
		s.WriteString(indent + "]")
	case string:
		s.WriteString(m.text(v))
	case json.Number:
		if p, ok := holeOf(m.b.c.Params(), v); ok {
			s.WriteString("$._config." + p.Name)
			return
		}
		s.WriteString(v.String())
	case nil:
		s.WriteString("null")
	default:
		fmt.Fprint(s, v)
	}
}

// text is a string as a sum of literals and parameters.
func (m *mixinWriter) text(v string) string {
	var terms []string
	literal := func(s string) {
		if s != "" {
			terms = append(terms, quote(s))
		}
	}
	for {
		names := checklist.Holes(v)
		if len(names) == 0 {
			literal(v)
			break
		}
		before, after, _ := strings.Cut(v, checklist.Hole(names[0]))
		literal(before)
		function := "text"
		if rest, ok := strings.CutPrefix(after, ", "); ok && strings.HasSuffix(before, "{") {
			function, after = "selector", rest
		}
		terms = append(terms, "lib."+function+"($._config."+names[0]+")")
		v = after
	}
	if len(terms) == 0 {
		return "''"
	}
	return strings.Join(terms, " + ")
}

// quote is a jsonnet string in single quotes, or in double quotes where that
// saves escapes, as jsonnetfmt writes them.
func quote(s string) string {
	escaped := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\t", "\\t", "\r", "\\r").Replace(s)
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + escaped + `"`
	}
	return "'" + strings.ReplaceAll(escaped, "'", "\\'") + "'"
}

// key is a field's name, quoted where it must be.
func key(k string) string {
	for i, r := range k {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return quote(k)
		}
	}
	switch k {
	case "assert", "else", "error", "false", "for", "function", "if", "import", "importstr", "importbin", "in", "local", "null", "self", "super", "tailstrict", "then", "true":
		return quote(k)
	}
	return k
}
