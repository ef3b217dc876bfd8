package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of the given size for the test and returns its folder.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		missing(t, fmt.Sprintf("mounting a small disk needs root: %v", err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes up the space of a disk but for so many bytes, in a file that it returns.
func fill(t *testing.T, dir string, leave int64) string {
	t.Helper()
	var has unix.Statfs_t
	if err := unix.Statfs(dir, &has); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(has.Bavail)*has.Bsize-leave); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// The disk becomes full while events come in: once to the reserve that the journal keeps,
// once to the last byte.
func TestAFullDiskRefusesSendersAndLosesNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		reserve int64 // MiB that the journal shall leave
		leave   int64 // bytes that are left
		says    string
		rounds  int
	}{
		{"down to the reserve", 32, 16 << 20, "full", 3},
		{"down to the last byte", 0, 3 << 20, "journal", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEndpoint(t, "hook", nil)
			disk := smallDisk(t, "96m")
			s := newSite(t, "journal: {minfree: %dMiB}\nwebhook: {address: %q, retry: {initial: 100ms, max: 1s}}\n", c.reserve, e.url)
			s.data = filepath.Join(disk, "data")
			s.run()
			source := newSender(s)
			source.mustSend(100)
			e.answers(status(http.StatusServiceUnavailable)) // what comes from now on has to wait on the disk
			for range c.rounds {
				full := fill(t, disk, c.leave)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				source.flood(ctx, 8, &wg)
				s.eventually("/readyz says that the disk is full", func() error {
					status, body, err := s.get(s.ingest("readyz"))
					if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, c.says)) {
						err = fmt.Errorf("it answers %d: %s", status, body)
					}
					return err
				})
				s.eventually("senders are refused", func() error {
					status, header, err := source.post(ctx, source.event(0, burst))
					if err == nil && (status != http.StatusServiceUnavailable || header.Get("Retry-After") == "") {
						err = fmt.Errorf("one got %d, Retry-After %q", status, header.Get("Retry-After"))
					}
					return err
				})
				if c.reserve > 0 {
					s.eventually("the metric says so", func() error {
						if s.mustMetric("saker_journal_ready ") != 0 {
							return errNotYet
						}
						return nil
					})
				}
				if status, _, err := s.get(s.ingest("healthz")); err != nil || status != http.StatusOK {
					t.Errorf("/healthz answers %d, %v", status, err)
				}
				cancel()
				wg.Wait()
				// Delivery goes on while the disk is full.
				e.answers(nil)
				source.waitArrived(e)
				e.answers(status(http.StatusServiceUnavailable))

				if err := os.Remove(full); err != nil {
					t.Fatal(err)
				}
				s.eventually("the forwarder recovers", s.ready)
				source.settle()
				source.mustSend(100)
			}
			// A kill with what has come since then changes nothing.
			s.kill()
			s.run()
			e.answers(nil)
			source.waitArrived(e)
			s.stop()
			if n := s.said("senders are asked to come back later"); n < 1 || n > 2 {
				t.Errorf("the log says %d times that senders are refused", n)
			}
			t.Logf("%d events, none lost, %d came again", source.sum(), e.duplicates())
			if n := e.duplicates(); n > 64 {
				t.Errorf("%d events came again", n)
			}
		})
	}
}

// A file system that finds an error turns read-only under the forwarder.
func TestADiskThatTurnsReadOnlyLosesNothing(t *testing.T) {
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		missing(t, "mkfs.ext4 is not installed")
	}
	image, disk := writeFile(t, "disk.img", ""), t.TempDir()
	if err := os.Truncate(image, 128<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	mount := func() {
		t.Helper()
		out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", image, disk).CombinedOutput()
		if err != nil {
			missing(t, fmt.Sprintf("a disk image cannot be mounted: %s", out))
		}
	}
	mount()
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Error(err)
		}
	})
	device := strings.TrimSpace(run(t, "findmnt", "-n", "-o", "SOURCE", disk))

	e := newEndpoint(t, "hook", nil)
	// What a file system with an error still writes is for it to say, unless it was told to
	// write at once.
	s := newSite(t, "journal: {minfree: 8MiB, sync: always}\nwebhook: {address: %q, retry: {initial: 100ms, max: 1s}}\n", e.url)
	s.data = filepath.Join(disk, "data")
	s.run()
	source := newSender(s)
	source.mustSend(100)
	source.waitArrived(e)
	e.answers(status(http.StatusServiceUnavailable))
	source.mustSend(100)
	if err := os.WriteFile("/sys/fs/ext4/"+filepath.Base(device)+"/trigger_fs_error", []byte("a test's"), 0); err != nil {
		missing(t, fmt.Sprintf("the file system takes no error: %v", err))
	}
	s.eventually("senders are refused", func() error {
		status, header, err := source.post(t.Context(), source.event(0, burst))
		if err == nil && (status != http.StatusServiceUnavailable || header.Get("Retry-After") == "") {
			err = fmt.Errorf("one got %d, Retry-After %q", status, header.Get("Retry-After"))
		}
		return err
	})
	s.eventually("/readyz names the journal", func() error {
		status, body, err := s.get(s.ingest("readyz"))
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "journal is unavailable")) {
			err = fmt.Errorf("it answers %d: %s", status, body)
		}
		return err
	})
	if source.one(t.Context()) {
		t.Error("an event was acknowledged that cannot be stored")
	}
	e.answers(nil)
	s.signal(syscall.SIGTERM)
	s.waitEnd()
	if err := unix.Unmount(disk, 0); err != nil {
		t.Fatalf("the forwarder has ended and still uses the disk: %v", err)
	}
	// e2fsck ends with 1 when it has mended something.
	if out, err := exec.Command("e2fsck", "-f", "-p", image).CombinedOutput(); err != nil && !bytes.Contains(out, []byte("error")) {
		t.Logf("e2fsck: %v\n%s", err, out)
	}
	mount()
	s.run()
	source.settle()
	source.mustSend(100)
	source.waitArrived(e)
	s.stop()
	t.Logf("%d events, none lost, %d came again", source.sum(), e.duplicates())
	if n := e.duplicates(); n > 200 {
		t.Errorf("%d events came again", n)
	}
}

