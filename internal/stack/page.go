package stack

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageTemplate string

//go:embed page.css
var pageStyle string

// boardTimeout is what the queries of one page may take.
const boardTimeout = 10 * time.Second

// page serves the board as HTML, text and JSON.
type page struct {
	boards interface {
		board(context.Context) (*Board, error)
	}
	viewer  viewer
	html    *template.Template
	refresh time.Duration
	logger  *slog.Logger
	// policy is the content security policy; it allows our one style sheet.
	policy string
}

func newPage(o Options, boards *boardMaker) (*page, error) {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	hash := sha256.Sum256([]byte(pageStyle))
	return &page{
		boards: boards, html: t, logger: o.Logger,
		viewer:  viewer{words: wordsOf(o.Lang), lang: o.Lang, location: o.Location},
		refresh: max(5*time.Second, o.ScrapeInterval),
		policy: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-" +
			base64.StdEncoding.EncodeToString(hash[:]) + "'",
	}, nil
}

// htmlView is what the template gets.
type htmlView struct {
	view
	Style template.CSS
	// Refresh is in seconds; 0 leaves the page as it is.
	Refresh int
}

func (p *page) serveRoot(w http.ResponseWriter, r *http.Request) {
	if wantsText(r) {
		p.serveText(w, r)
		return
	}
	b, ok := p.board(w, r)
	if !ok {
		return
	}
	refresh := int(p.refresh.Seconds())
	if r.URL.Query().Get("refresh") == "0" {
		refresh = 0
	}
	p.send(w, "text/html; charset=utf-8", func(buf *bytes.Buffer) error { return p.writeHTML(buf, b, refresh) })
}

func (p *page) writeHTML(buf *bytes.Buffer, b *Board, refresh int) error {
	return p.html.Execute(buf, htmlView{p.viewer.view(b), template.CSS(pageStyle), refresh}) //nolint:gosec // our own style sheet
}

// wantsText says whether the caller asked for text and not for HTML: curl
// with a header, not a browser.
func wantsText(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "text/plain") && !strings.Contains(accept, "text/html")
}

func (p *page) serveText(w http.ResponseWriter, r *http.Request) {
	terminal := 0
	if asked := r.URL.Query().Get("columns"); asked != "" {
		n, err := strconv.ParseUint(asked, 10, 16)
		if err != nil {
			http.Error(w, "columns: want a whole number, the width of the terminal", http.StatusBadRequest)
			return
		}
		terminal = int(n)
	}
	if b, ok := p.board(w, r); ok {
		p.send(w, "text/plain; charset=utf-8", func(buf *bytes.Buffer) error { return writeText(buf, p.viewer.view(b), terminal) })
	}
}

func (p *page) serveJSON(w http.ResponseWriter, r *http.Request) {
	if b, ok := p.board(w, r); ok {
		p.send(w, "application/json", func(buf *bytes.Buffer) error { return writeJSON(buf, b) })
	}
}

func (p *page) board(w http.ResponseWriter, r *http.Request) (*Board, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), boardTimeout)
	defer cancel()
	b, err := p.boards.board(ctx)
	if err != nil {
		p.logger.Error("checklist not read", "err", err)
		http.Error(w, "the checklist could not be read; see the log", http.StatusServiceUnavailable)
		return nil, false
	}
	return b, true
}

// send writes a whole answer or an error, never half of one.
func (p *page) send(w http.ResponseWriter, contentType string, write func(*bytes.Buffer) error) {
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		p.logger.Error("page not written", "err", err)
		http.Error(w, "the page could not be written; see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Add("Vary", "Accept")
	_, _ = w.Write(buf.Bytes()) // the reader has gone, and nobody else wants to know
}
