// Package config reads the exporter's one configuration file. Load is strict
// and reports every problem at once, each with its file, line and key.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/pricebook"
	"github.com/genai-exporter/genai-exporter/internal/strictyaml"
)

// maxPriceFile bounds what is read of a price table, in bytes.
const maxPriceFile = 16 << 20

// Config is a valid configuration. The zero Config follows no request log,
// admits models as they appear and knows no price.
type Config struct {
	RequestLogs []RequestLog `yaml:"request_logs"`
	Models      Models       `yaml:"models"`
	Prices      Prices       `yaml:"prices"`
}

// Models says which model names become label values.
type Models struct {
	// Allow lists the names, whose counters start at 0; every other model is
	// counted as "other". Without it the first 200 well-formed names are
	// admitted, each from its first request on.
	Allow []string `yaml:"allow"`
}

// Prices names the price table.
type Prices struct {
	// File is read when the configuration is; a relative path starts at the
	// configuration's own directory.
	File string `yaml:"file"`
	// Book is what the file held, nil without a file.
	Book *pricebook.Book `yaml:"-"`
	// ModTime is when the file was last written.
	ModTime time.Time `yaml:"-"`
}

// Load reads a configuration from data; name is its path, used in messages and
// to find the price table. It returns nil with any error.
func Load(name string, data []byte) (*Config, error) {
	c := &Config{}
	doc := strictyaml.Decode(name, data, c)
	c.checkModels(doc)
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.checkRequestLogs(doc, dir)
	var priceErr error
	if c.Prices.File != "" {
		priceErr = c.Prices.load(filepath.Dir(name), doc)
	} else if doc.Has("prices") {
		doc.Addf("prices.file", "is missing: want the path of a price table")
	}
	if err := errors.Join(doc.Err(), priceErr); err != nil {
		return nil, err
	}
	return c, nil
}

// load reads the price table. A file that cannot be read is the problem of the
// key that names it; problems inside it are returned and name that file.
func (p *Prices) load(dir string, doc *strictyaml.Doc) error {
	path := p.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, modified, err := readRegular(path)
	if err != nil {
		doc.Addf("prices.file", "%v", err)
		return nil
	}
	p.Book, err = pricebook.Load(path, data)
	p.ModTime = modified
	return err
}

// readRegular reads a regular file; a device or a pipe would never end.
func readRegular(path string) ([]byte, time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPriceFile+1))
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(data) > maxPriceFile {
		return nil, time.Time{}, fmt.Errorf("%s is larger than %d bytes", path, maxPriceFile)
	}
	return data, info.ModTime(), nil
}

func (c *Config) checkModels(doc *strictyaml.Doc) {
	seen := map[string]bool{}
	for i, m := range c.Models.Allow {
		at := fmt.Sprintf("models.allow[%d]", i)
		switch {
		case !ModelName(m):
			doc.Addf(at, "%q is not a model name: want 1 to 128 letters, digits and _.:/@+-", m)
		case seen[m]:
			doc.Addf(at, "%q is listed twice", m)
		}
		seen[m] = true
	}
}

// ModelName tells whether a name may become a label value:
// [\w.:/@+-]{1,128}.
func ModelName(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == ':', c == '/', c == '@', c == '+', c == '-':
		default:
			return false
		}
	}
	return true
}
