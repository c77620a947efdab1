/*
 * What the host alone does to the first walk over memory that was filled a while ago: no WebAssembly and no code of ours is in it. 1 GiB of small
 * pages is filled, a byte a page, and gone through three times after that. Prints nanoseconds a page, for each sixteenth of the memory, of the
 * walks; docs/speed.md tells what they mean. Then the best of some more walks that write: as they are, and each address looked up in a table like the
 * machine's TLB, which another loop fills 512 entries at a time from a table of 8 bytes a page (src/machine/walker.ts): what our writes could cost at best.
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

enum { PAGE = 4096, PARTS = 16, WALKS = 3, PAGES = 1 << 18, ENTRIES = 4096, FILL = 512, WRITES = 10, MASK = 0xd7 };
static const size_t SIZE = (size_t)PAGES * PAGE;
static uint64_t table[PAGES];
static volatile int64_t tlb[ENTRIES];
static volatile uint32_t sources[ENTRIES];
static volatile uint8_t has_code[PAGES], writable[PAGES];

static uint64_t nanoseconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Enters the page and those behind it: page << 28 | frame - page. */
__attribute__((noinline)) static void fill(uint64_t page) {
	for (uint64_t end = page + FILL; page < end && page < PAGES && (table[page] & MASK) == MASK; page++) {
		uint64_t frame = table[page] >> 10;
		if (frame >= PAGES || has_code[frame])
			break;
		writable[frame] = 1;
		tlb[page % ENTRIES] = (int64_t)(page << 28 | ((frame - page) & 0xfffff));
		sources[page % ENTRIES] = 1;
	}
}

static uint64_t write_all(volatile char *memory) {
	uint64_t before = nanoseconds();
	for (size_t at = 0; at < SIZE; at += PAGE)
		memory[at] = 1;
	return nanoseconds() - before;
}

static uint64_t write_through_tlb(volatile char *memory) {
	uint64_t before = nanoseconds();
	for (size_t at = 0; at < SIZE;) {
		int64_t entry = tlb[at / PAGE % ENTRIES];
		if (entry >> 28 != (int64_t)(at / PAGE)) {
			fill(at / PAGE);
			continue;
		}
		memory[(uint32_t)(at + ((uint32_t)entry << 12))] = 1;
		at += PAGE;
	}
	return nanoseconds() - before;
}

/* The best of WRITES, in nanoseconds a page. */
static double best(uint64_t (*walk)(volatile char *), volatile char *memory) {
	uint64_t least = UINT64_MAX;
	for (int n = 0; n < WRITES; n++) {
		uint64_t time = walk(memory);
		if (time < least)
			least = time;
	}
	return (double)least / PAGES;
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
	for (uint64_t page = 0; page < PAGES; page++)
		table[page] = page << 10 | MASK, tlb[page % ENTRIES] = -1;
	double direct = best(write_all, memory);
	printf("writing: %.1f, through a TLB: %.1f ns a page\n", direct, best(write_through_tlb, memory));
	return 0;
}
