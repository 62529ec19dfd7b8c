// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PID 1 of a guest, from the initramfs on: loads the modules that the root file system needs, mounts it, starts
 * boot.sh and reaps for the rest of the guest's life.
 *
 * It stays PID 1 because whatever runs there must survive storage that fails under it: a shell that is swapped out
 * dies of the first swap read error and takes the kernel with it ("Attempted to kill init"). So this is static,
 * locked in memory, and never touches a file system again once boot.sh runs.
 *
 * What the harness appends to the initramfs for one guest lies in /seed; it ends up in /run/harness, on a ramfs,
 * whose pages cannot be swapped out.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

#include "init-common.h"

/* A guest that cannot come up powers itself off, so that the harness knows at once and not at a deadline. */
static void give_up(const char *what)
{
	say("cannot boot: %s: %s", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void wait_for(const char *device)
{
	struct stat info;
	int tries;

	for (tries = 0; tries < 3000; tries++) {
		if (!stat(device, &info))
			return;
		usleep(10000);
	}
	give_up(device);
}

static void enter_root(void)
{
	must_mount("/dev/vda", "/newroot", "ext4", MS_NOATIME, "");
	if (!access("/dev/vdb", F_OK))
		must_mount("/dev/vdb", "/newroot/lib/modules", "ext4", MS_RDONLY | MS_NOATIME, "");
	must_mount("tmpfs", "/newroot/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	must_mount("ramfs", "/newroot/run/harness", "ramfs", MS_NOSUID, "mode=0755");
	move_tree("/seed", "/newroot/run/harness");
	switch_root();
	mkdir("/dev/pts", 0755);
	mkdir("/dev/shm", 01777);
	must_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
	must_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "");
	must_mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m");
	/* Requests in flight, and the state of nbd devices; a kernel without debugfs is no reason not to boot. */
	if (mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""))
		say("debugfs: %s", strerror(errno));
	must_mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
}

static void start(const char *script)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid == 0) {
		char *arguments[] = { "/bin/sh", (char *)script, NULL };
		char *environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", NULL };

		setsid();
		execve(arguments[0], arguments, environment);
		say("cannot run %s: %s", script, strerror(errno));
		_exit(127);
	}
}

int main(void)
{
	mount_kernel_files();
	load_modules();
	wait_for("/dev/vda");
	enter_root();
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		say("mlockall: %s", strerror(errno));
	start("/run/harness/boot.sh");
	for (;;)
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			usleep(200000);
}
