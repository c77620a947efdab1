/*
 * What the host alone does to the first walk over memory that was filled a while ago: no WebAssembly and no code of ours is in it. 1 GiB of small
 * pages is filled, a byte a page, and gone through three times after that. Prints nanoseconds a page, for each sixteenth of the memory, of the
 * walks; docs/speed.md tells what they mean.
 *
 *   gcc -O2 bench/host-pages.c -o /tmp/host-pages && /tmp/host-pages [SECONDS]
 *
 * SECONDS (default 0): how long it waits between filling and the first walk.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PARTS = 16, WALKS = 3 };
static const size_t SIZE = 1ul << 30;

static uint64_t nanoseconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv) {
	long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	volatile char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED || madvise((void *)memory, SIZE, MADV_NOHUGEPAGE) < 0 || seconds < 0) {
		fputs("host-pages: 1 GiB of memory is needed, and SECONDS must not be negative\n", stderr);
		return 1;
	}
	uint64_t before = nanoseconds();
	for (size_t at = 0; at < SIZE; at += PAGE)
		memory[at] = 1;
	printf("filled: %llu ns a page\n", (unsigned long long)((nanoseconds() - before) / (SIZE / PAGE)));
	sleep((unsigned)seconds);
	for (int walk = 1; walk <= WALKS; walk++) {
		printf("walk %d:", walk);
		for (int part = 0; part < PARTS; part++) {
			before = nanoseconds();
			for (size_t at = SIZE / PARTS * part; at < SIZE / PARTS * (part + 1); at += PAGE)
				(void)memory[at];
			printf(" %llu", (unsigned long long)((nanoseconds() - before) / (SIZE / PARTS / PAGE)));
		}
		puts(" ns a page");
	}
	return 0;
}
