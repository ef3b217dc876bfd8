package ui

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func serve(method, path string, header ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, http.NoBody)
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	Handler().ServeHTTP(w, r)
	return w
}

func TestThePageAndItsFilesAreServed(t *testing.T) {
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8",
		"/app.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		w := serve("GET", path)
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s, %d bytes", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, path := range []string{"/nothing", "/static/app.js", "/../ui.go", "/ui.go", "/static"} {
		r := httptest.NewRequest("GET", "/", http.NoBody)
		r.URL.Path = path
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, r)
		if w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := serve("POST", "/"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestAnUnchangedFileIsNotSentAgain(t *testing.T) {
	tag := serve("GET", "/app.js").Header().Get("ETag")
	if w := serve("GET", "/app.js", "If-None-Match", tag); tag == "" || w.Code != http.StatusNotModified {
		t.Errorf("tag %q: %d", tag, w.Code)
	}
}

// The content security policy forbids all of this; the page would be broken by it.
func TestThePageNeedsNothingFromElsewhereAndNothingInline(t *testing.T) {
	forbidden := regexp.MustCompile(`https?://|<script(?:>| [^>]*>[^<])|<style|\son[a-z]+=|\sstyle=|javascript:`)
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function`)
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		text := strings.ReplaceAll(string(content), "http://www.w3.org/2000/svg", "")
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s contains %q", name, found)
		}
		if found := unsafe.FindString(text); found != "" {
			t.Errorf("%s contains %q, which makes markup of text", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
