package strictyaml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Word  string            `yaml:"word"`
	Count int               `yaml:"count"`
	Big   int64             `yaml:"big"`
	Ratio float64           `yaml:"ratio"`
	On    *bool             `yaml:"on"`
	Names map[string]string `yaml:"names"`
	Skip  string            `yaml:"-"`
}

type outer struct {
	Inner inner   `yaml:"inner"`
	List  []inner `yaml:"list,omitempty"`
}

func TestDecodeNamesEveryProblem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"good":          {"inner: {word: 1.20, count: 2, big: 3, ratio: 1, on: true, names: {a: b}}\nlist: [{word: x}]", ""},
		"empty":         {"# nothing\n", ""},
		"null_is_unset": {"inner: null\nlist: ~\n", ""},
		"fraction":      {"inner:\n  count: 1.5", `f:2: inner.count: is "1.5", want a whole number`},
		"overflow":      {"inner: {count: 99999999999999999999}", `f:1: inner.count: is "99999999999999999999", want a whole number`},
		"not_a_number":  {"inner: {ratio: much}", `f:1: inner.ratio: is "much", want a number`},
		"not_a_bool":    {"inner: {on: 1}", `f:1: inner.on: is "1", want true or false`},
		"nested_word":   {"inner: {word: [a]}", `f:1: inner.word: is a list, want a text`},
		"nested_map":    {"inner: {names: {a: {b: c}}}", `f:1: inner.names.a: is a mapping, want a text`},
		"map_kind":      {"inner: {names: x}", `f:1: inner.names: is "x", want keys and values`},
		"untagged":      {"inner: {skip: a, '-': b}", "f:1: inner.skip: unknown key, want one of big, count, names, on, ratio, word\nf:1: inner.-: unknown key, want one of big, count, names, on, ratio, word"},
		"document":      {"just words", `f: is "just words", want keys and values`},
		"alias":         {"list: [&a {word: x}, *a, {wrod: *a}]", `f:1: list[2].wrod: unknown key, did you mean "word"?`},
		"order":         {"list:\n- {a: 1}\n- word: x\n  word: y\ninner: {word: {}}\n", "f:2: list[0].a: unknown key, want one of big, count, names, on, ratio, word\nf:4: list[1].word: is written twice, first on line 3\nf:5: inner.word: is a mapping, want a text"},
		"tab":           {"inner:\n\tword: x", "f:2: not valid YAML: found character that cannot start any token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o outer
			got := ""
			if err := Decode("f", []byte(c.text), &o).Err(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("problems differ (-got +want):\n%s", diff)
			}
			if name == "good" && o.Inner.Word != "1.20" {
				t.Errorf("got %q, want the digits as they are written", o.Inner.Word)
			}
		})
	}
}

func TestDecodeBoundsWhatAliasesExpandTo(t *testing.T) {
	t.Parallel()
	var o struct {
		X    []inner     `yaml:"x"`
		Y    [][]inner   `yaml:"y"`
		List [][][]inner `yaml:"list"`
	}
	row := "[" + strings.Repeat("{word: x},", 100) + "]"
	text := "x: &a " + row + "\ny: &b [" + strings.Repeat("*a,", 100) + "]\nlist: [" + strings.Repeat("*b,", 100) + "]\n"
	err := Decode("f", []byte(text), &o).Err()
	if err == nil || !strings.Contains(err.Error(), "expands to more than 200000 values") {
		t.Errorf("got error %v", err)
	}
}

func TestAddfKeepsOneProblemPerValue(t *testing.T) {
	t.Parallel()
	var o outer
	d := Decode("f", []byte("inner:\n  word: {}\n  count: 3\n"), &o)
	d.Addf("inner.word", "is missing")
	d.Addf("inner.count", "%d is too many", o.Inner.Count)
	d.Addf("inner.ratio", "is missing")
	d.Addf("list", "is missing")
	want := "f: list: is missing\nf:1: inner.ratio: is missing\nf:2: inner.word: is a mapping, want a text\nf:3: inner.count: 3 is too many"
	if diff := cmp.Diff(d.Err().Error(), want); diff != "" {
		t.Errorf("problems differ (-got +want):\n%s", diff)
	}
	if !d.Has("inner.count") || d.Has("inner.ratio") {
		t.Error("Has does not know what is written")
	}
}

func TestSuggestOffersTheNearestWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"fiels": `, did you mean "files"?`, "start": `, did you mean "start"?`, "zzzzz": ", want one of files, start", "": ", want one of files, start",
	} {
		if got := Suggest(word, []string{"start", "files"}); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("inner: {word: x}\nlist: [&a {count: 1}, *a]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var o outer
		_ = Decode("f", data, &o).Err()
	})
}
