package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
	"github.com/genai-exporter/genai-exporter/internal/stack"
)

// upFlags are the flags of up that are more than a text.
type upFlags struct {
	checklist, lang           *string
	targets                   *[]string
	job, storage, listen, web *string
	retention, interval       *string
	alertmanager, external    **url.URL
	log                       *promslog.Config
}

func runUp(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("up", stdout, stderr)
	f := declareUp(flags)
	if code, done := flags.parse(args); done {
		return code
	}
	f.log.Writer = stderr
	o, err := f.options()
	if err != nil {
		return fail(stderr, exitMisuse, err)
	}
	err = stack.Run(ctx, o, func(a net.Addr) {
		fmt.Fprintf(stdout, "The checklist is at %s (also /checklist.txt and /checklist.json); Ctrl-C ends.\n", f.address(a))
	})
	if err != nil {
		return fail(stderr, exitUnmeasured, err)
	}
	return exitOK
}

func declareUp(flags *flagSet) *upFlags {
	f := &upFlags{log: &promslog.Config{}}
	f.checklist = flags.Flag("checklist", "Your checklist: only what differs from the default. None: the default itself.").
		PlaceHolder("FILE").String()
	f.lang = flags.Flag("lang", "Language of the page and of alerts: en or ko.").Default("en").HintOptions(checklist.Languages()...).String()
	f.targets = flags.Flag("target", "An exporter to scrape; may be repeated.").
		Default("127.0.0.1:19400").Strings()
	f.job = flags.Flag("job", "Label job of the exporters; the checklist's selector of the source must match it.").
		Default("genai_exporter").String()
	f.listen = flags.Flag("web.listen-address", "Where the page is served; another address than loopback needs --web.config.file.").
		Default("127.0.0.1:19490").String()
	f.web = flags.Flag("web.config.file", "TLS and basic authentication, as every Prometheus program reads them.").
		PlaceHolder("FILE").String()
	f.external = flags.Flag("web.external-url", "How people reach the page, if not by its address: used in links, and its host name is let in.").
		PlaceHolder("URL").URL()
	f.storage = flags.Flag("storage.path", "Folder of the samples, the rendered rules and what was notified; made when it is missing.").
		Default("data/genaictl").String()
	f.retention = flags.Flag("storage.retention", "How long samples are kept.").Default("15d").String()
	f.interval = flags.Flag("scrape.interval", "How often the exporters are scraped.").Default("15s").String()
	f.alertmanager = flags.Flag("alertmanager.url", "Alertmanager that gets all alerts. None: they are routed here, as the checklist says.").
		PlaceHolder("URL").URL()
	promslogflag.AddFlags(flags.Application, f.log)
	return f
}

// options reads the checklist and renders it.
func (f *upFlags) options() (stack.Options, error) {
	if known := checklist.Languages(); !slices.Contains(known, *f.lang) {
		return stack.Options{}, fmt.Errorf("--lang=%s: want one of %s", *f.lang, strings.Join(known, ", "))
	}
	c, err := loadChecklist(*f.checklist)
	if err != nil {
		return stack.Options{}, err
	}
	files, err := render.All(c, render.Options{Lang: *f.lang})
	if err != nil {
		return stack.Options{}, err
	}
	retention, err := model.ParseDuration(*f.retention)
	if err != nil {
		return stack.Options{}, fmt.Errorf("--storage.retention=%s: %w; want a duration such as 15d", *f.retention, err)
	}
	interval, err := model.ParseDuration(*f.interval)
	if err != nil {
		return stack.Options{}, fmt.Errorf("--scrape.interval=%s: %w; want a duration such as 15s", *f.interval, err)
	}
	socket := false
	o := stack.Options{
		Checklist: c, Files: files, Lang: *f.lang, Targets: *f.targets, Job: *f.job,
		ScrapeInterval: time.Duration(interval), Retention: time.Duration(retention), StoragePath: *f.storage,
		AlertmanagerURL: *f.alertmanager, ExternalURL: *f.external,
		Web:    &web.FlagConfig{WebListenAddresses: &[]string{*f.listen}, WebSystemdSocket: &socket, WebConfigFile: f.web},
		Logger: promslog.New(f.log), Now: time.Now, Location: time.Local,
	}
	return o, o.Validate()
}

// address is what to open in a browser.
func (f *upFlags) address(a net.Addr) string {
	switch {
	case *f.external != nil:
		return (*f.external).String()
	case *f.web != "":
		return a.String()
	}
	return "http://" + a.String() + "/"
}
