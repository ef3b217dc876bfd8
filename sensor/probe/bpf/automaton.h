/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The paths of all clauses at once: an automaton that reads a path byte by byte and knows at
 * its end which clauses have it in their set. User space builds it (Aho and Corasick's, with
 * a symbol for the start of the path), and may build a new one while the programs run.
 */
#pragma once

#include "path.h"

/* User space sets how many bytes of rows there is room for, and the map's size to match. */
const volatile __u32 rows_size = 4096;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct automaton) + 4096);
} automata SEC(".maps");

static __always_inline bool start_walk(struct scratch *s)
{
	struct automaton *a = bpf_map_lookup_elem(&automata, &s->slot);

	if (!a || !a->usable)
		return false;
	s->walk.proven = 0;
	s->walk.folder = 0;
	s->walk.lost = 0;
	s->walk.state = a->start;
	return true;
}

static __always_inline __u16 *cell_of(struct automaton *a, __u64 state, __u64 place, __u64 last)
{
	__u64 at = state * ROW_UNIT + place;

	opaque(at);
	if (at > last)
		return 0;
	return (__u16 *)&a->rows[at];
}

/*
 * Reads the text that begins at from in the body and ends with NUL. A function of its own so
 * that the verifier looks at the loop once.
 */
__noinline int follow(__u32 from)
{
	struct scratch *s = scratch_of_cpu();
	__u64 proven, folder, state, special, at = from;
	__u64 last = rows_size - sizeof(__u16);
	struct automaton *a;

	if (!s)
		return 0;
	a = bpf_map_lookup_elem(&automata, &s->slot);
	if (!a || at > BODY_LIMIT)
		return 0;
	proven = s->walk.proven;
	folder = s->walk.folder;
	state = s->walk.state;
	special = a->special;
	for (__u32 i = 0; i < PATH_LIMIT; i++) {
		__u8 c = s->body[at + i];
		__u16 *cell;

		if (!c)
			goto ended;
		if (c == '/')
			folder = 0;
		cell = cell_of(a, state, a->cells[c], last);
		if (!cell)
			break;
		state = *cell;
		if (state >= special) {
			__u16 *number = cell_of(a, state, 0, last);
			struct telling *t;
			__u64 n;

			if (!number)
				break;
			n = *number;
			opaque(n);
			if (n >= MAX_TELLINGS)
				break;
			t = &a->tellings[n];
			proven |= t->here;
			folder |= t->folder;
		}
	}
	s->walk.lost = 1;
	return 0;
ended:
	s->walk.proven = proven;
	s->walk.folder = folder;
	s->walk.state = state;
	return 0;
}

/* The clauses that have the path that was read in their set. */
static __always_inline __u64 end_walk(struct scratch *s)
{
	struct automaton *a = bpf_map_lookup_elem(&automata, &s->slot);
	__u16 *number;
	__u64 n;

	if (!a || s->walk.lost)
		return ~0ULL;
	number = cell_of(a, s->walk.state, 0, rows_size - sizeof(__u16));
	if (!number)
		return ~0ULL;
	n = *number;
	opaque(n);
	if (n >= MAX_TELLINGS)
		return ~0ULL;
	return s->walk.proven | s->walk.folder | a->tellings[n].end;
}