// The journal's files are damaged while the forwarder is down. It starts, says so, delivers
// what is not damaged, and counts what is gone.
func TestADamagedJournalIsReportedAndTheRestIsDelivered(t *testing.T) {
	const before, waiting, after = 100, 300, 100
	middle := func(t *testing.T, _ *site, block string, size int64) { flip(t, block, size/2, 4) }
	for _, c := range []struct {
		name   string
		kill   bool
		damage func(t *testing.T, s *site, block string, size int64)
		most   int // events that may be missing
	}{
		{"flipped bytes", false, middle, waiting},
		// Without the index that a stop writes, the log ends where it is damaged.
		{"flipped bytes after a kill", true, middle, waiting},
		{"cut end", true, func(t *testing.T, _ *site, block string, size int64) {
			if err := os.Truncate(block, size-100); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"damaged place of the output", true, func(t *testing.T, s *site, _ string, _ int64) {
			flip(t, filepath.Join(s.data, "journal/cursors/webhook.cursor"), 0, 1<<20)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEndpoint(t, "hook", nil)
			s := newSite(t, "webhook: {address: %q, retry: {initial: 100ms, max: 1s}}\n", e.url)
			s.run()
			source := newSender(s)
			source.mustSend(before)
			source.waitArrived(e)
			e.answers(status(http.StatusServiceUnavailable))
			source.mustSend(waiting)
			if c.kill {
				s.kill()
			} else {
				s.stop()
			}
			blocks, err := filepath.Glob(filepath.Join(s.data, "journal/jetstream/$G/streams/LOG/msgs/*.blk"))
			if err != nil || len(blocks) != 1 {
				t.Fatalf("the log's files are %q, %v", blocks, err)
			}
			stat, err := os.Stat(blocks[0])
			if err != nil {
				t.Fatal(err)
			}
			c.damage(t, s, blocks[0], stat.Size())

			said := len(s.log(1 << 20))
			s.run()
			e.answers(nil)
			source.mustSend(after)
			s.eventually("all that is not damaged arrives", func() error {
				lost := source.missing(e)
				if len(lost) > c.most || len(lost) > 0 && lost[0] < before+waiting/3 || len(lost) > 0 && lost[len(lost)-1] > before+waiting {
					return fmt.Errorf("%d are missing: %d…", len(lost), lost[:min(len(lost), 10)])
				}
				if s.mustMetric("saker_output_pending_events{") > 0 {
					return errNotYet
				}
				return nil
			})
			missing := len(source.missing(e))
			lost := s.count("saker_output_lost_events_total{")
			counted := int(lost + s.count("saker_journal_dead_letters{"))
			if lost > 0 {
				s.eventually("an alert tells of the loss", func() error {
					if !e.heard("Saker internal: events lost before delivery") {
						return errNotYet
					}
					return nil
				})
			}
			s.stop()
			t.Logf("%d of %d events missing, %d counted as lost or dead letters, %d came again", missing, source.sum(), counted, e.duplicates())
			// How far the log went is written down a little later than the log.
			if counted < missing-64 || counted > missing {
				t.Errorf("%d events are missing and %d are counted", missing, counted)
			}
			if told := s.log(1 << 20)[said:]; (missing > 1 || e.duplicates() > 64) &&
				!strings.Contains(told, "level=WARN") && !strings.Contains(told, "level=ERROR") {
				t.Errorf("%d events are missing, %d came again, and the log says only:\n%s", missing, e.duplicates(), told)
			}
			if n := e.duplicates(); n > before+64 {
				t.Errorf("%d events came again", n)
			}
		})
	}
}

// flip inverts bytes of a file.
func flip(t *testing.T, path string, at, count int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	some := make([]byte, count)
	n, err := f.ReadAt(some, at)
	if n == 0 {
		t.Fatal(err)
	}
	for i := range some[:n] {
		some[i] ^= 0xff
	}
	if _, err := f.WriteAt(some[:n], at); err != nil {
		t.Fatal(err)
	}
}
