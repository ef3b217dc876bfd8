package httpx

import "github.com/saker-security/saker/outputs/internal/falcotext"

// EncodeFit is Encode of what build makes within limits, tightened until the JSON has at
// most the given bytes or the limits are at their tightest.
func EncodeFit(limits falcotext.Limits, most int, build func(falcotext.Limits) any) ([]byte, error) {
	var err error
	body := falcotext.Fit(limits, func(l falcotext.Limits) ([]byte, bool) {
		var body []byte
		body, err = Encode(build(l))
		return body, err != nil || len(body) <= most
	})
	return body, err
}
