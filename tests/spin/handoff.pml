/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the pump hands contents to the copy workers in ordered mode, and how that ends: when all is
 * done, on a worker's error, on a cancel. Workers are threads here; the pump makes up the records.
 *
 *   pump      xr_pump() with xr_pulse(): xr_copy_begin(), data(), end(); xr_copy_retire() and the
 *             release behind it; xr_copy_drain(); then xr_copy_close(). await() is xr_copy_wait(),
 *             push() is xr_lane_push(), take_slot() is xr_lane_take_slot()
 *   worker    xr_worker_run(): next_item(), work_on(), finish(), xr_arena_report(); without the
 *             unmapping in idle time, which is nobody else's business, and with OPEN, WRITE and
 *             CLOSE of a window as one item
 *   canceller xr_cancel()
 *
 * One statement is one access to memory that is shared, with what is local before and behind it. An
 * event is one bit: was it signalled since its waiter, of whom there is one, last took the count?
 * event.pml has shown that nothing else of it matters. What the code guarantees, so that sequential
 * consistency is a fair model:
 *
 *   - Rings (engine/base/ring.c over ck_ring): what is stored before xr_ring_push() is seen behind
 *     the xr_ring_pop() of it (ck_pr_fence_store() before the index is stored, ck_pr_fence_load()
 *     behind its load).
 *   - Counters that one side writes (xr_count(), xr_read()): store-release, load-acquire. `done`
 *     grows behind all that the item asked for, the drop of its buffer included.
 *   - `first` and `stop`: released, acquired; the error is filled in before `first` is set.
 *   - Each signal is a full barrier (event.pml).
 *
 * The pump's tick looks every 50 ms for a cancel, which nobody signals. Here it comes only when
 * there is one, so that it hides no lost wake-up.
 *
 * Checked: no run gets stuck, all threads are joined; a drain that succeeds finds the last contents
 * in each frame, no mapping, and no item that failed or was thrown away; no frame goes back while a
 * worker has it mapped; no buffer has a user left at the end.
 *
 * Variants: FAIL (an operation of a worker fails), CANCEL.
 */
#define LANES 2
#define FRAMES 2 /* ordered: frame f is lane f's */
#define ITEMS 2	 /* XR_LANE_ITEMS */
#define SLOTS 2	 /* XR_LANE_SLOTS */
#define RECORDS 2
#define BUFS RECORDS
#define NONE 255
#define BOTH 3
#define EMPTY 100 /* contents of a frame that Xen has just given */

mtype = { WINDOW, CLEAR, DROP, DATA, TAKE };

/* The buffer pool. */
byte users[BUFS], content[BUFS];

/* The arena: lane l has places 2l and 2l + 1 of everything. */
bool progress, work[LANES];
byte tail[LANES], done[LANES];
mtype op[4];
byte op_slot[4], op_buf[4], slot_frames[4];
bool stop, first;

bool cancelled;
byte ended;

/* The guest, and what is checked by. */
byte backed = BOTH, mem[FRAMES], mapped[LANES];
bool failed, lost;

#define place(l, i) (2 * (l) + (i) % 2)
#define has(set, i) ((set) >> (i) & 1)

inline drop_buffer(b)
{
	users[b]--
}

inline choose_record()
{
	atomic {
		if
		:: kind = DATA; frames = 1
		:: kind = DATA; frames = BOTH
		:: n > 1 -> kind = TAKE; frames = 1
		fi
	}
}

/* --- worker -------------------------------------------------------------------------------- */

inline write_now(what)
{
	atomic {
		assert((now & ~backed) == 0);
		mem[0] = (has(now, 0) -> what : mem[0]);
		mem[1] = (has(now, 1) -> what : mem[1])
	}
}

inline map_now(frames)
{
	atomic {
		now = frames;
		assert((now & ~backed) == 0);
		mapped[l] = now | kept
	}
}

inline unmap(frames)
{
	atomic {
		kept = kept & ~(frames);
		now = 0;
		mapped[l] = kept
	}
}

inline work_on(i)
{
	if
	:: op[i] == WINDOW ->
		map_now(slot_frames[place(l, op_slot[i])]);
		write_now(content[op_buf[i]]);
		atomic { kept = kept | now; now = 0 }
	:: op[i] == CLEAR ->
		unmap(slot_frames[place(l, op_slot[i])]);
		map_now(slot_frames[place(l, op_slot[i])]);
		write_now(0);
		unmap(0)
	:: op[i] == DROP -> unmap(BOTH)
#ifdef FAIL
	:: atomic { !failed -> failed = true; lost = true; first = true }
		progress = true
#endif
	fi
}

inline finish(i)
{
	if
	:: op_buf[i] != NONE -> drop_buffer(op_buf[i])
	:: else
	fi;
	done[l]++;
#ifndef MUT_NO_PROGRESS
	progress = true
#endif
}

proctype worker(byte l)
{
	byte head, kept, now, i;

	do
	::
#ifndef MUT_LOOK_FIRST
		work[l] = false;
#endif
		if
		:: stop -> break
		:: else
		fi;
		if
		:: atomic { tail[l] != head -> i = place(l, head); head++ }
			if
			:: atomic { first || stop -> lost = true }
			:: else -> work_on(i)
			fi;
			finish(i)
		:: tail[l] == head ->
#ifdef MUT_LOOK_FIRST
			work[l] = false;
#endif
			work[l]
		fi
	od;
	atomic {
		mapped[l] = 0;
		ended++
	}
}

