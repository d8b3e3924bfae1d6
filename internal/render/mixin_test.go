package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/formatter"

	"github.com/genai-exporter/genai-exporter/checklist"
)

func TestMixinIsFormattedAsJsonnetfmtDoes(t *testing.T) {
	t.Parallel()
	for path, data := range rendered(t, defaultChecklist(t), Options{}) {
		if !strings.HasPrefix(path, "mixin/") {
			continue
		}
		got, err := formatter.Format(path, data, formatter.DefaultOptions())
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if d := cmp.Diff(got, data); d != "" {
			t.Errorf("%s (-formatted +rendered):\n%s", path, d)
		}
	}
}

func TestMixinLibReadsDurationsAndWritesNumbers(t *testing.T) {
	t.Parallel()
	vm := jsonnet.MakeVM()
	vm.Importer(&jsonnet.MemoryImporter{Data: map[string]jsonnet.Contents{"lib.libsonnet": jsonnet.MakeContents(mixinLib)}})
	for in, want := range map[string]string{
		`lib.seconds('5m')`: "300", `lib.seconds('1h30m')`: "5400", `lib.seconds('1d')`: "86400", `lib.seconds('500ms')`: "0.5", `lib.seconds('0s')`: "0",
		`lib.text(0.9)`: `"0.9"`, `lib.text(1000)`: `"1000"`, `lib.text(0.01)`: `"0.01"`, `lib.text(0)`: `"0"`, `lib.text('5m')`: `"5m"`,
		`lib.selector('')`: `""`, `lib.selector('a="b"')`: `"a=\"b\", "`,
	} {
		got, err := vm.EvaluateAnonymousSnippet("test", "local lib = import 'lib.libsonnet'; "+in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func defaultChecklist(t *testing.T) *checklist.Checklist {
	t.Helper()
	return load(t, "")
}

// load is the default checklist with a user's text over it.
func load(t *testing.T, text string) *checklist.Checklist {
	t.Helper()
	c, err := checklist.Load("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rendered are all files by path.
func rendered(t *testing.T, c *checklist.Checklist, o Options) map[string]string {
	t.Helper()
	files, err := All(c, o)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		if _, twice := out[f.Path]; twice {
			t.Errorf("%s is rendered twice", f.Path)
		}
		out[f.Path] = string(f.Data)
	}
	return out
}
