package checklist_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/genai-exporter/genai-exporter/checklist"
)

// TestExamplesOfTheReadmeLoad takes the user's checklist out of each language's
// README as a reader would copy it.
func TestExamplesOfTheReadmeLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"README.md", "README.ko.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join("..", name))
			if err != nil {
				t.Fatal(err)
			}
			blocks := strings.Split(string(data), "```")
			i := slices.IndexFunc(blocks, func(b string) bool { return strings.HasPrefix(b, "yaml\n# my-checklist.yaml\n") })
			if i < 0 {
				t.Fatal("no block that begins with # my-checklist.yaml")
			}
			c, err := checklist.Load("my-checklist.yaml", []byte(strings.TrimPrefix(blocks[i], "yaml\n")))
			if err != nil {
				t.Fatal(err)
			}
			if d, err := checklist.Default(); err != nil || slices.Equal(c.Params(), d.Params()) {
				t.Errorf("the example changes nothing: %v", err)
			}
		})
	}
}
