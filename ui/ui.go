// Package ui is the web page, embedded into the program: a live list of alerts.
//
// It is plain HTML, CSS and JavaScript without a build step and without anything fetched
// from elsewhere. Its data come from package forwarder/api, which also sets the content
// security policy that holds the page to its own files.
package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var files embed.FS

type file struct {
	content []byte
	kind    string
	etag    string
}

// Handler serves the page at "/" and its files beside it. Browsers keep the files but ask
// each time whether they have changed, so that a new version is seen at once.
func Handler() http.Handler {
	served := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		f, ok := served[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", f.kind)
		w.Header().Set("ETag", f.etag)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
	})
}

// load reads the embedded files. They are part of the program, so errors cannot happen
// and panic.
func load() map[string]file {
	root, err := fs.Sub(files, "static")
	if err != nil {
		panic(err)
	}
	served := map[string]file{}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		sum := sha256.Sum256(content)
		served[name] = file{content, contentType(name), `"` + hex.EncodeToString(sum[:8]) + `"`}
		return err
	})
	if err != nil {
		panic(err)
	}
	return served
}

// contentType does not leave JavaScript and CSS to the machine's MIME tables, which may
// name types that browsers refuse together with nosniff.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}
