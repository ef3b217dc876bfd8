package probe

import (
	"testing"
	"time"
)

func TestRecordsThatComeAloneArePrompt(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	for i := range 1000 {
		now = now.Add(promptEvery)
		check(t, "prompt", p.prompt(now), true)
		if i%100 == 0 {
			// A handful at once, as what leads to an alert.
			for range 8 {
				check(t, "prompt in a burst", p.prompt(now), true)
			}
			now = now.Add(8 * promptEvery)
		}
	}
}

func TestRecordsThatKeepComingGather(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	prompt := 0
	const seconds = 10
	for range seconds * 20_000 {
		now = now.Add(time.Second / 20_000)
		if p.prompt(now) {
			prompt++
		}
	}
	most := promptBurst + seconds*int(time.Second/promptEvery)
	if prompt > most {
		t.Errorf("%d waits are prompt, want at most %d", prompt, most)
	}
	now = now.Add(promptBurst * promptEvery)
	check(t, "prompt after a pause", p.prompt(now), true)
}
