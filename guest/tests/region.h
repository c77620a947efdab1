/* region.h: shorthand of the abi-*.c programs for making regions and mapping into them. */
#ifndef REGION_H
#define REGION_H

#include "check.h"
#include <mshare.h>

#define RW (PROT_READ | PROT_WRITE)
#define GRANULE MSHARE_GRANULE
#define ANON (MAP_SHARED | MAP_ANONYMOUS)

/* A region of that size, nothing mapped. */
static unused int region(unsigned long size)
{
	int fd = mshare_create(0);
	if (fd < 0 || ftruncate(fd, (off_t)size)) {
		printf("FAIL region: %s\n", error_name(errno));
		exit(1);
	}
	return fd;
}

static unused long map_flags(int fd, unsigned long offset, unsigned long size, int prot, unsigned flags, int object, unsigned long object_offset)
{
	struct mshare_map args = { .offset = offset, .size = size, .obj_offset = object_offset, .prot = (unsigned)prot, .flags = flags, .obj_fd = object };
	return mshare_map(fd, &args, sizeof(args));
}

/* Anonymous memory at that very offset. */
static unused long map_anon(int fd, unsigned long offset, unsigned long size, int prot)
{
	return map_flags(fd, offset, size, prot, ANON | MAP_FIXED, -1, 0);
}

static unused long map_file(int fd, unsigned long offset, unsigned long size, int prot, int object, unsigned long object_offset)
{
	return map_flags(fd, offset, size, prot, MAP_SHARED | MAP_FIXED, object, object_offset);
}

/* A window on the whole region where the kernel likes, which must work. */
static unused char *window_on(int fd)
{
	char *at = mshare_attach(fd, 0, 0, NULL, 0);
	if (at == MAP_FAILED) {
		printf("FAIL attach: %s\n", error_name(errno));
		exit(1);
	}
	return at;
}

static unused struct mshare_stat stat_of(int fd)
{
	struct mshare_stat st;
	memset(&st, 0xee, sizeof(st));
	if (mshare_stat(fd, &st, sizeof(st)))
		printf("FAIL stat: %s\n", error_name(errno)), failures++;
	return st;
}

/* A second descriptor of what fd names, opened anew with these flags; -1 and errno. */
static unused int reopen(int fd, int flags)
{
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags);
}

static unused int memfd(unsigned long size)
{
	int fd = memfd_create("object", MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size))
		printf("FAIL memfd: %s\n", error_name(errno)), failures++;
	return fd;
}

/* A process that creates a region of that size with anonymous memory in all of it and waits; the descriptor comes by pidfd_getfd. */
static unused pid_t other_owner(unsigned long size, int *fd)
{
	int ready[2];
	if (pipe(ready))
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		int mine = region(size);
		map_anon(mine, 0, size, RW);
		if (write(ready[1], &mine, sizeof(mine)) != sizeof(mine))
			_exit(1);
		for (;;)
			pause();
	}
	int theirs = -1;
	if (read(ready[0], &theirs, sizeof(theirs)) != sizeof(theirs))
		printf("FAIL other owner\n"), failures++;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	*fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	if (*fd < 0)
		printf("FAIL pidfd_getfd: %s\n", error_name(errno)), failures++;
	close(pidfd);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static unused void end_owner(pid_t pid)
{
	kill(pid, SIGKILL);
	ended(pid);
}

#endif
