package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/genai-exporter/genai-exporter/internal/check"
)

func runCheck(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("check", stdout, stderr)
	file := flags.Flag("checklist", "The checklist that the files were rendered from. None: the default itself.").
		PlaceHolder("FILE").String()
	dir := flags.Flag("dir", "Folder that was given to render as --out.").Default(".").String()
	if code, done := flags.parse(args); done {
		return code
	}
	c, err := loadChecklist(*file)
	if err != nil {
		return fail(stderr, exitMisuse, err)
	}
	info, err := os.Stat(*dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", *dir)
	}
	if err != nil {
		return fail(stderr, exitMisuse, err)
	}
	result, err := check.Bundle(c, os.DirFS(*dir))
	if err != nil {
		return fail(stderr, exitUnmeasured, err)
	}
	for _, f := range result.Findings {
		fmt.Fprintln(stdout, f)
	}
	if n := len(result.Findings); n > 0 {
		return fail(stderr, exitFindings, fmt.Errorf("%d findings in %d rendered files of %s", n, result.Files, *dir))
	}
	fmt.Fprintf(stdout, "%d rendered files of %s are fresh, and nothing is wrong with them\n", result.Files, *dir)
	return exitOK
}
