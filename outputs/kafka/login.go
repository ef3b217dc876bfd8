package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/awsx"
)

// login is how we log in at the brokers.
type login struct {
	Config
	session *awsx.Session[awssdk.CredentialsProvider] // of AWS_MSK_IAM
}

func newLogin(c Config, env outputs.Env) (*login, error) {
	l := &login{Config: c}
	switch c.SASL {
	case "OAUTHBEARER":
		if _, err := l.token(); err != nil {
			return nil, err
		}
	case "AWS_MSK_IAM":
		session, err := awsx.New(c.Config, env, func(c awssdk.Config) awssdk.CredentialsProvider { return c.Credentials })
		if err != nil {
			return nil, err
		}
		l.session = session
	}
	return l, nil
}

// mechanism is what the client logs in by, nil for not at all.
func (l *login) mechanism() sasl.Mechanism {
	switch l.SASL {
	case "PLAIN":
		return plain.Auth{User: l.Username, Pass: l.Password.Reveal()}.AsMechanism()
	case "SCRAM_SHA256":
		return scram.Auth{User: l.Username, Pass: l.Password.Reveal()}.AsSha256Mechanism()
	case "SCRAM_SHA512":
		return scram.Auth{User: l.Username, Pass: l.Password.Reveal()}.AsSha512Mechanism()
	case "OAUTHBEARER":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := l.token()
			return oauth.Auth{Token: token}, err
		})
	case "AWS_MSK_IAM":
		return aws.ManagedStreamingIAM(l.identity)
	}
	return nil
}

// identity are the credentials of AWS to sign with.
func (l *login) identity(ctx context.Context) (aws.Auth, error) {
	provider, err := l.session.Client(ctx)
	if err != nil {
		return aws.Auth{}, err
	}
	c, err := provider.Retrieve(ctx)
	if err != nil {
		return aws.Auth{}, fmt.Errorf("get credentials of AWS: %w", err)
	}
	return aws.Auth{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, SessionToken: c.SessionToken, UserAgent: "saker"}, nil
}

// maxToken is the longest token that is read, in bytes.
const maxToken = 64 << 10

// token reads the token of OAUTHBEARER.
func (l *login) token() (string, error) {
	f, err := os.Open(l.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", errors.New("read token: the file is empty")
	}
	return token, nil
}
