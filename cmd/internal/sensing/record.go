package sensing

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/saker-security/saker/cmd/internal/version"
	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/sensor"
	"github.com/saker-security/saker/sensor/probe"
)

// Record is the command that writes what the sensor sees to a file.
type Record struct {
	Output   string        `short:"o" placeholder:"FILE" help:"File to make. Default: saker-DATE.capture in the working directory."`
	Config   string        `short:"c" placeholder:"FILE" help:"Configuration file of the sensor."`
	Rules    []string      `short:"r" placeholder:"FILE" sep:"none" help:"Rules file or folder whose events are recorded, instead of the configuration's. Repeat for more."`
	Duration time.Duration `placeholder:"TIME" help:"How long to record. Without it until it is interrupted, or the file is full."`
	MaxSize  config.Bytes  `default:"64MiB" placeholder:"SIZE" help:"Most that the file may take."`
	AllKinds bool          `help:"Record every common kind of event, not only those that the rules look at."`
	NoEnv    bool          `help:"Leave the environments of programs out. Command lines and names of files stay in."`
}

// minCapture is the smallest useful file, in bytes.
const minCapture = 64 << 10

// Run records until the time or the room is over, or it is interrupted.
func (r *Record) Run() error {
	if r.MaxSize < minCapture {
		return fmt.Errorf("--max-size must be at least %d KiB", minCapture>>10)
	}
	if r.Duration < 0 {
		return fmt.Errorf("--duration must not be negative")
	}
	c, _, err := sensor.LoadConfig(config.Source{File: r.Config, Environ: os.Environ()})
	if err != nil {
		return err
	}
	if err := probe.Check(); err != nil {
		return fmt.Errorf("this host's kernel cannot be watched: %w", err)
	}
	file := r.Output
	if file == "" {
		file = "saker-" + time.Now().Format("20060102-150405") + ".capture"
	}
	ctx, stop := Interruptible()
	defer stop()
	done, err := sensor.Record(ctx, c, file, sensor.RecordOptions{
		Log: slog.New(slog.DiscardHandler), Version: version.String(), Rules: r.Rules,
		AllKinds: r.AllKinds, NoEnv: r.NoEnv, Duration: r.Duration, Size: int64(r.MaxSize),
		Ready: func() {
			fmt.Fprintf(os.Stderr, "recording to %s; it holds command lines, names of files and maybe environments: keep it safe\n", file)
		},
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d events, %d lost, %d KiB; %s\n", file, done.Records, done.Lost, (done.Bytes+1023)>>10, done.Reason)
	return nil
}
