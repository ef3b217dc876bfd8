package awstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// AnswerKinesis is what Kinesis answers to PutRecord and PutRecords. It refuses what
// Kinesis refuses.
func AnswerKinesis(w http.ResponseWriter, r *http.Request, body []byte) {
	type record struct {
		Data         []byte
		PartitionKey string
	}
	var req struct {
		StreamName string
		record
		Records []record
	}
	if err := json.Unmarshal(body, &req); err != nil {
		Fault(w, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	several := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords")
	records, total := req.Records, 0
	if !several {
		records = []record{req.record}
	}
	answers := []string{}
	for i, rec := range records {
		if len(rec.PartitionKey) == 0 || len(rec.PartitionKey) > 256 || len(rec.Data) > 1<<20 {
			Fault(w, http.StatusBadRequest, "ValidationException", "1 validation error detected")
			return
		}
		total += len(rec.Data) + len(rec.PartitionKey)
		answers = append(answers, fmt.Sprintf(`{"SequenceNumber":"%d","ShardId":"shardId-000000000000"}`, i+1))
	}
	switch {
	case req.StreamName == "" || len(records) > 500 || total > 5<<20:
		Fault(w, http.StatusBadRequest, "InvalidArgumentException", "Records size exceeds 5 MB limit")
	case several:
		fmt.Fprintf(w, `{"FailedRecordCount":0,"Records":[%s]}`, strings.Join(answers, ","))
	default:
		_, _ = io.WriteString(w, answers[0])
	}
}
