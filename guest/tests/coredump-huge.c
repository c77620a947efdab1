/* coredump-huge.c: huge pages in core files, by their own bits of coredump_filter. */
#include "core.h"

static void show_at(const char *text, char *address)
{
	char *found = in_core(address);
	printf(" %s: %s, %ld bytes", text, found ? found : "not there", (long)segment_of(address)->p_filesz);
}

int main(void)
{
	static const char *const filters[] = { "0x33", "0x20", "0x40", "0x1f" };
	limit_core(RLIM_INFINITY);
	if (chdir("/tmp") || write_text("/proc/sys/vm/nr_hugepages", "4\n"))
		return 1;
	char *private = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	char *shared = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (private == MAP_FAILED || shared == MAP_FAILED)
		return 1;
	strcpy(private + MIB, "private");
	strcpy(shared + 3 * MIB, "shared");
	for (int i = 0; i < 4; i++) {
		write_text("/proc/self/coredump_filter", filters[i]);
		in_child(abort());
		if (!load_core("core"))
			return 1;
		printf("%s:", filters[i]);
		show_at("private", private + MIB);
		show_at("shared", shared + 3 * MIB);
		printf("\n");
		drop_core();
		unlink("core");
	}
	munmap(private, 4 * MIB);
	munmap(shared, 4 * MIB);
	printf("given back: %d\n", write_text("/proc/sys/vm/nr_hugepages", "0\n"));
	return 0;
}
