package check

import (
	"fmt"

	"github.com/prometheus/prometheus/promql/parser"
)

// inferrer follows labels through an expression.
type inferrer struct {
	u *universe
	// report is nil when a rule is only looked at because another reads it.
	report func(reason, advice string)
}

func (in *inferrer) say(reason, advice string) {
	if in.report != nil {
		in.report(reason, advice)
	}
}

// needs reports labels that are used but not there.
func (in *inferrer) needs(c carried, use string, names ...string) {
	for _, n := range names {
		if !c.has(n) {
			in.say(fmt.Sprintf("%s %s, which the series there does not carry", use, n), "it carries: "+orNone(c))
		}
	}
}

func orNone(c carried) string {
	if len(c.names) == 0 {
		return "no label"
	}
	return c.String()
}

// expr is what every series of an expression's result carries.
func (in *inferrer) expr(e parser.Expr) carried {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return in.selector(e)
	case *parser.MatrixSelector:
		return in.expr(e.VectorSelector)
	case *parser.SubqueryExpr:
		return in.expr(e.Expr)
	case *parser.ParenExpr:
		return in.expr(e.Expr)
	case *parser.UnaryExpr:
		return in.expr(e.Expr)
	case *parser.StepInvariantExpr:
		return in.expr(e.Expr)
	case *parser.AggregateExpr:
		return in.aggregate(e)
	case *parser.Call:
		return in.call(e)
	case *parser.BinaryExpr:
		return in.binary(e)
	}
	return labelSet() // a literal
}

func (in *inferrer) selector(v *parser.VectorSelector) carried {
	name := selectorName(v)
	if name == "" {
		in.say(fmt.Sprintf("%s names no metric", v), "name one: whether it is there cannot be checked otherwise")
		return carried{names: map[string]bool{}, open: true}
	}
	labels, known := in.u.series(name)
	if !known {
		in.say(in.u.unknownMetric(name))
		return carried{names: map[string]bool{}, open: true}
	}
	for _, m := range v.LabelMatchers {
		if m.Name != "__name__" && !labels.has(m.Name) {
			in.say(fmt.Sprintf("matches label %s of %s, which does not carry it", m.Name, name), "it carries: "+orNone(labels))
		}
	}
	return labels
}

func (in *inferrer) aggregate(e *parser.AggregateExpr) carried {
	inner := in.expr(e.Expr)
	if e.Param != nil {
		in.expr(e.Param)
	}
	word := "aggregates by label"
	if e.Without {
		word = "aggregates without label"
	}
	in.needs(inner, word, e.Grouping...)
	switch {
	case e.Op == parser.TOPK || e.Op == parser.BOTTOMK || e.Op == parser.LIMITK || e.Op == parser.LIMIT_RATIO:
		return inner
	case e.Without:
		return inner.without(e.Grouping...)
	}
	return labelSet(e.Grouping...)
}

func (in *inferrer) call(e *parser.Call) carried {
	var vector *carried
	for _, a := range e.Args {
		labels := in.expr(a)
		if t := a.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			vector = &labels
		}
	}
	switch e.Func.Name {
	case "absent", "absent_over_time":
		return absentLabels(e.Args[0])
	case "vector", "time", "pi":
		return labelSet()
	}
	if vector == nil {
		return labelSet()
	}
	switch e.Func.Name {
	case "histogram_quantile":
		in.needs(*vector, "takes a quantile over label", "le")
		return vector.without("le")
	case "label_replace":
		if source := literal(e.Args[3]); source != "" {
			in.needs(*vector, "replaces from label", source)
		}
		return vector.with(literal(e.Args[1]))
	case "label_join":
		for _, a := range e.Args[3:] {
			in.needs(*vector, "joins label", literal(a))
		}
		return vector.with(literal(e.Args[1]))
	}
	return *vector
}

// absentLabels are those of the equality matchers, as Prometheus makes them up.
func absentLabels(e parser.Expr) carried {
	out := labelSet()
	if m, ok := e.(*parser.MatrixSelector); ok {
		e = m.VectorSelector
	}
	v, ok := e.(*parser.VectorSelector)
	if !ok {
		return out
	}
	for _, m := range v.LabelMatchers {
		if m.Type.String() == "=" && m.Name != "__name__" {
			out.names[m.Name] = true
		}
	}
	return out
}

func literal(e parser.Expr) string {
	if s, ok := e.(*parser.StringLiteral); ok {
		return s.Val
	}
	return ""
}

func (in *inferrer) binary(e *parser.BinaryExpr) carried {
	left, right := in.expr(e.LHS), in.expr(e.RHS)
	m := e.VectorMatching
	if m == nil { // a scalar on one side
		if e.LHS.Type() == parser.ValueTypeVector {
			return left
		}
		return right
	}
	if m.On {
		in.needs(left, "matches on label", m.MatchingLabels...)
		in.needs(right, "matches on label", m.MatchingLabels...)
	} else {
		in.sameLabels(left.without(m.MatchingLabels...), right.without(m.MatchingLabels...), m.Card)
	}
	switch e.Op {
	case parser.LAND, parser.LUNLESS:
		return left
	case parser.LOR:
		return both(left, right)
	}
	switch m.Card {
	case parser.CardManyToOne:
		in.needs(right, "takes over label", m.Include...)
		return left.with(m.Include...)
	case parser.CardOneToMany:
		in.needs(left, "takes over label", m.Include...)
		return right.with(m.Include...)
	}
	if m.On {
		return labelSet(m.MatchingLabels...)
	}
	return left.without(m.MatchingLabels...)
}

// sameLabels reports sides that can never match: without `on`, series pair up
// only when all their labels are equal.
func (in *inferrer) sameLabels(left, right carried, card parser.VectorMatchCardinality) {
	if left.open || right.open || card == parser.CardManyToMany || left.String() == right.String() {
		return
	}
	in.say(fmt.Sprintf("matches all labels of series with (%s) against series with (%s)", left, right),
		"aggregate both sides to the same labels, or match `on` some")
}
