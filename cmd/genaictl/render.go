package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
)

func runRender(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("render", stdout, stderr)
	file := flags.Flag("checklist", "Your checklist: only what differs from the default. None: the default itself.").
		PlaceHolder("FILE").String()
	out := flags.Flag("out", "Folder to write into; made when it is missing.").Default(".").String()
	lang := flags.Flag("lang", "Language of texts in alerts, messages and boards: en or ko.").
		Default("en").HintOptions(checklist.Languages()...).String()
	if code, done := flags.parse(args); done {
		return code
	}
	c, err := loadChecklist(*file)
	if err != nil {
		return fail(stderr, exitMisuse, err)
	}
	files, err := render.All(c, render.Options{Lang: *lang})
	if err != nil {
		return fail(stderr, exitMisuse, fmt.Errorf("--lang=%s: %w", *lang, err))
	}
	w := newWriter(*out)
	changes, err := w.plan(files)
	if err != nil {
		return fail(stderr, exitMisuse, err)
	}
	if err := w.apply(changes); err != nil {
		return fail(stderr, exitUnmeasured, err)
	}
	for _, ch := range changes {
		fmt.Fprintln(stdout, ch)
	}
	fmt.Fprintf(stdout, "%d files rendered into %s, %d changed\n", len(files), *out, len(changes))
	return exitOK
}

// loadChecklist reads the user's file, or the default when there is none.
func loadChecklist(path string) (*checklist.Checklist, error) {
	if path == "" {
		return checklist.Default()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("checklist: %w", err)
	}
	return checklist.Load(filepath.ToSlash(path), data)
}
