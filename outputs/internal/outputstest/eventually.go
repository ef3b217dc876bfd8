package outputstest

import (
	"testing"
	"time"
)

// Eventually waits until done reports true, for what a server does after it has answered,
// and fails the test when that takes too long.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-timeout.C:
			t.Fatalf("waited %v for this: %s", patience, what)
		}
	}
}
