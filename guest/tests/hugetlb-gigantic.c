/* hugetlb-gigantic.c: a pool of two pages of 1 GiB, one for a private mapping and one for a file, and what there is when both are gone. Nothing looks at more than a
 * few bytes, and no page is taken twice: what has not been touched need not be there. Recorded with MEM=5G APPEND="hugepagesz=1G hugepages=2": Debian's kernel
 * makes such pages only while it boots. */
#define _GNU_SOURCE
#include "hugetlb.h"
#include <sys/mman.h>
#include <sys/wait.h>

#ifndef MFD_HUGE_1GB
#define MFD_HUGE_1GB (30U << 26)
#endif
#define DIR "/sys/kernel/mm/hugepages/hugepages-1048576kB/"
#define RW (PROT_READ | PROT_WRITE)
#define FLAGS (MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB)

static long of(const char *name)
{
	char path[128], text[32] = "-1";
	snprintf(path, sizeof(path), DIR "%s", name);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		printf("%s: %s\n", name, error_name(errno));
	close(fd);
	return strtol(text, NULL, 10);
}

static void pool(const char *when)
{
	printf("%s: total %ld free %ld reserved %ld surplus %ld\n", when, of("nr_hugepages"), of("free_hugepages"), of("resv_hugepages"), of("surplus_hugepages"));
}

/* What smaps and status say of it. */
static void seen(const char *what, char *at)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char text[300];
	int inside = 0;
	printf("%s:", what);
	while (f && fgets(text, sizeof(text), f)) {
		unsigned long start, end;
		if (sscanf(text, "%lx-%lx ", &start, &end) == 2)
			inside = start == (unsigned long)at;
		for (const char *const *key = (const char *const[]){ "Size:", "KernelPageSize:", "MMUPageSize:", "Rss:", "Shared_Hugetlb:", "Private_Hugetlb:", NULL }; inside && *key; key++)
			if (!strncmp(text, *key, strlen(*key)))
				printf(" %s %ld", *key, strtol(text + strlen(*key), NULL, 10));
	}
	fclose(f);
	printf(" HugetlbPages: %ld\n", proc_number("/proc/self/status", "HugetlbPages:"));
}

static char *of_its_own, *one, *two;
static int fd;

/* Taken by a private mapping, which keeps it. */
static void private(void)
{
	char *at = of_its_own = mmap(NULL, GIB, RW, MAP_PRIVATE | FLAGS, -1, 0);
	printf("private: %s, offset in 1 GiB %lx\n", at == MAP_FAILED ? error_name(errno) : "mapped", (unsigned long)at % GIB);
	pool("reserved");
	show("two more", mmap(NULL, 2 * GIB, RW, MAP_PRIVATE | FLAGS, -1, 0) == MAP_FAILED ? -1 : 0);
	long tables = proc_number("/proc/self/status", "VmPTE:");
	write_to("the first byte", at, 1);
	pool("taken");
	write_to("one in the middle", at + GIB / 2 + 5, 2);
	write_to("the last", at + GIB - 1, 3);
	read_from("the first byte", at);
	read_from("a page nobody wrote", at + 77 * MIB);
	printf("tables: %+ld kB\n", proc_number("/proc/self/status", "VmPTE:") - tables);
	seen("a page", at);
	show("munmap of a part", munmap(at, 512 * MIB));
	show("mprotect of a part", mprotect(at, 2 * MIB, PROT_READ));
	show("MADV_DONTNEED of a part", madvise(at, 2 * MIB, MADV_DONTNEED));
	read_from("the last", at + GIB - 1);
	show("mprotect", mprotect(at, GIB, PROT_READ));
	write_to("read-only", at, 1);
	show("mprotect", mprotect(at, GIB, RW));
}

/* Taken by a file, which two mappings, a child and pread see. */
static void file(void)
{
	fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_1GB);
	show("memfd_create", fd < 0 ? -1 : 0);
	show("ftruncate to a part", ftruncate(fd, 2 * MIB));
	show("ftruncate", ftruncate(fd, GIB));
	one = mmap(NULL, GIB, RW, MAP_SHARED, fd, 0), two = mmap(NULL, GIB, RW, MAP_SHARED, fd, 0);
	pool("mapped twice, reserved once");
	show("at an offset of 2 MiB", mmap(NULL, GIB, RW, MAP_SHARED, fd, 2 * MIB) == MAP_FAILED ? -1 : 0);
	strcpy(one + 300 * MIB, "written through one mapping");
	printf("the other: %s\n", two + 300 * MIB);
	pid_t child = fork();
	if (child == 0) {
		write_to("a child", one + 600 * MIB, 6);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	read_from("its parent", two + 600 * MIB);
	seen("shared", one);
	char text[40] = "";
	printf("pread: %ld %s\n", (long)pread(fd, text, 28, 300 * MIB), text);
	show("MADV_DONTNEED", madvise(two, GIB, MADV_DONTNEED));
	read_from("what was written", two + 600 * MIB);
}

static void none_left(void)
{
	pool("both are taken");
	show("reserved", mmap(NULL, GIB, RW, MAP_PRIVATE | FLAGS, -1, 0) == MAP_FAILED ? -1 : 0);
	char *more = mmap(NULL, GIB, RW, MAP_PRIVATE | MAP_NORESERVE | FLAGS, -1, 0);
	show("not reserved", more == MAP_FAILED ? -1 : 0);
	read_from("not reserved", more);
	write_to("not reserved", more, 1);
	munmap(more, GIB);
	char *copy = mmap(NULL, GIB, RW, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	read_from("the file, private", copy + 600 * MIB);
	write_to("without a page for a copy", copy + 600 * MIB, 1);
	munmap(copy, GIB);
	pid_t child = fork();
	if (child == 0) {
		read_from("a child", of_its_own);
		write_to("a child without a page for a copy", of_its_own + 1, 1);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	write_to("its parent", of_its_own + 1, 4);
}

/* A page that is free becomes 512 of 2 MiB. */
static void demoted(void)
{
	get(DIR "demote_size");
	put(DIR "demote_size", "1G");
	put(DIR "demote_size", "64k");
	put(DIR "demote_size", "2M");
	put(DIR "demote", "x");
	put(DIR "demote", "0");
	show("reading demote", open(DIR "demote", O_RDONLY));
	show("demote of smaller pages", access("/sys/kernel/mm/hugepages/hugepages-2048kB/demote", F_OK));
	char *reserved = mmap(NULL, 2 * GIB, RW, MAP_PRIVATE | FLAGS, -1, 0);
	put(DIR "demote", "1");
	pool("both reserved");
	munmap(reserved, 2 * GIB);
	put(DIR "demote", "1");
	pool("one demoted");
	counts("2 MiB");
	char *small = huge(2 * HUGE, MAP_PRIVATE);
	write_to("2 MiB", small, 1);
	read_from("as zeros", small + PAGE);
	munmap(small, 2 * HUGE);
	put(DIR "demote", "5");
	pool("five more, of which there is one");
	counts("2 MiB");
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	catch_faults();
	if (of("nr_hugepages") == 0)
		put(DIR "nr_hugepages", "2");
	pool("at first");
	put(DIR "nr_overcommit_hugepages", "1");
	private();
	file();
	none_left();
	munmap(one, GIB);
	munmap(two, GIB);
	pool("unmapped, the file keeps its page");
	close(fd);
	pool("closed");
	munmap(of_its_own, GIB);
	pool("unmapped");
	demoted();
	return 0;
}
