/* hugetlb.h: what the hugetlb-*.c programs share: the pool of 2 MiB pages, its counts, and accesses that may fault. They run as root. */
#ifndef HUGETLB_H
#define HUGETLB_H

#include "check.h"
#include <linux/mman.h>

#define HUGE (2 * MIB)
static unused void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("%s: %s\n", path, error_name(errno));
	close(fd);
}

static unused void get(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) < 0)
		printf("%s: %s\n", path, error_name(errno));
	printf("%s: %s", path, text);
	close(fd);
}

#define POOL "/proc/sys/vm/nr_hugepages"
#define OVERCOMMIT "/proc/sys/vm/nr_overcommit_hugepages"
static unused void counts(const char *when)
{
	const char *path = "/proc/meminfo";
	printf("%s: total %ld free %ld reserved %ld surplus %ld\n", when, proc_number(path, "HugePages_Total:"), proc_number(path, "HugePages_Free:"), proc_number(path, "HugePages_Rsvd:"), proc_number(path, "HugePages_Surp:"));
}

static unused const char *touch(volatile char *at, int value)
{
	static char text[32];
	const char *result = value < 0 ? try_read(at) : try_write(at);
	if (strcmp(result, "ok"))
		return result;
	if (value >= 0)
		*at = (char)value;
	snprintf(text, sizeof(text), "%d", *at);
	return text;
}

static unused void write_to(const char *name, volatile char *at, int value)
{
	printf("%s: writes %s\n", name, touch(at, value));
}

static unused void read_from(const char *name, volatile char *at)
{
	printf("%s: reads %s\n", name, touch(at, -1));
}

static unused char *huge(unsigned long size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);
}

/* The mapping's lines of smaps that huge pages change, without device and inode. */
static unused void smaps(const char *name, void *at)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char text[512];
	unsigned long start, end;
	int here = 0;
	while (fgets(text, sizeof(text), f)) {
		char rights[8], offset[20];
		int path = 0;
		if (sscanf(text, "%lx-%lx %7s %19s %*s %*s %n", &start, &end, rights, offset, &path) >= 4 && strchr(text, '-') < strchr(text, ' ')) {
			here = (unsigned long)at >= start && (unsigned long)at < end;
			if (here)
				printf("%s: %lu kB %s %s %s", name, (end - start) / KIB, rights, offset, text + path);
		}
		else if (here && (strstr(text, "PageSize") || strstr(text, "Hugetlb") || !strncmp(text, "Rss", 3) || !strncmp(text, "Size", 4) || !strncmp(text, "VmFlags", 7) || !strncmp(text, "Locked", 6))) printf("\t%s", text);
	}
	fclose(f);
}

#endif
