/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event count under everything else: engine/base/event.c over ck_ec32 and the futex.
 *
 *   signaller   xr_event_signal(): ck_ec32_inc() of a count with several producers, ck_ec32_wake()
 *   waiter      the loop of event.h: xr_event_value(), look, xr_event_wait() = ck_ec32_wait()
 *
 * One statement is one access to shared memory, or one system call. What the code guarantees:
 *
 *   - The counter changes by locked instructions only (xadd, cmpxchg, and): full barriers on x86.
 *     Value and flag are one word, so of an increment and a flagging one sees the other, and no
 *     further fence is needed between announcing sleep and looking again.
 *   - The work is visible before the increment (ck_pr_fence_store_atomic() and the lock prefix);
 *     the waiter loads the counter before the work (ck_pr_fence_acquire() in ck_ec32_value()).
 *   - FUTEX_WAIT compares and goes to sleep in one step as seen by FUTEX_WAKE: the kernel's promise.
 *
 * A signaller may be a worker process that is killed between any two statements. A wake-up that it
 * owed then is made up for by the waiter's deadline: that is why no xr_event_wait() is without one.
 * The deadline passes in the model only in that case, so that it hides no other lost wake-up.
 *
 * Checked: the waiter gets all the work that was made visible, and no run gets stuck.
 */
#define SIGNALLERS 2
#define EACH 2

byte value;  /* bits 0-30 of the counter */
bool flag;   /* bit 31: somebody sleeps, or is about to */
bool asleep; /* in FUTEX_WAIT */
byte work;
byte owed = SIGNALLERS * EACH; /* work that is to come in all */
bool killed;

inline wake()
{
	flag = false;
	if
	:: true
#ifdef KILL
	:: atomic { !killed -> killed = true; owed = owed - (EACH - 1 - i); goto dead }
#endif
	fi;
#ifndef MUT_NO_WAKE
	asleep = false;
#endif
}

inline increment(old)
{
#ifdef MUT_NOT_ATOMIC
	d_step { n = value; old = flag }
	d_step { value = n + 1; flag = old }
#else
	d_step { value = value + 1; old = flag }
#endif
}

proctype signaller()
{
	byte i;
	bool old;
#ifdef MUT_NOT_ATOMIC
	byte n;
#endif

	do
	:: i == EACH -> break
	:: i < EACH ->
#ifdef MUT_SIGNAL_FIRST
		increment(old);
		work++;
#else
		work++;
		increment(old);
#endif
		if
		:: old -> wake()
		:: else
		fi;
		i++
	od;
dead:
	skip
}

proctype waiter()
{
	byte got, seen;

look:
#ifndef MUT_LOOK_FIRST
	seen = value;
#endif
	if
	:: atomic { work > got -> got++; goto look }
	:: got == owed -> goto out
	:: else
	fi;
#ifdef MUT_LOOK_FIRST
	seen = value;
#endif
	do
#ifdef MUT_NO_ANNOUNCE
	:: atomic { value == seen -> skip }
#else
	:: d_step { value == seen -> flag = true } /* cmpxchg */
#endif
		atomic {
			if
#ifdef MUT_NO_COMPARE
			:: true -> asleep = true
#elif defined(MUT_COMPARE_COUNT) || defined(MUT_NO_ANNOUNCE)
			:: value == seen -> asleep = true
			:: else
#else
			:: value == seen && flag -> asleep = true
			:: else
#endif
			fi
		}
		if
		:: !asleep
#ifndef MUT_NO_DEADLINE
		:: killed -> asleep = false; goto look
#endif
		fi
	:: atomic { value != seen -> goto look }
	od;
out:
	assert(got == work && work == owed)
}

init
{
	atomic {
		run signaller();
		run signaller();
		run waiter()
	}
}
