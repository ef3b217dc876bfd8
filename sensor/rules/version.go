package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// EngineVersion is the version of Falco's rules engine that this one is compatible with.
const EngineVersion = "0.63.0"

// version is a semantic version; what follows the patch number is ignored.
type version struct{ major, minor, patch uint64 }

var engineVersion = version{0, 63, 0}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch) }

// satisfies says whether v does where want is required: same major and not older.
func (v version) satisfies(want version) bool {
	return v.major == want.major && !v.less(want)
}

func (v version) less(w version) bool {
	if v.major != w.major {
		return v.major < w.major
	}
	if v.minor != w.minor {
		return v.minor < w.minor
	}
	return v.patch < w.patch
}

func parseVersion(s string) (version, error) {
	core, _, _ := strings.Cut(s, "+")
	core, _, _ = strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	var n [3]uint64
	ok := len(parts) == 3
	for i := 0; ok && i < 3; i++ {
		var err error
		n[i], err = strconv.ParseUint(parts[i], 10, 32)
		ok = err == nil
	}
	if !ok {
		return version{}, fmt.Errorf("want a version such as 0.57.0, not %q", s)
	}
	return version{n[0], n[1], n[2]}, nil
}

// parseEngineVersion also takes the older form, a single number N for 0.N.0.
func parseEngineVersion(s string) (version, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return version{0, n, 0}, nil
	}
	return parseVersion(s)
}

// plugin is a plugin's name with a version.
type plugin struct {
	name    string
	version version
}

// pluginRequirement is met by any of its plugins.
type pluginRequirement struct {
	at      Position
	plugins []plugin
}

// builtIn are the plugins of Falco whose fields and sources are part of this program. Each
// satisfies every version of its major.
var builtIn = map[string]uint64{
	"container": 0, "json": 0, "k8saudit": 0, "k8saudit-aks": 0, "k8saudit-eks": 0,
	"k8saudit-gke": 0, "k8saudit-ovh": 0,
}

func (r pluginRequirement) check(extra map[string]string) error {
	var names []string
	for _, p := range r.plugins {
		if major, ok := builtIn[p.name]; ok && major == p.version.major {
			return nil
		}
		if have, err := parseVersion(extra[p.name]); err == nil && have.satisfies(p.version) {
			return nil
		}
		names = append(names, p.name+" "+p.version.String())
	}
	return fmt.Errorf("%s: required_plugin_versions: the rules need the plugin %s, which is not here", r.at, strings.Join(names, " or "))
}
