package check

import (
	"bytes"
	"maps"
	"slices"

	"github.com/genai-exporter/genai-exporter/internal/render"
)

// freshness compares the folder with what rendering gives now.
func (k *checker) freshness(wanted map[string][]byte) {
	const again = "run genaictl render with the same checklist"
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		got, ok := k.have[name]
		switch {
		case !ok:
			k.add(Finding{File: name, Reason: "is missing", Advice: again})
		case bytes.Equal(got, wanted[name]):
		case !render.Rendered(got):
			k.add(Finding{File: name, Reason: "was not rendered but stands where a rendered file belongs", Advice: "move it away and " + again})
		default:
			k.add(Finding{
				File: name, Line: firstDifference(got, wanted[name]),
				Reason: "is not what the checklist gives: it was edited, or the checklist was changed after it",
				Advice: "put the change into the checklist and " + again,
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.have)) {
		if _, ok := wanted[name]; !ok {
			k.add(Finding{File: name, Reason: "is rendered no more", Advice: again + ", which removes it"})
		}
	}
}

// firstDifference is the first line in which got differs.
func firstDifference(got, want []byte) int {
	a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range a {
		if i >= len(b) || !bytes.Equal(a[i], b[i]) {
			return i + 1
		}
	}
	return len(a)
}
