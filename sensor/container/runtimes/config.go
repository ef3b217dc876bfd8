package runtimes

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/saker-security/saker/sensor/container"
)

// Config says which container runtimes are asked, and where. The keys are those of the
// section engines of Falco's container plugin.
type Config struct {
	LabelMaxLen int    `key:"label_max_len" default:"100" doc:"How many bytes the value of a container's or pod's label may have; labels with longer values are left out."`
	CRI         Engine `key:"cri"`
	Containerd  Engine `key:"containerd"`
	Docker      Engine `key:"docker"`
	Podman      Engine `key:"podman"`
}

// Engine is one kind of runtime.
type Engine struct {
	Enabled bool     `key:"enabled" default:"true" doc:"Whether runtimes of this kind are asked about containers."`
	Sockets []string `key:"sockets" doc:"Paths of the runtimes' sockets, in which * stands for any name. HOST_ROOT is put before them. None means the usual ones."`
}

// Default is what an empty configuration means.
func Default() Config {
	on := Engine{Enabled: true}
	return Config{LabelMaxLen: container.DefaultLabelLength, CRI: on, Containerd: on, Docker: on, Podman: on}
}

// maxSockets is how many sockets a kind of runtime may name.
const maxSockets = 64

// Validate reports what cannot work.
func (c Config) Validate() error {
	if c.LabelMaxLen < 1 || c.LabelMaxLen > container.MaxText {
		return fmt.Errorf("label_max_len must be from 1 to %d, not %d", container.MaxText, c.LabelMaxLen)
	}
	for _, k := range kinds {
		sockets := k.engine(c).Sockets
		if len(sockets) > maxSockets {
			return fmt.Errorf("%s.sockets: at most %d sockets can be asked, not %d", k.name, maxSockets, len(sockets))
		}
		for _, s := range sockets {
			if !filepath.IsAbs(s) {
				return fmt.Errorf("%s.sockets: %q is not an absolute path", k.name, s)
			}
			if _, err := filepath.Match(s, ""); err != nil {
				return fmt.Errorf("%s.sockets: %q: %w", k.name, s, err)
			}
		}
	}
	return nil
}

// socket is one place to ask.
type socket struct {
	kind *kind
	path string
}

// sockets returns the sockets that exist now below root.
func (c Config) sockets(root string) []socket {
	var found []socket
	for i := range kinds {
		k := &kinds[i]
		engine := k.engine(c)
		if !engine.Enabled {
			continue
		}
		patterns := engine.Sockets
		if len(patterns) == 0 {
			patterns = k.usual
		}
		first := len(found)
		for _, pattern := range patterns {
			paths, _ := filepath.Glob(cmp.Or(root, "/") + pattern) // Validate has checked the pattern
			for _, path := range paths {
				// The same socket may have two names: /var/run is mostly /run.
				if real, err := filepath.EvalSymlinks(path); err == nil {
					path = real
				}
				s := socket{k, path}
				if len(found)-first < maxSockets && !slices.Contains(found[first:], s) {
					found = append(found, s)
				}
			}
		}
	}
	return found
}
