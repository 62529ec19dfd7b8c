// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PID 1 of the kernel of a run on a host that somebody owns, until its root file system is there: loads the modules
 * that this needs, mounts it, lays the modules of the run's kernel over /lib/modules on a ramfs, and becomes the
 * owner's own init. Nothing of the owner's disks is changed.
 *
 * It leaves a leash behind: a process that restarts the host, and so brings back the owner's kernel, unless somebody
 * creates /run/harness/leash in time. A host that cannot come up restarts as well.
 *
 * /harness.conf has "key=value" lines:
 *   uuid      UUID of the root file system
 *   fstype    ext2, ext3, ext4, xfs or btrfs
 *   options   options of its mount that belong to the file system
 *   rw        1: mount it for writing, as the owner's command line demands
 *   modules   the folder of modules in it, without symbolic links
 *   init      the owner's init
 *   leash_s   seconds, from here on; 0: no leash
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

#include "init-common.h"

#define ROOT_WAIT_S 120
#define LEASH "/run/harness/leash"
#define MODULES "/modules" /* in the initramfs */

static struct {
	char uuid[40], fstype[16], options[512], modules[256], init[256];
	int rw;
	long leash_s;
} conf;

/* Restarts the host through its firmware, so that the owner's kernel comes back. */
static void give_up(const char *what)
{
	say("cannot boot: %s: %s; restarting into the owner's kernel", what, strerror(errno));
	sleep(2); /* for the console */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void take(const char *key, const char *value)
{
	struct {
		const char *key;
		char *place;
		size_t size;
	} texts[] = {
		{ "uuid", conf.uuid, sizeof(conf.uuid) },
		{ "fstype", conf.fstype, sizeof(conf.fstype) },
		{ "options", conf.options, sizeof(conf.options) },
		{ "modules", conf.modules, sizeof(conf.modules) },
		{ "init", conf.init, sizeof(conf.init) },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (!strcmp(key, texts[i].key))
			snprintf(texts[i].place, texts[i].size, "%s", value);
	if (!strcmp(key, "rw"))
		conf.rw = atoi(value);
	if (!strcmp(key, "leash_s"))
		conf.leash_s = atol(value);
}

static void read_conf(void)
{
	char line[1024];
	FILE *file = fopen("/harness.conf", "re");

	if (!file)
		give_up("/harness.conf");
	while (fgets(line, sizeof(line), file)) {
		char *value = strchr(line, '=');

		line[strcspn(line, "\n")] = 0;
		if (!value)
			continue;
		*value++ = 0;
		take(line, value);
	}
	fclose(file);
}

/* Where a file system has its magic number and its UUID, in bytes from the start of the device. */
static const struct superblock {
	const char *fstype, *magic;
	off_t magic_at, uuid_at;
} superblocks[] = {
	{ "ext", "\x53\xef", 1024 + 56, 1024 + 104 },
	{ "xfs", "XFSB", 0, 32 },
	{ "btrfs", "_BHRfS_M", 65536 + 64, 65536 + 32 },
};

static int has_uuid(const char *device)
{
	int found = 0, fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return 0;
	for (size_t i = 0; i < sizeof(superblocks) / sizeof(*superblocks); i++) {
		const struct superblock *sb = &superblocks[i];
		size_t length = strlen(sb->magic);
		unsigned char magic[8], raw[16];
		char text[40], *end = text;

		if (strncmp(conf.fstype, sb->fstype, strlen(sb->fstype)) ||
		    pread(fd, magic, length, sb->magic_at) != (ssize_t)length || memcmp(magic, sb->magic, length) ||
		    pread(fd, raw, sizeof(raw), sb->uuid_at) != sizeof(raw))
			continue;
		for (int byte = 0; byte < 16; byte++)
			end += sprintf(end, "%s%02x", byte == 4 || byte == 6 || byte == 8 || byte == 10 ? "-" : "",
				       raw[byte]);
		found = !strcasecmp(text, conf.uuid);
	}
	close(fd);
	return found;
}

/* Drives that may be empty, and devices that never hold a root file system. */
static int is_slow(const char *name)
{
	return !strncmp(name, "fd", 2) || !strncmp(name, "sr", 2) || !strncmp(name, "loop", 4) ||
	       !strncmp(name, "ram", 3);
}

/* Fills `device` with the path of the root file system's device; false if there is none yet. */
static int find_root(char *device, size_t size)
{
	DIR *folder = opendir("/sys/class/block");
	struct dirent *entry;
	int found = 0;

	while (folder && !found && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.' || is_slow(entry->d_name))
			continue;
		snprintf(device, size, "/dev/%s", entry->d_name);
		for (char *c = device + 5; *c; c++) /* cciss!c0d0p1 */
			if (*c == '!')
				*c = '/';
		found = has_uuid(device);
	}
	if (folder)
		closedir(folder);
	return found;
}

static void mount_root(void)
{
	char device[300];
	int tries;

	for (tries = 0; !find_root(device, sizeof(device)); tries++) {
		if (tries == ROOT_WAIT_S * 10) {
			errno = ENODEV;
			give_up(conf.uuid);
		}
		usleep(100000);
	}
	say("root file system %s (%s) on %s", conf.uuid, conf.fstype, device);
	must_mount(device, "/newroot", conf.fstype, conf.rw ? 0 : MS_RDONLY, conf.options);
}

/* On a ramfs and not on a tmpfs: its pages cannot be swapped out, to a device that may be the one that fails. */
static void lay_modules(void)
{
	char place[300];

	snprintf(place, sizeof(place), "/newroot%s", conf.modules);
	must_mount("harness-modules", place, "ramfs", MS_NOSUID | MS_NODEV, "mode=0755");
	move_tree(MODULES, place);
}

static long uptime_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

static void never_kill(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		say("leash: oom_score_adj: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * Waits for somebody to take over. What it needs is in memory and open: it still works when every disk is gone. It looks
 * up names below /run only, which is a tmpfs once init has mounted it.
 */
static void hold_leash(void)
{
	int trigger = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "harness-leash");
	never_kill();
	if (trigger < 0)
		say("leash: /proc/sysrq-trigger: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		say("leash: mlockall: %s", strerror(errno));
	for (; uptime_s() < conf.leash_s; sleep(1))
		if (!access(LEASH, F_OK))
			_exit(0);
	say("leash: nobody took over in %ld s, restarting into the owner's kernel", conf.leash_s);
	for (const char *key = "sub"; *key; key++) {
		if (write(trigger, key, 1) != 1)
			break;
		sleep(3);
	}
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static void start_leash(void)
{
	pid_t pid = conf.leash_s ? fork() : -1;

	if (pid == 0) {
		setsid();
		hold_leash();
	}
	if (pid < 0 && conf.leash_s)
		give_up("fork");
}

int main(__attribute__((unused)) int count, char *arguments[], char *environment[])
{
	mount_kernel_files();
	read_conf();
	load_modules();
	mount_root();
	lay_modules();
	switch_root();
	start_leash();
	say("starting %s", conf.init);
	arguments[0] = conf.init;
	execve(conf.init, arguments, environment);
	give_up(conf.init);
}
