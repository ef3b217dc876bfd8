package probe

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"
)

const (
	// pathLimit is the size from which on a path argument or its folder is not judged.
	pathLimit = 512
	// rowUnit is the unit of a state's number, in bytes.
	rowUnit     = 32
	maxTellings = 512
	// automatonHead is what stands before the rows.
	automatonHead = 2 + 2 + 4 + 2*256 + maxTellings*int(unsafe.Sizeof(bpfTelling{}))
	// maxRows is how many bytes of rows 16-bit numbers of states can tell apart.
	maxRows = rowUnit << 16
	// pathStart stands for the beginning of a path, which has no such byte in it.
	pathStart = 0
)

// automaton recognises the paths of all clauses in one pass over the bytes of a path: the
// machine of Aho and Corasick, with a symbol for the beginning of the path. The programs
// interpret it as encode lays it out.
type automaton struct {
	nodes   []node
	classes int
	class   [256]int // of each byte; 0 is for those in no pattern
}

// A node is a prefix of some pattern, and a state once there is a next one for each class.
type node struct {
	children map[byte]int
	fail     int
	// here are the clauses of patterns that the prefix is, end of those that it is if the
	// path ends with it, folder of those whose folder it is, with its slash.
	here, end, folder uint64
	next              []int
}

// newAutomaton builds the automaton of the sets of paths of clauses; a nil one is skipped.
func newAutomaton(sets []*Paths) *automaton {
	a := &automaton{nodes: []node{{}}}
	var all uint64
	for i, p := range sets {
		if p == nil {
			continue
		}
		bit := uint64(1) << i
		all |= bit
		start := string([]byte{pathStart})
		for _, s := range p.Equal {
			a.at(start+s, s).end |= bit
		}
		for _, s := range p.Prefixes {
			a.at(start+s, s).here |= bit
		}
		for _, s := range p.Suffixes {
			a.at(s, s).end |= bit
		}
		for _, s := range p.Parts {
			a.at(s, s).here |= bit
		}
		for _, s := range p.Directories {
			a.at(start+strings.TrimSuffix(s, "/")+"/", s).folder |= bit
		}
		for _, s := range p.Names {
			a.at("/"+s, s).end |= bit
		}
	}
	// A path that is not in normal form is in every set.
	for _, s := range abnormalParts {
		a.at(s, s).here |= all
	}
	for _, s := range abnormalEnds {
		a.at(s, s).end |= all
	}
	a.at(string([]byte{pathStart}), "")
	a.link()
	return a
}

var (
	abnormalParts = []string{"//", "/./", "/../"}
	abnormalEnds  = []string{"/", "/.", "/.."}
)

// at returns the node of a pattern. What the user gave of it may hold a byte that no path
// has: then it is no path, and what is noted of it goes nowhere.
func (a *automaton) at(pattern, given string) *node {
	if strings.IndexByte(given, pathStart) >= 0 {
		return &node{}
	}
	at := 0
	for _, b := range []byte(pattern) {
		child, ok := a.nodes[at].children[b]
		if !ok {
			child = len(a.nodes)
			a.nodes = append(a.nodes, node{})
			if a.nodes[at].children == nil {
				a.nodes[at].children = make(map[byte]int, 1)
			}
			a.nodes[at].children[b] = child
			if a.class[b] == 0 {
				a.classes++
				a.class[b] = a.classes
			}
		}
		at = child
	}
	return &a.nodes[at]
}

// link turns the tree into the machine: breadth first, so that the node to fall back to is
// complete before those that fall back to it.
func (a *automaton) link() {
	rows := make([]int, len(a.nodes)*(a.classes+1))
	for i := range a.nodes {
		a.nodes[i].next = rows[i*(a.classes+1):][:a.classes+1]
	}
	queue := []int{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		n := &a.nodes[at]
		fallback := &a.nodes[n.fail]
		if at != 0 {
			copy(n.next, fallback.next)
			n.here |= fallback.here
			n.end |= fallback.end
		}
		for b, child := range n.children {
			if at != 0 {
				a.nodes[child].fail = fallback.next[a.class[b]]
			}
			n.next[a.class[b]] = child
			queue = append(queue, child)
		}
	}
}

// telling is what a state tells.
func (n *node) telling() bpfTelling {
	return bpfTelling{Here: n.here, End: n.end, Folder: n.folder}
}

// special says whether a state tells something before the end of the path.
func (n *node) special() bool { return n.here|n.folder != 0 }

// rowSize is the size of a state's row in bytes: what it tells, the next state by class of
// byte, and that after a byte in no pattern.
func (a *automaton) rowSize() int { return (2*(a.classes+2) + rowUnit - 1) / rowUnit * rowUnit }

// size is that of all rows in bytes.
func (a *automaton) size() int { return len(a.nodes) * a.rowSize() }

// usable says whether the programs can use the automaton with room bytes of rows.
func (a *automaton) usable(room int) bool {
	tellings, _ := a.tellings()
	return a.size() <= min(room, maxRows) && len(tellings) <= maxTellings
}

// encode lays the automaton out as the programs read it, with room bytes of rows. One that
// is too large is marked as not usable: then every path is in every set.
func (a *automaton) encode(room int) []byte {
	b := make([]byte, automatonHead+room)
	order := make([]int, len(a.nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Compare(btoi(a.nodes[i].special()), btoi(a.nodes[j].special()))
	})
	tellings, numbers := a.tellings()
	if !a.usable(room) {
		return b
	}
	state := make([]uint16, len(a.nodes))
	special := len(a.nodes)
	for place, i := range order {
		state[i] = uint16(place * a.rowSize() / rowUnit)
		if a.nodes[i].special() {
			special = min(special, place)
		}
	}
	put := binary.NativeEndian.PutUint16
	start := a.nodes[0].next[a.class[pathStart]]
	put(b, state[start])
	put(b[2:], uint16(min(special*a.rowSize()/rowUnit, 1<<16-1)))
	binary.NativeEndian.PutUint32(b[4:], 1)
	for c, class := range a.class {
		if c == pathStart {
			continue
		}
		put(b[8+2*c:], uint16(2*(class+1)))
	}
	for i, t := range tellings {
		at := 8 + 2*256 + i*int(unsafe.Sizeof(t))
		copy(b[at:], unsafe.Slice((*byte)(unsafe.Pointer(&t)), unsafe.Sizeof(t)))
	}
	rows := b[automatonHead:]
	for i := range a.nodes {
		row := rows[int(state[i])*rowUnit:]
		put(row, uint16(numbers[i]))
		for class, next := range a.nodes[i].next {
			put(row[2*(class+1):], state[next])
		}
	}
	return b
}

// tellings returns what states tell, each once, and the number of each state's.
func (a *automaton) tellings() ([]bpfTelling, []int) {
	var list []bpfTelling
	known := map[bpfTelling]int{}
	numbers := make([]int, len(a.nodes))
	for i := range a.nodes {
		t := a.nodes[i].telling()
		n, ok := known[t]
		if !ok {
			n = len(list)
			known[t] = n
			list = append(list, t)
		}
		numbers[i] = n
	}
	return list, numbers
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
