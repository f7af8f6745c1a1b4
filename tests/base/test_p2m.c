/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of a PV guest's frames. */
#include "base/p2m.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static struct xr_p2m *table(void)
{
	struct xr_p2m *p = xr_p2m_create();

	cr_assert_not_null(p);
	return p;
}

Test(p2m, frames_come_and_go)
{
	struct xr_p2m *p = table();

	cr_assert_eq(xr_p2m_mfn(p, 0), XR_NO_MFN);
	xr_p2m_set(p, 510, 0, 4);
	for (uint64_t i = 0; i < 4; i++)
		cr_assert_eq(xr_p2m_mfn(p, 510 + i), i, "mfn 0 is one, too");
	cr_assert_eq(xr_p2m_mfn(p, 509), XR_NO_MFN);
	cr_assert_eq(xr_p2m_mfn(p, 514), XR_NO_MFN);
	xr_p2m_unset(p, 511, 2);
	cr_assert_eq(xr_p2m_mfn(p, 510), 0);
	cr_assert_eq(xr_p2m_mfn(p, 511), XR_NO_MFN);
	cr_assert_eq(xr_p2m_mfn(p, 513), 3);
	xr_p2m_destroy(p);
}

Test(p2m, any_pfn_can_be_asked_for_at_no_cost)
{
	struct xr_p2m *p = table();

	xr_p2m_set(p, XR_P2M_LIMIT - 1, 5, 1);
	for (uint64_t pfn = 0; pfn < XR_P2M_LIMIT; pfn += XR_P2M_LIMIT / 4096)
		cr_assert_eq(xr_p2m_mfn(p, pfn), XR_NO_MFN);
	cr_assert_eq(xr_p2m_mfn(p, XR_P2M_LIMIT), XR_NO_MFN);
	cr_assert_eq(xr_p2m_mfn(p, ~0ull), XR_NO_MFN);
	cr_assert_eq(xr_p2m_type(p, ~0ull), 0);
	cr_assert_eq(xr_p2m_regions(p), 1);
	xr_p2m_destroy(p);
}

Test(p2m, types_are_of_frames)
{
	struct xr_p2m *p = table();

	xr_p2m_set_type(p, 7, 9);
	cr_assert_eq(xr_p2m_type(p, 7), 0, "no frame");
	xr_p2m_set(p, 7, 100, 2);
	xr_p2m_set_type(p, 7, 9);
	xr_p2m_set_raw(p, 7, true);
	cr_assert_eq(xr_p2m_type(p, 7), 9);
	cr_assert(xr_p2m_is_raw(p, 7));
	cr_assert_eq(xr_p2m_mfn(p, 7), 100);
	cr_assert_eq(xr_p2m_type(p, 8), 0);
	cr_assert_not(xr_p2m_is_raw(p, 8));
	xr_p2m_set_type(p, 7, 1);
	cr_assert(xr_p2m_is_raw(p, 7), "another type, the same contents");
	xr_p2m_localised(p, 7);
	cr_assert_not(xr_p2m_is_raw(p, 7));
	cr_assert_eq(xr_p2m_type(p, 7), 1);
	xr_p2m_unset(p, 7, 1);
	xr_p2m_set(p, 7, 300, 1);
	cr_assert_eq(xr_p2m_type(p, 7), 0, "a new frame");
	xr_p2m_destroy(p);
}

Test(p2m, the_guest_never_shrinks)
{
	struct xr_p2m *p = table();

	xr_p2m_raise(p, 500);
	xr_p2m_raise(p, 400);
	cr_assert_eq(xr_p2m_max(p), 500);
	xr_p2m_destroy(p);
}

Test(p2m, another_program_sees_the_same)
{
	struct xr_p2m *p = table();
	struct xr_p2m *other = xr_p2m_attach(xr_p2m_fd(p));

	cr_assert_not_null(other);
	xr_p2m_set(p, 1000, 77, 1);
	xr_p2m_set_raw(p, 1000, true);
	cr_assert_eq(xr_p2m_mfn(other, 1000), 77);
	xr_p2m_localised(other, 1000);
	cr_assert_not(xr_p2m_is_raw(p, 1000));
	xr_p2m_destroy(p);
}
