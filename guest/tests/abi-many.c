/* abi-many.c [N]: N processes (100 unless told) attached to one region at the same time, a third of them at addresses of their own. */
#include "region.h"

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 100;
	unsigned long size = 64 * MIB;
	int fd = region(size), ready[2], go[2];
	if (pipe(ready) || pipe(go))
		return 1;
	catch_faults();
	map_anon(fd, 0, size, RW);
	char *window = window_on(fd);
	for (unsigned long at = 0; at < size; at += GRANULE)
		window[at] = 1;
	char byte = 1;
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			printf("FAIL fork %d: %s\n", i, error_name(errno));
			return 1;
		}
		if (pid)
			continue;
		char *place = i % 3 ? NULL : (char *)(0x3000000000UL + (unsigned long)(i % 7) * GRANULE);
		char *mine = mshare_attach(fd, 0, 0, place, place ? MSHARE_FIXED : 0);
		if (mine == MAP_FAILED)
			_exit(1);
		for (unsigned long at = 0; at < size; at += GRANULE)
			byte = byte && mine[at] == 1;
		__atomic_fetch_add((int *)(mine + PAGE), 1, __ATOMIC_RELAXED);
		if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(2);
		_exit(strcmp(try_write(mine), "SEGV_ACCERR") == 0 && *(int *)(mine + PAGE) == n ? 0 : 3);
	}
	int good = 0;
	for (int i = 0; i < n; i++)
		good += read(ready[0], &byte, 1) == 1 && byte == 1;
	expect_is(good, n, "processes see the region");
	struct mshare_stat st = stat_of(fd);
	expect_is(st.sharers, n + 1, "sharers");
	expect_is(st.windows, 2 * n + 1, "windows: each has the inherited one as well");
	expect_is(mshare_protect(fd, 0, GRANULE / 2, PROT_READ), 0, "protect");
	expect_is(mshare_protect(fd, PAGE, PAGE, RW), 0, "all but a page");
	for (int i = 0; i < n; i++)
		if (write(go[1], &byte, 1) != 1)
			return 1;
	good = 0;
	int status;
	while (wait(&status) > 0)
		good += status == 0;
	expect_is(good, n, "processes see the change and each other's counts");
	expect_is(stat_of(fd).sharers, 1, "one sharer is left");
	mshare_detach(window);
	close(fd);
	return failures != 0;
}
