package forwarder

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/cluster"
	"github.com/saker-security/saker/forwarder/journal/embedded"
)

// openJournal opens the journal that the configuration asks for: one on a NATS cluster, or
// one in the data folder.
func openJournal(ctx context.Context, dir string, c journal.Config, log *slog.Logger) (journal.Journal, error) {
	if c.Remote() {
		j, err := cluster.Open(ctx, c, log)
		if err != nil {
			return nil, err
		}
		return j, nil
	}
	j, err := embedded.Open(ctx, filepath.Join(dir, "journal"), c, log)
	if err != nil {
		return nil, err
	}
	return j, nil
}
