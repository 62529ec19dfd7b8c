// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the inits of guests (init.c) and of hosts that somebody owns (host-init.c) have in common, from the initramfs to
 * the switch of the root. Each of them says with give_up() what becomes of a machine that cannot come up.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void give_up(const char *what);

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

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags,
		       const char *data)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data))
		give_up(target);
}

static void mount_kernel_files(void)
{
	must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	must_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	must_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "");
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

/* Moves a file: what it took in the initramfs is free again at once. */
static void move_file(const char *from, const char *to, mode_t mode)
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

static void move_tree(const char *from, const char *to)
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
			move_tree(source, target);
		else
			move_file(source, target, info.st_mode & 0777);
	}
	closedir(folder);
}

/* Makes /newroot the root of this process, with /dev, /proc and /sys in it. */
static void switch_root(void)
{
	if (mount("/dev", "/newroot/dev", NULL, MS_MOVE, NULL) || mount("/proc", "/newroot/proc", NULL, MS_MOVE, NULL) ||
	    mount("/sys", "/newroot/sys", NULL, MS_MOVE, NULL))
		give_up("move mounts");
	if (chdir("/newroot") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		give_up("switch root");
}
