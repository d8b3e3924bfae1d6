// Command genaictl turns the operations checklist into rules, routing, boards
// and a mixin, checks them, and runs the bundle on one machine.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// The exit codes of every command.
const (
	exitOK = 0
	// exitFindings: the command worked and found something wrong.
	exitFindings = 1
	// exitMisuse: the call, or a file it names, cannot be used as it is.
	exitMisuse = 2
	// exitUnmeasured: whether something is wrong could not be found out.
	exitUnmeasured = 3
)

// command is one row of the table. Results go to stdout, everything else to
// stderr; run returns the exit code.
type command struct {
	name, help string
	examples   []string
	run        func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

// commands is every command there is, in the order of the help.
func commands() []command {
	return []command{
		{
			name: "render", help: "Write rules, manifests, routing, boards and the mixin from the checklist.",
			examples: []string{
				"genaictl render --checklist my-checklist.yaml --out /etc/genai",
				"genaictl render --lang ko",
			},
			run: runRender,
		},
		{
			name: "check", help: "Find stale files, unknown metrics, missing labels and bad routing in what was rendered.",
			examples: []string{
				"genaictl check",
				"genaictl check --checklist my-checklist.yaml --dir /etc/genai",
			},
			run: runCheck,
		},
		{
			name: "up", help: "Scrape, evaluate, route and show the checklist in one process, without a Prometheus.",
			examples: []string{
				"genaictl up --target 127.0.0.1:19400 --target 10.0.0.7:19400",
				"genaictl up --checklist my-checklist.yaml --lang ko --alertmanager.url http://127.0.0.1:9093",
			},
			run: runUp,
		},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	first := "--help"
	if len(args) > 0 {
		first, args = args[0], args[1:]
	}
	switch first {
	case "--version":
		fmt.Fprintln(stdout, version.Print("genaictl"))
		return exitOK
	case "--help", "-h", "help":
		if len(args) == 0 {
			usage(stdout)
			return exitOK
		}
		first, args = args[0], []string{"--help"}
	}
	if c, ok := find(first); ok {
		return c.run(ctx, args, stdout, stderr)
	}
	var known []string
	for _, c := range commands() {
		known = append(known, c.name)
	}
	return fail(stderr, exitMisuse, fmt.Errorf("unknown command %q%s", first, strictyaml.Suggest(first, append(known, "help"))))
}

func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: genaictl COMMAND [FLAGS]\n\nFrom one checklist: rules, routing, boards, and the page that shows them.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.help)
	}
	fmt.Fprint(w, "\n`genaictl help COMMAND` shows a command's flags and examples, `genaictl --version` the version.\n"+
		"Exit codes: 0 ok, 1 findings, 2 misuse, 3 could not measure.\n")
}

// flagSet is where a command declares its flags before parse.
type flagSet struct {
	*kingpin.Application
	stderr io.Writer
	asked  bool
}

// newFlags starts the flags of the command of that name in the table.
func newFlags(name string, stdout, stderr io.Writer) *flagSet {
	c, _ := find(name)
	f := &flagSet{Application: kingpin.New("genaictl "+name, c.help), stderr: stderr}
	f.HelpFlag.Short('h')
	f.UsageWriter(stdout).ErrorWriter(stderr)
	f.Terminate(func(int) { f.asked = true })
	if len(c.examples) > 0 {
		// The literal keeps the examples out of the template language.
		f.UsageFuncs(template.FuncMap{"examples": func() string { return strings.Join(c.examples, "\n  ") }})
		f.UsageTemplate(kingpin.DefaultUsageTemplate + "Examples:\n  {{examples}}\n")
	}
	return f
}

// parse reads the arguments. When done is true the command ends with code: it
// was asked for help only, or called wrongly.
func (f *flagSet) parse(args []string) (code int, done bool) {
	_, err := f.Parse(args)
	switch {
	case f.asked:
		return exitOK, true
	case err != nil:
		return fail(f.stderr, exitMisuse, fmt.Errorf("%w; see %s --help", err, f.Name)), true
	}
	return exitOK, false
}

// fail reports err and passes the code on.
func fail(stderr io.Writer, code int, err error) int {
	fmt.Fprintf(stderr, "genaictl: error: %v\n", err)
	return code
}
