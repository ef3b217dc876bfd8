// Package yandex is what the outputs for Yandex Cloud share: the keys of the section yandex.
// Its object storage and its data streams speak as S3 and Kinesis of AWS do, so that the
// SDK for AWS is what talks to them.
package yandex

import (
	"errors"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs/internal/awsx"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Config are the keys of the section yandex.
type Config struct {
	AccessKeyID     string        `key:"accesskeyid" required:"true" doc:"Id of the service account's static access key."`
	SecretAccessKey config.Secret `key:"secretaccesskey" required:"true" doc:"Secret of the static access key."`
	Region          string        `key:"region" default:"ru-central1" doc:"Region of the services."`
	Proxy           config.Secret `key:"proxy" doc:"URL of the proxy for Yandex Cloud: http, https or socks5, with user and password if need be. Empty for what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, none for no proxy."`
}

// Validate checks region and proxy.
func (c Config) Validate() error {
	var region error
	if c.Region == "" {
		region = errors.New("must not be empty")
	}
	return errors.Join(config.At("region", region), config.At("proxy", httpx.CheckProxy(c.Proxy.Reveal())))
}

// AWS returns c for the SDK: nothing but these credentials is used, and there is no STS to
// ask who we are.
func (c Config) AWS() awsx.Config {
	return awsx.Config{Region: c.Region, Access: awsx.Access{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, Proxy: c.Proxy,
	}}
}
