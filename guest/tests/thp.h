/* thp.h: what the tests of transparent huge pages share: settings, the arena, and a line of what smaps and the counters say after each step. */
#ifndef THP_H
#define THP_H
#include "check.h"
#include <sys/prctl.h>

#define HUGE (2 * MIB)
/* Where things are mapped: a multiple of 2 MiB. */
#define ARENA 0x1000000000UL
#define THP "/sys/kernel/mm/transparent_hugepage/"

static unused int setting(const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), THP "%s", name);
	int fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	int result = write(fd, value, strlen(value)) < 0 ? -1 : 0;
	close(fd);
	return result;
}

/* As on a machine with plenty of memory, and nothing done in the background. */
static unused void usual_settings(void)
{
	setting("khugepaged/scan_sleep_millisecs", "4000000000");
	setting("khugepaged/alloc_sleep_millisecs", "4000000000");
	setting("enabled", "always");
	setting("defrag", "madvise");
	setting("shmem_enabled", "never");
	setting("use_zero_page", "1");
	setting("khugepaged/defrag", "1");
}

static unused char *at(unsigned long mib, unsigned long page)
{
	return (char *)(ARENA + mib * MIB + page * PAGE);
}

static unused char *map(unsigned long mib, unsigned long pages, int prot, int flags)
{
	return mmap(at(mib, 0), pages * PAGE, prot, flags | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
}

#define RW (PROT_READ | PROT_WRITE)

static unused long counter(const char *path, const char *name)
{
	FILE *f = fopen(path, "r");
	char text[256];
	long value = -1;
	size_t length = strlen(name);
	while (f && fgets(text, sizeof(text), f))
		if (strncmp(text, name, length) == 0 && (text[length] == ' ' || text[length] == ':'))
			value = strtol(text + length + 1, NULL, 10);
	if (f)
		fclose(f);
	return value;
}

/* Sums of smaps over the arena, in kB, and the growth of VmPTE and of some counters since the last line. */
static const char *const of_smaps[] = { "Rss:", "Pss:", "Anonymous:", "Referenced:", "AnonHugePages:", "ShmemPmdMapped:" };
static const char *const of_vmstat[] = { "thp_fault_alloc", "thp_fault_fallback", "thp_split_pmd", "thp_zero_page_alloc", "thp_file_alloc", "thp_file_mapped", "thp_collapse_alloc" };
static const char *const short_names[] = { "alloc", "fallback", "split", "zero", "file", "mapped", "collapse" };
static long last_vmstat[7], last_pte = -1;

static unused void report(const char *what)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char text[512];
	int inside = 0, vmas = 0;
	long sums[6] = { 0 };
	char eligible[64] = "";
	while (fgets(text, sizeof(text), f)) {
		unsigned long start, end;
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2) {
			inside = start >= ARENA && start < ARENA + GIB;
			vmas += inside;
			continue;
		}
		for (unsigned i = 0; inside && i < 6; i++)
			if (strncmp(text, of_smaps[i], strlen(of_smaps[i])) == 0)
				sums[i] += strtol(text + strlen(of_smaps[i]), NULL, 10);
		if (inside && strncmp(text, "THPeligible:", 12) == 0 && strlen(eligible) < 60)
			strcat(eligible, strchr(text + 12, '1') ? "1" : "0");
	}
	fclose(f);
	printf("%s: vmas %d (%s) rss %ld pss %ld anon %ld ref %ld anonhuge %ld shmempmd %ld", what, vmas, eligible, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]);
	long pte = counter("/proc/self/status", "VmPTE");
	if (last_pte >= 0)
		printf(" pte %+ld", pte - last_pte);
	last_pte = pte;
	for (unsigned i = 0; i < 7; i++) {
		long now = counter("/proc/vmstat", of_vmstat[i]);
		if (now != last_vmstat[i] && last_pte >= 0 && *what)
			printf(" %s %+ld", short_names[i], now - last_vmstat[i]);
		last_vmstat[i] = now;
	}
	printf("\n");
}

static unused void forget_counters(void)
{
	for (unsigned i = 0; i < 7; i++)
		last_vmstat[i] = counter("/proc/vmstat", of_vmstat[i]);
	last_pte = counter("/proc/self/status", "VmPTE");
}

/* A word in each page; check() counts those that are not as filled. */
static unused void fill(char *from, unsigned long pages, unsigned seed)
{
	for (unsigned long i = 0; i < pages; i++)
		*(volatile unsigned *)(from + i * PAGE + 8 * ((seed + i) % 500)) = seed + i;
}

static unused unsigned long wrong(char *from, unsigned long pages, unsigned seed)
{
	unsigned long bad = 0;
	for (unsigned long i = 0; i < pages; i++)
		bad += *(volatile unsigned *)(from + i * PAGE + 8 * ((seed + i) % 500)) != seed + i;
	return bad;
}

static unused void touch(char *from, unsigned long pages, int write)
{
	for (unsigned long i = 0; i < pages; i++) {
		if (write)
			*(volatile char *)(from + i * PAGE) = 1;
		else
			(void)*(volatile char *)(from + i * PAGE);
	}
}

static unused void unmap_arena(void)
{
	munmap(at(0, 0), GIB);
}
#endif
