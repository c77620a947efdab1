/*
 * What a second process pays for memory that another has populated: a region is filled by its owner, which goes through it once more (the host
 * takes many times as long for the first walk over memory that was filled seconds ago, whoever makes it: bench/host-pages.c), then a child goes through
 * it twice, a byte a page. Prints "MODE PAGES FIRST_NS SECOND_NS FAULTS": the two passes, and the child's minor faults in the first.
 *
 * usage: touch read|write MIB
 */
#define _GNU_SOURCE
#include <mshare.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static uint64_t nanoseconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long minor_faults(void) {
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static uint64_t pass(volatile char *window, size_t size, int writing) {
	uint64_t before = nanoseconds();
	if (writing)
		for (size_t at = 0; at < size; at += 4096)
			window[at] = 1;
	else
		for (size_t at = 0; at < size; at += 4096)
			(void)window[at];
	return nanoseconds() - before;
}

int main(int argc, char **argv) {
	if (argc < 3)
		return 2;
	int writing = !strcmp(argv[1], "write"), status;
	size_t size = (size_t)atoi(argv[2]) << 20;
	struct mshare_map map = { .size = size, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .obj_fd = -1 };
	int fd = mshare_create(0);
	if (fd < 0 || ftruncate(fd, (off_t)size) || mshare_map(fd, &map, sizeof map) < 0)
		return 1;
	char *window = mshare_attach(fd, 0, 0, NULL, 0);
	if (window == MAP_FAILED)
		return 1;
	pass(window, size, 1);
	pass(window, size, 0);
	if (fork() == 0) {
		long faults = minor_faults();
		uint64_t first = pass(window, size, writing);
		faults = minor_faults() - faults;
		printf("%s %zu %llu %llu %ld\n", argv[1], size / 4096, (unsigned long long)first, (unsigned long long)pass(window, size, writing), faults);
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
	return status != 0;
}
