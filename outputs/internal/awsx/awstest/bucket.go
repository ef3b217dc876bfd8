package awstest

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// AnswerBucket answers PutObject as S3 does with the bucket in the path, and refuses what S3
// refuses.
func AnswerBucket(w http.ResponseWriter, r *http.Request, body []byte) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
	switch said := r.Header.Get("X-Amz-Checksum-Crc32"); {
	case r.Method != http.MethodPut || bucket == "" || key == "":
		FaultS3(w, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	case len(key) > 1024:
		FaultS3(w, 400, "KeyTooLongError", "Your key is too long")
	case said != "" && said != sum:
		FaultS3(w, 400, "BadDigest", "The CRC32 you specified did not match the calculated checksum.")
	default:
		w.Header().Set("Etag", `"0"`)
	}
}

// Key returns the key of the object that a request is about.
func Key(u *url.URL) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return key
}

// stored matches the time in a key.
var stored = regexp.MustCompile(`/\d{4}-\d\d-\d\d/\d{4}-\d\d-\d\dT[^ /?"]*\.(json|ndjson)`)

// CleanBucket is Clean for requests whose objects' keys say when they were stored.
func CleanBucket(text string) string {
	return stored.ReplaceAllString(Clean(text), "/(date)/(time).$1")
}
