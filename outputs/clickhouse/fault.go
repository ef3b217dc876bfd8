package clickhouse

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// The server's error codes, as its source names them, that say more than the status they
// come with.
const (
	unknownTable = 60
	tooManyParts = 252
)

var (
	// ofRow are the codes of rows that cannot be read, do not fit a column or break a
	// constraint.
	ofRow = []int{
		6,   // CANNOT_PARSE_TEXT
		25,  // CANNOT_PARSE_ESCAPE_SEQUENCE
		26,  // CANNOT_PARSE_QUOTED_STRING
		27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
		38,  // CANNOT_PARSE_DATE
		41,  // CANNOT_PARSE_DATETIME
		72,  // CANNOT_PARSE_NUMBER
		117, // INCORRECT_DATA
		128, // TOO_LARGE_ARRAY_SIZE
		130, // CANNOT_READ_ARRAY_FROM_TEXT
		131, // TOO_LARGE_STRING_SIZE
		321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
		376, // CANNOT_PARSE_UUID
		407, // DECIMAL_OVERFLOW
		467, // CANNOT_PARSE_BOOL
		469, // VIOLATED_CONSTRAINT
	}
	// ofSettings are the codes of a table, a user or a setting that somebody has to mend.
	ofSettings = []int{
		8,            // THERE_IS_NO_COLUMN
		16,           // NO_SUCH_COLUMN_IN_TABLE
		36,           // BAD_ARGUMENTS
		44,           // ILLEGAL_COLUMN
		46,           // UNKNOWN_FUNCTION
		47,           // UNKNOWN_IDENTIFIER
		48,           // NOT_IMPLEMENTED
		50,           // UNKNOWN_TYPE
		53,           // TYPE_MISMATCH
		62,           // SYNTAX_ERROR
		73,           // UNKNOWN_FORMAT
		81,           // UNKNOWN_DATABASE
		115,          // UNKNOWN_SETTING
		164,          // READONLY
		192,          // UNKNOWN_USER
		193,          // WRONG_PASSWORD
		194,          // REQUIRED_PASSWORD
		195,          // IP_ADDRESS_NOT_ALLOWED
		291,          // DATABASE_ACCESS_DENIED
		344,          // SUPPORT_IS_DISABLED
		452,          // SETTING_CONSTRAINT_VIOLATION
		472,          // READONLY_SETTING
		497,          // ACCESS_DENIED
		511,          // UNKNOWN_ROLE
		512,          // SET_NON_GRANTED_ROLE
		516,          // AUTHENTICATION_FAILED
		unknownTable, // UNKNOWN_TABLE
	}
)

// codeText is how the text of an exception begins, in all versions.
var codeText = regexp.MustCompile(`^\s*Code: ([0-9]{1,6})[.,]`)

// exceptionCode returns the code of the exception that an answer tells of, 0 if it tells of
// none.
func exceptionCode(header http.Header, answer []byte) int {
	if code, err := strconv.Atoi(header.Get("X-ClickHouse-Exception-Code")); err == nil && code > 0 {
		return code
	}
	if found := codeText.FindSubmatch(answer); found != nil {
		code, _ := strconv.Atoi(string(found[1])) // a few digits
		return code
	}
	return 0
}

// judge returns what an answer that is no success means. The server answers everything that
// it has no status for with 500. An answer without a code is that of a proxy.
func judge(status int, header http.Header, answer []byte, code int) error {
	err := httpx.StatusError(status, header, answer)
	shown := errors.New(err.Error())
	switch {
	case code == 0:
		return err
	case slices.Contains(ofRow, code):
		return outputs.Reject(shown)
	case code == tooManyParts && bytes.Contains(answer, []byte("partitions for single INSERT")):
		// Events of too many months: fewer of them are of fewer.
		return outputs.Reject(shown)
	case slices.Contains(ofSettings, code):
		return outputs.Hold(shown)
	case outputs.Delay(err) > 0:
		return err
	}
	return shown // load, memory, time, disk, network: it may work later
}

// checkSuccess reads an answer of class 2xx, which is empty. An exception may come with one,
// when it arose after the server had begun to answer.
func checkSuccess(answer []byte) error {
	if len(bytes.TrimSpace(answer)) == 0 {
		return nil
	}
	if code := exceptionCode(nil, answer); code != 0 {
		return judge(http.StatusOK, nil, answer, code)
	}
	if bytes.Contains(answer, []byte("DB::Exception")) {
		return errors.New("clickhouse answered 200 with an exception: " + httpx.OneLine(string(answer)))
	}
	return outputs.Hold(errors.New("the endpoint answered with a text where ClickHouse answers nothing; does hostport name its HTTP interface? " + httpx.OneLine(string(answer))))
}
