/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Worker processes that leave their lane, or are killed, an item in hand or not, while the loop waits
 * for room or drains; and a nursery that is killed.
 *
 *   loop      xr_lane_push(), a drain, xr_copy_close(). await() is wait_slowly() of copy/lanes.c over
 *             xr_event_wait(), notice() is xr_copy_notice_death()
 *   worker    xr_worker_run() of a process: maps until it has mapped enough, then gives up its lane
 *             and exits, which is what unmaps (XR_UNMAP_AT_EXIT)
 *   nursery   xr_nursery_serve(): start_missing(), watch(), reap(), bury()
 *   killer    SIGKILL, between any two statements
 *
 * One statement is one access to shared memory, as in handoff.pml, whose guarantees hold here too.
 * The event `progress` is that of event.pml, in full: a signaller that is killed between taking the
 * flag and waking owes a wake-up which no later signal makes up for, as they find no flag. Each
 * lane's event is one bit: who signals it is never killed. Of a lane one leaver at a time may be left
 * (LEAVERS_MAX), the opener does not die (then nobody waits), and no worker hangs, so that nobody
 * need be killed at the end.
 *
 * The deadline of the loop's wait passes only when a wake-up is owed by the dead, or the nursery is
 * gone, so that it hides no other mistake.
 *
 * Checked: no run gets stuck, all processes are gone at the end. A drain that succeeds finds every
 * item done and no mapping. A failure has a death for its reason. Nobody drops a buffer twice, and
 * where nobody was killed none is left.
 *
 * Variants: KILL (one worker), KILL_NURSERY; LANES=2, with fewer records.
 */
#ifndef LANES
#define LANES 1
#endif
#define ITEMS 1 /* XR_LANE_ITEMS */
#define RECORDS (4 - LANES)
#define PUSHES 6 /* of a lane, at most, rounded up */
#define NONE 255
#define LATES 3
#define DROP 254

/* The event `progress`. */
bool changed; /* the count, since its waiter took it */
byte lates;   /* deadlines that passed with no nursery; to wait for ever is to be stuck */
bool flag, asleep, owed;

/* The arena. */
bool work[2], stop, first;
byte tail[2], head[2], done[2];
byte leaving[2], left[2], reaped[2];
byte buffer[12]; /* of items; lane l has places 6l to 6l + 5 */
bool is_drop[12];
byte users[RECORDS];

/* Processes: generation g of lane l is child 2l + g % 2. */
bool used[4], exited[4], doomed[4], by_signal[4];
byte generation[4], alive, started[2];
bool asked, bell, nursery_doomed, nursery_gone;

/* What is checked by. */
byte written, mapped;
bool killed;

#define place(l, n) (PUSHES * (l) + (n))

inline signal()
{
	d_step { changed = true; old = flag };
	if
	:: old ->
		d_step { flag = false; waking = true };
		d_step { asleep = false; waking = false; old = false }
	:: else
	fi
}

inline drop_buffer(b)
{
	d_step { assert(users[b] > 0); users[b]-- }
}

/* --- worker -------------------------------------------------------------------------------- */

inline work_on()
{
	atomic {
		if
		:: is_drop[place(l, i)] -> leaves = has_map
		:: else ->
			mapped = mapped + (has_map -> 0 : 1);
			has_map = true;
			written++;
			if /* over its budget? */
			:: leaves = true
			:: true
			fi
		fi
	}
}

inline finish()
{
	d_step { b = buffer[place(l, i)]; buffer[place(l, i)] = NONE; i = 0 };
	if
	:: b < RECORDS -> drop_buffer(b)
	:: else
	fi;
	b = 0;
	if
	:: leaves -> leaving[l]++
	:: else
	fi;
#ifdef MUT_LEFT_EARLY
	if
	:: leaves -> left[l]++
	:: else
	fi;
#endif
	done[l]++;
	signal()
}

proctype worker(byte l, me)
{
	byte i, b;
	bool old, waking, has_map, leaves;

	{
		do
		:: work[l] = false;
			if
			:: stop -> break
			:: else
			fi;
			if
			:: atomic { tail[l] != head[l] -> i = head[l]; head[l]++ }
				if
				:: first || stop
				:: else -> work_on()
				fi;
				finish();
				if
				:: leaves -> break
				:: else
				fi
			:: tail[l] == head[l] -> work[l]
			fi
		od;
#ifndef MUT_LEFT_EARLY
		if
		:: leaves ->
			left[l]++;
			bell = true
		:: else
		fi
#endif
	} unless { doomed[me] };
	atomic {
		by_signal[me] = doomed[me];
		owed = owed || (doomed[me] && waking);
		doomed[me] = false;
		mapped = mapped - (has_map -> 1 : 0);
		alive--;
		exited[me] = true
	}
}

/* --- nursery ------------------------------------------------------------------------------- */

inline start_missing(l)
{
	if
	:: l < LANES && started[l] == left[l] && left[l] == reaped[l] && !quitting && !first && !stop ->
		atomic {
			started[l]++;
			c = 2 * l + started[l] % 2;
			used[c] = true;
			exited[c] = false;
			generation[c] = started[l];
			alive++;
			run worker(l, c)
		}
	:: else
	fi
}

