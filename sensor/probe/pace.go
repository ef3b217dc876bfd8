package probe

import "time"

const (
	// promptBurst is how many records that come alone are looked at without delay, and
	// promptEvery how long it takes until one more may be.
	promptBurst = 32
	promptEvery = 10 * time.Millisecond
)

// pace decides when the reader waits for the next record and when it lets records gather.
// On a quiet machine each record is looked at when it comes: what leads to an alert is a
// handful of them. Where they keep coming, waking up for each would cost more than handling
// it.
type pace struct {
	// full is when the allowance for prompt waits is used up no longer.
	full time.Time
}

// prompt says whether the reader may wait for the next record, or should sleep first.
func (p *pace) prompt(now time.Time) bool {
	if p.full.Before(now) {
		p.full = now
	}
	if p.full.Sub(now) > (promptBurst-1)*promptEvery {
		return false
	}
	p.full = p.full.Add(promptEvery)
	return true
}
