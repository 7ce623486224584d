#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Unpacks an emulator of version 10 or later into a folder: the one of Debian 12 knows Hexagon v67
# only and loses some of v68's stores without a word. Nothing of the system is replaced or
# configured.
#   tools/hexagon_qemu.sh FOLDER
set -e
to=$1
major() {
    "$1" --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\..*/\1/p'
}
v=$(major "$to/usr/bin/qemu-hexagon" || true)
[ "${v:-0}" -ge 10 ] && exit 0
rm -rf "$to.new"
mkdir -p "$to.new/bin" "$to.new/apt/lists/partial" "$to.new/apt/cache/archives/partial"
system=$(command -v qemu-hexagon || true)
if [ -n "$system" ] && v=$(major "$system") && [ "${v:-0}" -ge 10 ]; then
    mkdir -p "$to.new/usr/bin"
    ln -s "$system" "$to.new/usr/bin/qemu-hexagon"
else
    # The backports of the mirror that this system uses.
    repo=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 2>/dev/null |
        awk '$2 == "bookworm" { print $1; exit }')
    [ -n "$repo" ] || {
        echo "no Debian 12 mirror is configured: put qemu-hexagon >= 10 into the search path" >&2
        exit 1
    }
    echo "unpacking qemu-user of bookworm-backports into $to"
    full=$(cd "$to.new" && pwd)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $repo bookworm-backports main" \
        >"$full/apt/sources.list"
    own="-o Dir::Etc::SourceList=$full/apt/sources.list -o Dir::Etc::SourceParts=/dev/null
         -o Dir::State::Lists=$full/apt/lists -o Dir::Cache=$full/apt/cache -o APT::Sandbox::User="
    # shellcheck disable=SC2086 # options are words
    apt-get $own update -qq
    # shellcheck disable=SC2086
    (cd "$full/apt" && apt-get $own download -qq qemu-user)
    dpkg -x "$full"/apt/qemu-user_*.deb "$full"
    rm -rf "$full/apt" "$full/bin"
fi
v=$(major "$to.new/usr/bin/qemu-hexagon" || true)
[ "${v:-0}" -ge 10 ] || { echo "the emulator is older than version 10 (${v:-none})" >&2; exit 1; }
rm -rf "$to"
mv "$to.new" "$to"
