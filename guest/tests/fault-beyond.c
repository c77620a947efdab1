/* fault-beyond.c: faults that find no page — beyond the end of an object, in a full tmpfs — take no page, no block of the object and no last-level table;
 * and where a huge page reaches beyond the end, there are pages after all. To be compared with Linux. */
#include "thp.h"
#include <sys/mount.h>

static long last;

/* What an access did: "ok" or the signal, the object's blocks, the growth of VmPTE. */
static void line(const char *what, int fd, const char *how)
{
	struct stat about;
	fstat(fd, &about);
	long tables = counter("/proc/self/status", "VmPTE");
	printf("  %s: %s, blocks %ld, tables %+ld\n", what, how, (long)about.st_blocks, tables - last);
	last = tables;
}

static const char *read_at(unsigned long mib, unsigned long page)
{
	return try_read(at(mib, page));
}

static const char *write_at(unsigned long mib, unsigned long page)
{
	return try_write(at(mib, page));
}

static void beyond(int type, const char *shmem_enabled)
{
	setting("shmem_enabled", shmem_enabled);
	int fd = memfd_create("m", 0);
	ftruncate(fd, 5 * MIB + 5);
	mmap(at(0, 0), 32 * MIB, RW, type | MAP_FIXED, fd, 0);
	last = counter("/proc/self/status", "VmPTE");
	printf("%s, %s\n", type == MAP_SHARED ? "shared" : "private", shmem_enabled);
	line("read far beyond", fd, read_at(14, 0));
	line("write far beyond", fd, write_at(12, 0));
	line("read beyond", fd, read_at(5, 9));
	line("write beyond", fd, write_at(5, 9));
	line("read inside", fd, read_at(4, 0));
	line("write inside", fd, write_at(4, 1));
	line("read beyond", fd, read_at(5, 9));
	line("write beyond", fd, write_at(5, 9));
	ftruncate(fd, 6 * MIB);
	line("grown: read", fd, read_at(5, 9));
	printf("    %d\n", *at(5, 9));
	ftruncate(fd, 5 * MIB);
	line("shrunk: read", fd, read_at(5, 9));
	ftruncate(fd, 6 * MIB);
	line("grown: read", fd, read_at(5, 9));
	printf("    %d\n", *at(5, 9));
	unmap_arena();
	line("unmapped", fd, "ok");
	close(fd);
}

static void full(int type)
{
	char pages[4 * PAGE];
	memset(pages, 1, sizeof(pages));
	int fd = open("/tmp/full/sparse", O_RDWR | O_CREAT, 0600);
	int other = open("/tmp/full/other", O_RDWR | O_CREAT, 0600);
	ftruncate(fd, 16 * MIB);
	pwrite(fd, pages, PAGE, 8 * MIB);
	show("fill the file system", write(other, pages, sizeof(pages)));
	mmap(at(0, 0), 16 * MIB, RW, type | MAP_FIXED, fd, 0);
	last = counter("/proc/self/status", "VmPTE");
	line("read", fd, read_at(0, 0));
	line("write", fd, write_at(2, 0));
	line("read beside a page", fd, read_at(8, 1));
	ftruncate(other, 0);
	line("read, with room", fd, read_at(0, 0));
	line("write, with room", fd, write_at(2, 0));
	unmap_arena();
	line("unmapped", fd, "ok");
	close(fd);
	close(other);
	unlink("/tmp/full/sparse");
}

int main(void)
{
	catch_faults();
	usual_settings();
	beyond(MAP_SHARED, "never");
	beyond(MAP_PRIVATE, "never");
	beyond(MAP_SHARED, "always");
	beyond(MAP_PRIVATE, "always");
	setting("shmem_enabled", "never");
	mkdir("/tmp/full", 0700);
	show("mount", mount("none", "/tmp/full", "tmpfs", 0, "size=16k"));
	full(MAP_SHARED);
	full(MAP_PRIVATE);
	return 0;
}
