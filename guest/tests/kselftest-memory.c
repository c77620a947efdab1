/* kselftest-memory.c: what the published selftest `memory` (V2) does, from its description: a named region is filled, pushed out to swap by a memory cgroup and by
 * advice and read back, and given huge pages; memory.stat of the group says so. Wants swap and shmem_enabled=always. */
#include "kselftest.h"
#include <fcntl.h>
#include <mntent.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

struct mshare_create {
	uint64_t region_offset, size, offset;
	uint32_t prot, flags;
	int32_t fd;
};
struct mshare_unmap {
	uint64_t region_offset, size;
};
#define MSHAREFS_CREATE_MAPPING _IOW('x', 0, struct mshare_create)
#define MSHAREFS_UNMAP _IOW('x', 1, struct mshare_unmap)

#define MB (1UL << 20)
#define SIZE (32 * MB)
#define FILL 0x5a

static char msharefs[200], cgroup[200], group[300], file[300];
static bool made_mount;
static unsigned long granule;
static int region;
static volatile char *window;

/* Where a file system of that type is mounted. */
static bool find_mount(const char *type, char *at)
{
	FILE *mounts = setmntent("/proc/mounts", "r");
	struct mntent *entry;
	bool found = false;
	ASSERT(mounts);
	while (!found && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, type)) {
			strcpy(at, entry->mnt_dir);
			found = true;
		}
	endmntent(mounts);
	return found;
}

static void mount_at(const char *type, char *at)
{
	if (find_mount(type, at))
		return;
	strcpy(at, "/tmp/mount-XXXXXX");
	ASSERT(mkdtemp(at));
	ASSERT(mount(type, at, type, 0, NULL) == 0);
	made_mount |= at == msharefs;
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[400];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_WRONLY);
	ASSERT(fd >= 0);
	ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A number of memory.stat. */
static unsigned long stat_of(const char *key)
{
	char path[400], name[100];
	unsigned long value;
	snprintf(path, sizeof(path), "%s/memory.stat", group);
	FILE *f = fopen(path, "r");
	ASSERT(f);
	while (fscanf(f, "%99s %lu", name, &value) == 2)
		if (!strcmp(name, key)) {
			fclose(f);
			return value;
		}
	fclose(f);
	fprintf(stderr, "# no %s in memory.stat\n", key);
	_exit(1);
}

/* The process is in a group of its own, owns a region with one anonymous object and has a window on it. */
static void setup(unsigned long alignment)
{
	char text[64] = "";
	mount_at("msharefs", msharefs);
	mount_at("cgroup2", cgroup);
	write_file(cgroup, "cgroup.subtree_control", "+memory");
	snprintf(group, sizeof(group), "%s/mshare-test-%d", cgroup, getpid());
	ASSERT(mkdir(group, 0755) == 0);
	write_file(group, "cgroup.procs", "0");

	snprintf(file, sizeof(file), "%s/mshare_info", msharefs);
	int info = open(file, O_RDONLY);
	ASSERT(info >= 0 && read(info, text, sizeof(text) - 1) > 0);
	close(info);
	granule = strtoul(text, NULL, 10);
	snprintf(file, sizeof(file), "%s/test-XXXXXX", msharefs);
	region = mkstemp(file);
	ASSERT(region >= 0);
	ASSERT(ftruncate(region, (off_t)granule) == 0);
	struct mshare_create object = {
		.region_offset = alignment, .size = SIZE, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .fd = -1};
	ASSERT(ioctl(region, MSHAREFS_CREATE_MAPPING, &object) == 0);
	char *at = mmap(NULL, granule, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
	ASSERT(at != MAP_FAILED);
	window = at + alignment;
}

static void teardown(void)
{
	ASSERT(munmap((char *)window - ((uintptr_t)window % granule), granule) == 0);
	close(region);
	ASSERT(unlink(file) == 0);
	if (made_mount) {
		ASSERT(umount(msharefs) == 0);
		ASSERT(rmdir(msharefs) == 0);
	}
	write_file(cgroup, "cgroup.procs", "0");
	ASSERT(rmdir(group) == 0);
}

static void fill(void)
{
	memset((char *)window, FILL, SIZE);
}

static unsigned long wrong(void)
{
	unsigned long bad = 0;
	for (unsigned long i = 0; i < SIZE; i++)
		bad += window[i] != FILL;
	return bad;
}

/* Another process sees the same, without pages of its own. */
static void check_in_child(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(wrong() != 0);
	int status;
	ASSERT(waitpid(child, &status, 0) == child && status == 0);
}

TEST(memory_swap_by_limit)
{
	setup(0);
	fill();
	ASSERT(stat_of("shmem") >= SIZE);
	unsigned long before = stat_of("pswpout");
	write_file(group, "memory.max", "16M");
	ASSERT(stat_of("shmem") <= 16 * MB);
	ASSERT(stat_of("pswpout") - before >= (SIZE - 16 * MB) / 4096);
	ASSERT(wrong() == 0);
	check_in_child();
	ASSERT(stat_of("pswpin") > 0);
	write_file(group, "memory.max", "max");
	teardown();
}

TEST(memory_swap_by_advice)
{
	setup(0);
	fill();
	unsigned long before = stat_of("pswpout");
	ASSERT(madvise((char *)window, SIZE, MADV_PAGEOUT) == 0);
	unsigned long out = stat_of("pswpout") - before;
	ASSERT(out * 4096 > SIZE * 9 / 10);
	ASSERT(wrong() == 0);
	check_in_child();
	write_file(group, "memory.reclaim", "8M");
	ASSERT(stat_of("pswpout") - before >= out + 8 * MB / 4096);
	ASSERT(wrong() == 0);
	teardown();
}

TEST_SIGNAL(memory_unmapped, SIGSEGV)
{
	setup(0);
	fill();
	struct mshare_unmap object = {.region_offset = 0, .size = SIZE};
	ASSERT(ioctl(region, MSHAREFS_UNMAP, &object) == 0);
	ASSERT(stat_of("shmem") < MB);
	/* Whoever reads or writes there now dies of it. */
	window[0] = 1;
}

TEST(memory_thp)
{
	write_file("/sys/kernel/mm/transparent_hugepage", "shmem_enabled", "always");
	setup(0);
	fill();
	unsigned long huge = stat_of("shmem_thp") + stat_of("anon_thp") + stat_of("file_thp");
	ASSERT(huge >= SIZE);
	ASSERT(stat_of("shmem") >= SIZE);
	check_in_child();
	teardown();
}
