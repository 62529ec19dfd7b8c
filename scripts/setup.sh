#!/bin/sh
# Installs what the harness lacks on this machine: system packages, the user that libvirt looks up, a virtual
# environment in .venv. Never prompts; quick if nothing is missing.
#
#     sh scripts/setup.sh              the same as `make setup`
#     PYTHON=python3.12 sh scripts/setup.sh
#
# PYTHON         the interpreter of the virtual environment, 3.11 or newer (default: python3)
# SKIP_PACKAGES  if set, system packages are left alone, for systems without apt
#
# Exit codes: 0 nothing is missing; 2 something is missing, with one line that says what to do. Output of the tools goes
# to build/setup.log.
set -u
unset CDPATH
cd -P "$(dirname "$0")/.." || exit 2
exec </dev/null
LC_ALL=C.UTF-8
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH

VENV=.venv
STAMP=$VENV/.harness-setup
LOG=build/setup.log
STEPS=4

# The guests: QEMU, its image tool, libvirt's QEMU driver with the plug-ins it loads, switches between guests.
PACKAGES="qemu-system-x86 qemu-utils libvirt-daemon libvirt-daemon-driver-qemu vde2"
# Their root file system and kernels: mmdebstrap needs uidmap when it is not root, xz and zstd unpack modules.
# busybox-static is for virtme-ng, with which benchmarks/startup.py compares.
PACKAGES="$PACKAGES busybox-static mmdebstrap uidmap e2fsprogs fakeroot kmod xz-utils zstd ca-certificates"
# Module variants and the guests' init. The kernel's objtool is linked with libelf; libelf-dev is the name that stays
# the same from release to release.
PACKAGES="$PACKAGES gcc libc6-dev make patch binutils libelf-dev"
# A test compares the initramfs archives with those of cpio.
PACKAGES="$PACKAGES cpio"
# libvirt-python is distributed only as source.
PACKAGES="$PACKAGES libvirt-dev pkg-config"
# libvirt's driver looks this user up when it runs as root, whatever its configuration says. libvirt-daemon-system would
# create it, and start a daemon that nobody here needs.
LIBVIRT_USER=libvirt-qemu

say() {
	printf 'setup: %s\n' "$*"
}

step() {
	printf 'setup: [%s/%s] %s\n' "$1" "$STEPS" "$2"
}

die() {
	printf 'setup: %s\n' "$*" >&2
	exit 2
}

# Shows the end of the log, which is the output of the failed command.
die_with_log() {
	tail -n 12 "$LOG" | sed 's/^/    /' >&2
	die "$1; the whole log is $LOG"
}

# Runs a command with its output in the log, and shows progress: each second on a terminal, else now and then.
logged() {
	printf '+ %s\n' "$*" >>"$LOG"
	ticker $$ 9<&- &
	ticker=$!
	"$@" >>"$LOG" 2>&1 9<&-
	status=$?
	kill "$ticker" 2>/dev/null
	wait "$ticker" 2>/dev/null
	[ -t 1 ] && printf '\r\033[K'
	return "$status"
}

ticker() {
	seconds=0
	while sleep 1 >/dev/null 2>&1 && kill -0 "$1" 2>/dev/null; do
		seconds=$((seconds + 1))
		if [ -t 1 ]; then
			printf '\r\033[K    %s s  %.60s' "$seconds" "$(tail -n 1 "$LOG" | tr -cd '[:print:]')"
		elif [ $((seconds % 20)) -eq 0 ]; then
			printf '    %s s\n' "$seconds"
		fi
	done
}

missing_packages() {
	[ -z "${SKIP_PACKAGES:-}" ] || return 0
	# dpkg-query does not list unknown packages at all.
	installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $PACKAGES 2>/dev/null | sed -n 's/ installed$//p')
	for package in $PACKAGES; do
		printf '%s\n' "$installed" | grep -qxF -e "$package" || printf '%s ' "$package"
	done
}

user_missing() {
	[ "$(id -u)" -eq 0 ] && ! getent passwd "$LIBVIRT_USER" >/dev/null
}

# Digest of the inputs of the virtual environment. The path is one, since the scripts in .venv/bin contain it.
digest() {
	{ pwd -P; cat pyproject.toml; } | sha256sum | cut -d ' ' -f 1
}

