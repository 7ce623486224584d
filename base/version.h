// SPDX-License-Identifier: GPL-3.0-or-later
// Which program this is.
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define PARTITA_VERSION "0.2"

// A digest of all sources that results can depend on (everything but cli, tests and docs): 16 hex
// digits, made by tools/version.sh at build time. The same for every compiler and every checkout of
// the same sources, so that a store knows whether its points are of this program.
extern const char code_version[];

#endif
