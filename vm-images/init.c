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
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *format, ...)
{
	char line[256];
	va_list args;
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	int used = snprintf(line, sizeof(line), "<5>harness-init: ");

	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used, format, args);
	va_end(args);
	if (fd >= 0) {
		if (write(fd, line, strlen(line)) < 0)
			fprintf(stderr, "%s\n", line);
		close(fd);
	}
}

/* A guest that cannot come up powers itself off, so that the harness knows at once and not at a deadline. */
static void give_up(const char *what)
{
	say("cannot boot: %s: %s", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags,
		       const char *data)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data))
		give_up(target);
}

static void load_modules(void)
{
	char name[256], path[320];
	FILE *list = fopen("/boot-modules", "re");

	if (!list)
		return; /* a kernel with everything built in */
	while (fgets(name, sizeof(name), list)) {
		int fd;

		name[strcspn(name, "\n")] = 0;
		snprintf(path, sizeof(path), "/boot-modules.d/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST && errno != ENODEV))
			say("module %s: %s", name, strerror(errno));
		if (fd >= 0)
			close(fd);
		unlink(path);
	}
	fclose(list);
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

static void copy_file(const char *from, const char *to, mode_t mode)
{
	static char buffer[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	ssize_t got;

	if (in < 0 || out < 0)
		give_up(from);
	while ((got = read(in, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, got) != got)
			give_up(to);
	fchmod(out, mode);
	close(in);
	close(out);
	unlink(from);
}

/* The seed is flat but for one level of folders (modules/). */
static void copy_seed(const char *from, const char *to)
{
	DIR *folder = opendir(from);
	struct dirent *entry;

	mkdir(to, 0755);
	if (!folder)
		give_up(from);
	while ((entry = readdir(folder))) {
		char source[512], target[512];
		struct stat info;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		if (stat(source, &info))
			continue;
		if (S_ISDIR(info.st_mode))
			copy_seed(source, target);
		else
			copy_file(source, target, info.st_mode & 0777);
	}
	closedir(folder);
}

static void enter_root(void)
{
	must_mount("/dev/vda", "/newroot", "ext4", MS_NOATIME, "");
	if (!access("/dev/vdb", F_OK))
		must_mount("/dev/vdb", "/newroot/lib/modules", "ext4", MS_RDONLY | MS_NOATIME, "");
	must_mount("tmpfs", "/newroot/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	must_mount("ramfs", "/newroot/run/harness", "ramfs", MS_NOSUID, "mode=0755");
	copy_seed("/seed", "/newroot/run/harness");
	if (mount("/dev", "/newroot/dev", NULL, MS_MOVE, NULL) || mount("/proc", "/newroot/proc", NULL, MS_MOVE, NULL) ||
	    mount("/sys", "/newroot/sys", NULL, MS_MOVE, NULL))
		give_up("move mounts");
	if (chdir("/newroot") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		give_up("switch root");
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
	must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	must_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	must_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "");
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