# Whether .venv works, was made in this folder, and with the interpreter in PYTHON, if set.
venv_usable() {
	"$VENV/bin/python" -c '' 2>/dev/null && grep -qF "$(pwd -P)/$VENV/bin/" "$VENV/bin/pip" 2>/dev/null || return 1
	[ -z "${PYTHON:-}" ] || [ "$(sed -n 2p "$STAMP" 2>/dev/null)" = "$(command -v "$PYTHON")" ]
}

venv_current() {
	[ "$(sed -n 1p "$STAMP" 2>/dev/null)" = "$(digest)" ] && [ -x "$VENV/bin/harness" ] && venv_usable
}

install_packages() {
	if [ -z "$missing" ]; then
		[ -z "${SKIP_PACKAGES:-}" ] && there="all there" || there="left alone"
		step 1 "packages of the system: $there"
		return
	fi
	step 1 "packages of the system: installing $missing"
	if ! logged $ROOT apt-get update; then
		broken_source=yes
	fi
	if ! apt-get install --simulate --no-install-recommends $missing >>"$LOG" 2>&1; then
		die_with_log "apt does not find the packages; see whether apt-get update works"
	fi
	if [ -n "${broken_source:-}" ]; then
		say "apt-get update complained about a package source (see $LOG); the packages are found, going on"
	fi
	if ! logged $ROOT env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold $missing; then
		die_with_log "apt-get install failed"
	fi
}

check_root() {
	ROOT=""
	[ -n "$missing" ] && [ "$(id -u)" -ne 0 ] || return 0
	if sudo -n true 2>/dev/null; then
		ROOT="sudo -n"
	else
		problem="packages are missing, and $(id -un) is not root and cannot use sudo without a password"
		die "$problem; run: sudo apt-get update; sudo apt-get install --no-install-recommends $missing"
	fi
}

add_user() {
	if ! user_missing; then
		step 2 "user $LIBVIRT_USER: nothing to do"
		return
	fi
	step 2 "user $LIBVIRT_USER: adding it, libvirt's driver looks it up"
	logged useradd --system --user-group --no-create-home --home-dir /var/lib/libvirt --shell /usr/sbin/nologin \
		"$LIBVIRT_USER" || die_with_log "useradd failed"
}

check_python() {
	command -v "$python" >/dev/null ||
		die "there is no $python; name a Python of 3.11 or newer that is there: make PYTHON=python3.11 setup"
	problem=$("$python" - <<'END' 2>&1
import os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
version = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 11):
    print("is Python %s, and 3.11 or newer is needed; name another one: make PYTHON=python3.11 setup" % version)
elif not os.path.exists(header):
    print("has no %s, which libvirt-python is compiled with; install python%s-dev" % (header, version))
else:
    try:
        import ensurepip, venv
    except ImportError:
        print("cannot make a virtual environment; install python%s-venv" % version)
END
)
	[ -z "$problem" ] || die "$(command -v "$python") $problem"
}

make_venv() {
	if venv_current; then
		step 3 "virtual environment $VENV: there"
		step 4 "Python packages: all there"
		return
	fi
	check_python
	step 3 "virtual environment $VENV: $(venv_usable && echo updating it || echo making it) with $(command -v "$python")"
	venv_usable && clear="" || clear=--clear
	logged "$python" -m venv $clear "$VENV" || die_with_log "the virtual environment could not be made"
	step 4 "Python packages: installing the harness and what it needs (libvirt-python is compiled)"
	logged "$VENV/bin/python" -m pip install --no-input --disable-pip-version-check --editable '.[dev]' ||
		die_with_log "pip failed; check the network, then run it again"
	{ digest; command -v "$python"; } >"$STAMP"
}

python=${PYTHON:-python3}
if [ -z "${SKIP_PACKAGES:-}" ]; then
	command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
		die "no apt-get here: install by hand what scripts/setup.sh lists under PACKAGES, then set SKIP_PACKAGES=1"
	case $(command -v "$python") in
	"" | /usr/bin/python3 | /bin/python3) PACKAGES="$PACKAGES python3 python3-dev python3-venv" ;;
	esac
fi

# Two set-ups at once would damage each other's environment.
exec 9<pyproject.toml
flock --nonblock 9 || { say "waiting for another set-up of this folder"; flock 9; }

missing=$(missing_packages)
missing=${missing% }
if [ -z "$missing" ] && ! user_missing && venv_current; then
	say "all there"
	exit 0
fi
check_root
mkdir -p build || die "this folder cannot be written by $(id -un)"
: >"$LOG" || die "$LOG cannot be written by $(id -un)"
install_packages
add_user
make_venv
say "done"
