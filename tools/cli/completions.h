/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XR_COMPLETIONS_H
#define XR_COMPLETIONS_H

#include "cli/options.h"

#include <stdbool.h>

/*
 * Write the completions of a shell (bash, zsh, fish), or every command's options (names), from a
 * NULL-terminated list of commands; hidden ones are left out. Returns an exit code.
 */
int xr_completions(FILE *to, const struct xr_command *const *commands, const char *what);

#endif
