/*
 * The program behind the drawings in docs/mshare.md (tools/draw-tables.ts): an owner and two children attach a region of 8 MiB and have been through all of
 * it; with "private", the second child has a private window and has written one page. Prints a line when all is as it is to be drawn, then ends.
 *
 * usage: draw-tables shared|private
 */
#define _GNU_SOURCE
#include <mshare.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 8 << 20, PAGE = 4096 };

/* A child that attaches the region, goes through it, says so, and stays. */
static pid_t child(int fd, char *inherited, int flags, int ready)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	mshare_detach(inherited);
	volatile char *own = mshare_attach(fd, 0, 0, NULL, (unsigned)flags);
	if (own == MAP_FAILED)
		_exit(1);
	for (size_t at = 0; at < SIZE; at += PAGE)
		(void)own[at];
	if (flags & MSHARE_PRIVATE)
		own[5 * PAGE] = 1;
	write(ready, ".", 1);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct mshare_map map = { .size = SIZE, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
	int fd = mshare_create(0), ready[2];
	char dot;
	if (argc < 2 || fd < 0 || ftruncate(fd, SIZE) || mshare_map(fd, &map, sizeof map) < 0 || pipe(ready))
		return 1;
	char *window = mshare_attach(fd, 0, 0, NULL, 0);
	if (window == MAP_FAILED)
		return 1;
	for (size_t at = 0; at < SIZE; at += PAGE)
		window[at] = 1;
	pid_t first = child(fd, window, 0, ready[1]);
	if (read(ready[0], &dot, 1) != 1)
		return 1;
	pid_t second = child(fd, window, strcmp(argv[1], "private") ? 0 : MSHARE_PRIVATE, ready[1]);
	if (read(ready[0], &dot, 1) != 1)
		return 1;
	puts("as drawn");
	fflush(stdout);
	kill(first, SIGKILL);
	kill(second, SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
