package audit

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Falco's defaults for its plugin.
const (
	falcoOpenParams  = "http://:9765/k8s-audit"
	falcoCertificate = "/etc/falco/falco.pem"
)

// Plugin is what falco.yaml says of the plugin k8saudit.
type Plugin struct {
	// OpenParams say what to watch: the URL to listen on, or a file.
	OpenParams string
	// Certificate is the file with certificate and key for an https URL.
	Certificate string
	// Ignored are the settings of init_config that have no meaning here.
	Ignored []string
}

// FalcoPlugin returns the plugin k8saudit of a configuration file in the form of falco.yaml:
// from the list plugins, if load_plugins names it or is missing. It is nil when Falco would
// not load the plugin, and for a file that is no YAML, which others complain about.
func FalcoPlugin(file []byte) (*Plugin, error) {
	var c struct {
		Plugins []struct {
			Name       string    `yaml:"name"`
			OpenParams string    `yaml:"open_params"`
			InitConfig yaml.Node `yaml:"init_config"`
		} `yaml:"plugins"`
		Load *[]string `yaml:"load_plugins"`
	}
	if yaml.Unmarshal(file, &c) != nil || c.Load != nil && !slices.Contains(*c.Load, pluginName) {
		return nil, nil
	}
	for _, p := range c.Plugins {
		if p.Name != pluginName {
			continue
		}
		found := &Plugin{OpenParams: p.OpenParams, Certificate: falcoCertificate}
		settings, err := initConfig(&p.InitConfig)
		if err != nil {
			return nil, fmt.Errorf("read init_config of the plugin %s: %w", pluginName, err)
		}
		for name, value := range settings {
			if text, ok := value.(string); ok && name == "sslCertificate" {
				found.Certificate = text
			} else {
				found.Ignored = append(found.Ignored, name)
			}
		}
		slices.Sort(found.Ignored)
		return found, nil
	}
	return nil, nil
}

// initConfig reads the settings of a plugin, a mapping or the text of one.
func initConfig(n *yaml.Node) (map[string]any, error) {
	var settings map[string]any
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		return settings, yaml.Unmarshal([]byte(n.Value), &settings)
	}
	if n.IsZero() {
		return nil, nil
	}
	return settings, n.Decode(&settings)
}

// WithPlugin returns the configuration with what the plugin is to watch. Settings under
// "audit" win: if they enable anything the configuration is returned as it is.
func (c Config) WithPlugin(p Plugin) (Config, error) {
	if c.Enabled() {
		return c, nil
	}
	params := strings.TrimSpace(p.OpenParams)
	if params == "" {
		params = falcoOpenParams
	}
	scheme, rest, found := strings.Cut(params, "://")
	if !found {
		// Falco reads such a file once, from its start.
		c.Log.Path, c.Log.From = params, "start"
		return c, nil
	}
	switch scheme {
	case "http", "https":
		u, err := url.Parse(params)
		if err != nil || u.Port() == "" {
			return c, fmt.Errorf("open_params of the plugin %s must be a URL with a port, such as %s", pluginName, falcoOpenParams)
		}
		c.Webhook.Enabled, c.Webhook.Listen = true, u.Host
		if u.Path != "" {
			c.Webhook.Path = u.Path
		}
		if scheme == "https" {
			c.Webhook.TLSCert, c.Webhook.TLSKey = p.Certificate, p.Certificate
		}
	case "file":
		c.Log.Path = rest
	default:
		return c, fmt.Errorf("open_params of the plugin %s must be an http or https URL or a file, not %q", pluginName, scheme)
	}
	return c, nil
}
