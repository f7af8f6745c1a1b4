/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same program as C++: the public header serves both. */
#include "header_alone.c"