inline report()
{
#ifdef MUT_NO_REPORT
	skip
#else
	first = true;
#ifndef MUT_REPORT_UNSIGNALLED
	signal()
#endif
#endif
}

inline bury(l, c)
{
	if
#ifdef MUT_ANY_LEFT
	:: left[l] > 0 ->
#else
	:: generation[c] <= left[l] ->
#endif
		reaped[l]++;
#ifndef MUT_REAP_UNSIGNALLED
		signal()
#endif
	:: else ->
		if
		:: by_signal[c] || !stop -> report()
		:: else
		fi
	fi
}

inline reap(l, c)
{
	if
	:: used[c] && exited[c] ->
		used[c] = false;
		bury(l, c)
	:: else
	fi
}

#define gone(c) (used[c] && exited[c])
#define none_left !(used[0] || used[1] || used[2] || used[3])

proctype nursery()
{
	byte c;
	bool old, waking, quitting;

	{
		do
		:: start_missing(0);
			start_missing(1);
			if
			:: quitting && none_left -> break
			:: else
			fi;
			((asked && !quitting) || bell || gone(0) || gone(1) || gone(2) || gone(3));
			quitting = asked;
			bell = false;
			reap(0, 0);
			reap(0, 1);
			reap(1, 2);
			reap(1, 3)
		od
	} unless { nursery_doomed };
	/* Workers go down with their parent. */
	atomic {
		owed = owed || (nursery_doomed && waking);
		for (c : 0 .. 3) {
			doomed[c] = used[c] && !exited[c]
		}
		nursery_gone = true
	}
}

/* --- loop ---------------------------------------------------------------------------------- */

inline notice()
{
#ifdef MUT_NO_NOTICE
	skip
#else
	first = (nursery_gone -> true : first)
#endif
}

inline event_wait()
{
	late = false;
	do
	:: late -> break
	:: !late && changed -> break
	:: d_step { !late && !changed -> flag = true };
		atomic {
			if
			:: !changed && flag -> asleep = true
			:: else
			fi
		}
		if
		:: !asleep
#ifndef MUT_NO_DEADLINE
		:: owed || (nursery_gone && lates < LATES) ->
			d_step {
				asleep = false;
				late = true;
				lates = (nursery_gone && lates < LATES -> lates + 1 : lates)
			}
#endif
		fi
	od
}

inline await(holds)
{
	do
	:: changed = false;
		held = (holds);
		failed = first;
		if
		:: failed || held -> break
		:: else
		fi;
		event_wait();
		if
		:: late -> notice(); late = false
		:: else
		fi
	od;
	held = false
}

inline push(l, what)
{
	await(pushed[l] - done[l] < ITEMS);
	if
	:: !failed ->
		d_step {
			buffer[place(l, pushed[l])] = (what == DROP -> NONE : what);
			is_drop[place(l, pushed[l])] = what == DROP;
			pushed[l]++;
			tail[l]++
		}
		work[l] = true
	:: else
	fi
}

#ifdef MUT_DRAIN_DONE_ONLY
#define lane_done(l) (done[l] == pushed[l])
#else
#define lane_done(l) (done[l] == pushed[l] && reaped[l] == leaving[l])
#endif

inline discard(l)
{
	n = done[l];
	do
	:: n == pushed[l] -> break
	:: else ->
		d_step { b = buffer[place(l, n)]; buffer[place(l, n)] = NONE };
		if
		:: b < RECORDS -> drop_buffer(b)
		:: else
		fi;
		n++
	od
}

proctype loop()
{
	byte n, b, l, pushed[2];
	bool failed, held, late;

	do
	:: n == RECORDS || failed -> break
	:: else ->
		users[n] = 1;
		if
		:: l = 0
		:: LANES > 1 && n > 0 -> l = 1
		fi;
		push(l, n);
		if
		:: failed -> drop_buffer(n)
		:: else
		fi;
		n++
	od;
	if
	:: !failed -> push(0, DROP)
	:: else
	fi;
	if
	:: LANES > 1 && !failed -> push(1, DROP)
	:: else
	fi;
	if
	:: !failed -> await(lane_done(0))
	:: else
	fi;
	if
	:: LANES > 1 && !failed -> await(lane_done(1))
	:: else
	fi;
	atomic {
		assert(failed || (written == RECORDS && mapped == 0));
		assert(!failed || killed)
	}
	stop = true;
	work[0] = true;
	work[1] = true;
	asked = true;
	(nursery_gone && alive == 0);
	discard(0);
	discard(1);
	for (b : 0 .. RECORDS - 1) {
		assert(killed || users[b] == 0)
	}
}

#ifdef KILL
proctype killer()
{
	byte c;

	select(c : 0 .. 2 * LANES - 1);
	if
	:: d_step { used[c] && !exited[c] -> killed = true; doomed[c] = true }
	:: true
	fi
}
#endif

#ifdef KILL_NURSERY
proctype killer()
{
	if
	:: d_step { !nursery_gone -> killed = true; nursery_doomed = true }
	:: true
	fi
}
#endif

init
{
	atomic {
		run nursery();
		run loop();
#if defined(KILL) || defined(KILL_NURSERY)
		run killer()
#endif
	}
}
