/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which HVM parameters there are, and which of them a toolstack may set: hvm_allow_set_param() in
 * Xen's xen/arch/x86/hvm/hvm.c, and public/hvm/params.h. */
#ifndef XR_HVM_PARAMS_H
#define XR_HVM_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#define XR_HVM_PARAMS 39u
#define XR_HVM_PARAM_PAE_ENABLED 4u /* of old savers: restorers pass over it */

static inline bool xr_hvm_param_is_settable(uint32_t index)
{
	return index < XR_HVM_PARAMS && index != XR_HVM_PARAM_PAE_ENABLED && index != 13 &&
	       index != 30 && (index < 20 || index > 26);
}

#endif
