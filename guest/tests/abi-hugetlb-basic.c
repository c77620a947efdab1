/* abi-hugetlb-basic.c: the shape of the published selftest `basic` for msharefs: an anonymous object and one of huge pages, of one page and of two, made by ioctl in a
 * region with a name; parent and child each map the file and see each other's writes; after the unmap nobody reaches it. Wants nr_hugepages 4. */
#include "check.h"
#include <mshare.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define MOUNT "/sys/fs/mshare"
#define FILE_NAME MOUNT "/region"

/* As in the published test. */
struct create_args {
	uint64_t region_offset, size, offset;
	uint32_t prot, flags;
	int32_t fd;
};
struct unmap_args {
	uint64_t region_offset, size;
};
#define CREATE_MAPPING 0x40287800
#define UNMAP 0x40107801

static unsigned long granule(void)
{
	char text[32] = "";
	int fd = open(MOUNT "/mshare_info", O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	close(fd);
	return strtoul(text, NULL, 10);
}

static volatile char *map_window(int fd, unsigned long size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		printf("FAIL mmap: %s\n", error_name(errno)), exit(1);
	return at;
}

static void try_object(const char *name, unsigned long size, unsigned flags)
{
	unsigned long whole = granule();
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_EXCL, 0600), turns[2], back[2];
	char turn;
	printf("ok %s\n", name);
	expect(fd >= 0, "created");
	expect_is(ftruncate(fd, (off_t)whole), 0, "its size set");
	struct create_args create = { .size = size, .prot = PROT_READ | PROT_WRITE, .flags = MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED | flags, .fd = -1 };
	expect_is(ioctl(fd, CREATE_MAPPING, &create), 0, "mapped into");
	if (pipe(turns) || pipe(back))
		exit(1);
	pid_t child = fork();
	if (child == 0) {
		int own = open(FILE_NAME, O_RDWR);
		volatile char *at = map_window(own, whole);
		expect(read(turns[0], &turn, 1) == 1 && at[0] == 1 && at[size - 1] == 2, "the child sees what the parent wrote");
		at[0] = 3, at[size - 1] = 4;
		expect(write(back[1], "x", 1) == 1 && read(turns[0], &turn, 1) == 1, "and waits");
		expect_text(try_read(at), "SEGV_MAPERR", "what the parent has unmapped is gone for the child");
		exit(failures != 0);
	}
	volatile char *at = map_window(fd, whole);
	at[0] = 1, at[size - 1] = 2;
	expect(write(turns[1], "x", 1) == 1 && read(back[0], &turn, 1) == 1, "its turn");
	expect(at[0] == 3 && at[size - 1] == 4, "the parent sees what the child wrote");
	struct unmap_args unmap = { .size = size };
	expect_is(ioctl(fd, UNMAP, &unmap), 0, "unmapped");
	expect_text(try_read(at), "SEGV_MAPERR", "gone");
	expect_is(write(turns[1], "x", 1), 1, "the child's turn");
	expect_is(ended(child), 0, "the child is content");
	expect_is(munmap((void *)at, whole), 0, "window unmapped");
	close(fd);
	expect_is(unlink(FILE_NAME), 0, "unlinked");
	expect_is(proc_number("/proc/meminfo", "HugePages_Free:"), 4, "all huge pages are free");
}

int main(void)
{
	catch_faults();
	int pool = open("/proc/sys/vm/nr_hugepages", O_WRONLY);
	expect_is(write(pool, "4", 1), 1, "nr_hugepages=4");
	if (mount("msharefs", MOUNT, "msharefs", 0, NULL) && errno != EBUSY)
		printf("FAIL mount: %s\n", error_name(errno)), exit(1);
	try_object("ANON_4k", 4 * KIB, 0);
	try_object("HUGETLB_2m", 2 * MIB, MAP_HUGETLB);
	try_object("ANON_8k", 8 * KIB, 0);
	try_object("HUGETLB_4m", 4 * MIB, MAP_HUGETLB);
	umount(MOUNT);
	return failures != 0;
}
