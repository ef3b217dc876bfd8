package awsx

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Error returns what an error of the SDK means for delivery. An answer's status decides,
// as in httpx.StatusError, unless AWS names a fault: then the batch is rejected for the
// faults in rejected, which are those of its content, and for no other. What else AWS
// answers with 400 either passes by itself (throttling) or can be mended by somebody (an
// expired token, a wrong name).
func Error(err error, rejected ...string) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.Response == nil || answer.Response.Response == nil || beforehand(err) {
		return plain(err)
	}
	if sent, failed := errors.AsType[*smithyhttp.RequestSendError](err); failed {
		return plain(sent.Err) // the SDK makes up an answer without a status
	}
	var code, text string
	status, header := answer.HTTPStatusCode(), answer.Response.Header
	if fault, ok := errors.AsType[smithy.APIError](err); ok && !nameless(fault, status) {
		code, text = fault.ErrorCode(), fault.ErrorCode()+": "+fault.ErrorMessage()
	}
	classed := httpx.StatusError(status, withoutType(header), []byte(text))
	switch {
	case slices.Contains(rejected, code):
		return outputs.Reject(classed)
	case passes(code):
		return plainText(classed)
	case code != "" && outputs.Rejected(classed):
		return outputs.Hold(plainText(classed))
	}
	return classed
}

// Fault returns what it means for delivery that AWS could not take one entry of a batch
// and says so with a code and a message. The entry is rejected for the codes in rejected;
// otherwise somebody has to mend something if the fault is the sender's, us.
func Fault(code, message string, sender bool, rejected ...string) error {
	err := errors.New("the service did not take the event: " + httpx.OneLine(code+": "+message))
	switch {
	case slices.Contains(rejected, code):
		return outputs.Reject(err)
	case sender && !passes(code):
		return outputs.Hold(err)
	}
	return err
}

// passes reports whether a fault is one that the SDK itself would try again, or one of
// those that it does not know.
func passes(code string) bool {
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	_, retryable := retry.DefaultRetryableErrorCodes[code]
	return throttled || retryable || slices.Contains(passing, code)
}

// passing are faults that pass by themselves: the key service is busy, or what arrived is
// not what was sent.
var passing = []string{
	"KmsThrottled", "KMS.ThrottlingException", "KMSThrottling", "KMSThrottlingException",
	"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch",
	"InternalError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException", "OperationAborted",
}

// plainText is err without its class, but for a pause that was asked for.
func plainText(err error) error {
	text := errors.New(err.Error())
	if d := outputs.Delay(err); d > 0 {
		return outputs.RetryAfter(d, text)
	}
	return text
}

// beforehand reports whether another operation failed before the one asked for, which is
// how the SDK says that it got no credentials.
func beforehand(err error) bool {
	asked, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return false
	}
	_, ok = errors.AsType[*smithy.OperationError](asked.Err)
	return ok
}

// nameless reports whether fault is what the SDK says of an answer that names none; for some
// services that is the name of the status.
func nameless(fault smithy.APIError, status int) bool {
	code, message := fault.ErrorCode(), fault.ErrorMessage()
	text := http.StatusText(status)
	name := strings.ReplaceAll(text, " ", "")
	return code == "" || code == "UnknownError" || code == name && slices.Contains([]string{"", name, text}, message)
}

// withoutType lets the text show whatever type the answer had.
func withoutType(header http.Header) http.Header {
	header = header.Clone()
	header.Del("Content-Type")
	return header
}

// plain is err for a request that got no answer. The SDK's wrappers say what it was doing.
func plain(err error) error {
	return &sdkError{httpx.OneLine(err.Error()), err}
}

type sdkError struct {
	text string
	err  error
}

func (e *sdkError) Error() string        { return e.text }
func (e *sdkError) Is(target error) bool { return errors.Is(e.err, target) }
