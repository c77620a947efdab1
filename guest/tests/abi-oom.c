/* abi-oom.c: a region's memory counts for its owner when memory is short: the owner dies, and who touched the page gets SIGSEGV. Needs a small machine. */
#include "region.h"

int main(void)
{
	catch_faults();
	int fd, status;
	unsigned long size = 1UL << 30;
	/* Overcommit is not the point here. */
	int ready[2];
	if (pipe(ready))
		return 1;
	pid_t owner = fork();
	if (owner == 0) {
		int mine = region(size);
		expect_is(map_flags(mine, 0, size, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0), 0, "a region larger than memory");
		if (write(ready[1], &mine, sizeof(mine)) != sizeof(mine))
			_exit(1);
		for (;;)
			pause();
	}
	int theirs = -1;
	if (read(ready[0], &theirs, sizeof(theirs)) != sizeof(theirs))
		return 1;
	fd = (int)syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, owner, 0), theirs, 0);
	char *window = window_on(fd);
	unsigned long at = 0;
	const char *how = "ok";
	for (; at < size && !strcmp(how, "ok"); at += PAGE)
		how = try_write(window + at);
	expect(at > 4 * MIB, "many pages could be written");
	expect_text(how, "SEGV_MAPERR", "then the toucher gets SIGSEGV");
	waitpid(owner, &status, 0);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the owner was killed");
	expect_text(try_read(window), "SEGV_MAPERR", "the region is empty");
	expect_error(map_anon(fd, 0, PAGE, RW), ENXIO, "ENXIO");
	mshare_detach(window);
	char *memory = mmap(NULL, 4 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	expect(memory != MAP_FAILED, "and its memory is free");
	memset(memory, 1, 4 * MIB);
	return failures != 0;
}