/* --- pump ---------------------------------------------------------------------------------- */

inline await(holds)
{
	do
	:: progress = false;
#ifdef MUT_ERROR_FIRST
		rc = first;
		held = (holds);
#elif defined(FAIL)
		held = (holds);
		rc = first;
#endif
#if defined(FAIL) || defined(MUT_ERROR_FIRST)
		if
		:: rc -> goto close
		:: !rc && held -> break
		:: else
		fi;
#else
		if
		:: holds -> break
		:: else
		fi;
#endif
		if
		:: cancelled -> goto close
		:: else
		fi;
		(progress || cancelled)
	od
}

inline take_slot(l, frames)
{
	await(done[l] >= free_at[place(l, used[l] % SLOTS)]);
	atomic {
		slot[l] = used[l] % SLOTS;
		used[l]++;
		free_at[place(l, slot[l])] = NONE;
		slot_frames[place(l, slot[l])] = frames
	}
}

inline push(l, what, buf)
{
	await(given[l] - done[l] < ITEMS);
	atomic {
		op[place(l, given[l])] = what;
		op_slot[place(l, given[l])] = slot[l];
		op_buf[place(l, given[l])] = buf;
		given[l]++;
		free_at[place(l, slot[l])] = (what != DROP ->
						      given[l] : free_at[place(l, slot[l])]);
		tail[l]++
	}
#ifndef MUT_NO_WORK
	work[l] = true
#endif
}

inline push_all(lanes, what, buf)
{
	if
	:: has(lanes, 0) ->
		push(0, what, buf);
		owed = (what == WINDOW -> owed - 1 : owed)
	:: else
	fi;
	if
	:: has(lanes, 1) ->
		push(1, what, buf);
		owed = (what == WINDOW -> owed - 1 : owed)
	:: else
	fi
}

inline take_slots(lanes, of_0, of_1)
{
	if
	:: has(lanes, 0) -> take_slot(0, of_0)
	:: else
	fi;
	if
	:: has(lanes, 1) -> take_slot(1, of_1)
	:: else
	fi
}

inline all_done()
{
	await(done[0] == given[0]);
	await(done[1] == given[1])
}

/* A window over these frames, and their contents from buffer b, which the pump owes a drop. */
inline write_frames()
{
	atomic {
		if
		:: has(frames, 0) ->
			mem[0] = (has(backed, 0) -> mem[0] : EMPTY);
			want[0] = content[b]
		:: else
		fi;
		if
		:: has(frames, 1) -> want[1] = content[b]
		:: else
		fi;
		backed = backed | frames
	}
#ifdef MUT_ROUTE_ANY
	if
	:: lanes = 1
	:: lanes = 2
	fi;
	take_slots(lanes, frames, frames);
#else
	lanes = frames;
	take_slots(lanes, 1, 2);
#endif
	if
	:: lanes == BOTH ->
		owed = 2;
#ifndef MUT_NO_HOLD
		users[b]++
#endif
	:: else
	fi;
	push_all(lanes, WINDOW, b)
}

/* Frame 0 goes back to Xen. */
inline take_frame()
{
	take_slots(1, 1, 1);
	push_all(1, CLEAR, NONE);
	all_done();
	atomic {
		assert(!has(mapped[0], 0) && !has(mapped[1], 0));
		assert(mem[0] == 0);
		backed = backed & ~1
	}
}

inline drain()
{
	push_all(BOTH, DROP, NONE);
#ifndef MUT_DRAIN_EARLY
	all_done();
#endif
	atomic {
		assert(!lost);
		assert(mapped[0] == 0 && mapped[1] == 0);
		assert(!has(backed, 0) || mem[0] == want[0]);
		assert(mem[1] == want[1])
	}
}

inline discard(l)
{
	do
	:: done[l] == given[l] -> break
	:: else ->
		b = op_buf[place(l, done[l])];
		done[l]++;
		if
		:: b != NONE -> drop_buffer(b)
		:: else
		fi
	od
}

proctype pump()
{
	byte n = 1, b = NONE, frames, lanes, owed;
	byte given[LANES], used[LANES], slot[LANES], free_at[4], want[FRAMES];
	mtype kind;
	bool rc, held;

	do
	:: cancelled || first -> break
	:: else ->
		if
		:: n > RECORDS -> drain(); break
		:: else -> choose_record()
		fi;
		if
		:: kind == DATA ->
			atomic {
				b = n - 1;
				content[b] = n;
				users[b] = 1;
				owed = 1
			};
			write_frames()
		:: kind == TAKE && has(backed, 0) -> take_frame()
		:: kind == TAKE && !has(backed, 0)
		fi;
		n++
	od;
close:
	do
	:: owed -> owed--; drop_buffer(b)
	:: else -> break
	od;
	stop = true;
#ifndef MUT_STOP_UNSIGNALLED
	work[0] = true;
	work[1] = true;
#endif
	ended == LANES;
#ifndef MUT_NO_DISCARD
	discard(0);
	discard(1);
#endif
	for (b : 0 .. BUFS - 1) {
		assert(users[b] == 0)
	}
}

#ifdef CANCEL
proctype canceller()
{
	cancelled = true
}
#endif

init
{
	atomic {
		run worker(0);
		run worker(1);
		run pump();
#ifdef CANCEL
		run canceller()
#endif
	}
}
