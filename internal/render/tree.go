package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// A tree is a board as decoded JSON whose strings hold parameters as %(name)s.
// A number cannot hold a name; a parameter in its place is a number so large
// that no threshold comes near, plus the parameter's index.
const firstHole = 9_000_000_000_000_000

// numberHole stands for a parameter where JSON wants a number.
func numberHole(params []checklist.Param, name string) float64 {
	for i, p := range params {
		if p.Name == name {
			return float64(firstHole + i)
		}
	}
	return 0
}

// holeOf is the parameter that a number stands for.
func holeOf(params []checklist.Param, n json.Number) (checklist.Param, bool) {
	i, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || i < firstHole || i-firstHole >= int64(len(params)) {
		return checklist.Param{}, false
	}
	return params[i-firstHole], true
}

// decodeTree keeps numbers as they are written.
func decodeTree(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	return tree, nil
}

// fillTree puts the parameters' values in.
func (b *bundle) fillTree(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = b.fillTree(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = b.fillTree(e)
		}
		return out
	case string:
		return b.fill(v)
	case json.Number:
		if p, ok := holeOf(b.c.Params(), v); ok {
			return json.Number(p.Value)
		}
	}
	return tree
}
