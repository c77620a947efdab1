/* abi-map.c: mshare_map: the structure, flags, objects of all kinds, where they go, every errno. */
#include "region.h"
#include <sys/resource.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static void structure(int fd)
{
	struct { struct mshare_map map; char more[PAGE]; } big;
	memset(&big, 0, sizeof(big));
	big.map = (struct mshare_map){ .size = PAGE, .prot = RW, .flags = ANON | MAP_FIXED, .obj_fd = -1 };
	expect_is(sizeof(struct mshare_map), 40, "struct mshare_map has 40 bytes");
	expect_is(mshare_map(fd, &big.map, 40), 0, "its own size");
	expect_is(mshare_map(fd, &big.map, 48), 0, "longer, the rest zero");
	expect_is(mshare_map(fd, &big.map, PAGE), 0, "as long as a page");
	expect_error(mshare_map(fd, &big.map, PAGE + 1), E2BIG, "longer than a page");
	big.more[3] = 1;
	expect_error(mshare_map(fd, &big.map, 48), E2BIG, "longer, the rest not zero");
	expect_is(mshare_map(fd, &big.map, 40), 0, "which a shorter size does not see");
	expect_error(mshare_map(fd, &big.map, 39), EINVAL, "shorter than the first version");
	expect_error(mshare_map(fd, &big.map, 0), EINVAL, "size 0");
	expect_error(mshare_map(fd, NULL, 40), EFAULT, "NULL");
	expect_error(mshare_map(fd, (void *)8, 40), EFAULT, "a bad pointer");
	big.map.reserved = 1;
	expect_error(mshare_map(fd, &big.map, 40), EINVAL, "reserved not 0");
}

static void arguments(int fd, unsigned long size)
{
	expect_error(map_flags(fd, 0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "MAP_PRIVATE");
	expect_error(map_flags(fd, 0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "MAP_SHARED_VALIDATE");
	expect_error(map_flags(fd, 0, PAGE, RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "neither");
	expect_error(map_flags(fd, 0, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0), EINVAL, "MAP_GROWSDOWN");
	expect_error(map_flags(fd, 0, PAGE, RW, ANON | MAP_FIXED | 0x80000000u, -1, 0), EINVAL, "an undefined flag");
	expect_error(map_flags(fd, 0, PAGE, RW | 8, ANON | MAP_FIXED, -1, 0), EINVAL, "prot beyond RWX");
	expect_error(map_flags(fd, 0, PAGE, RW | PROT_GROWSDOWN, ANON | MAP_FIXED, -1, 0), EINVAL, "PROT_GROWSDOWN");
	expect_error(map_flags(fd, 0, PAGE, RW, ANON | MAP_FIXED, 5, 0), EINVAL, "anonymous with a descriptor");
	expect_error(map_flags(fd, 0, PAGE, RW, ANON | MAP_FIXED, -1, PAGE), EINVAL, "anonymous with an object offset");
	expect_error(map_flags(fd, 0, 0, RW, ANON | MAP_FIXED, -1, 0), EINVAL, "size 0");
	expect_error(map_flags(fd, 100, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL, "offset unaligned");
	expect_error(map_flags(fd, 100, PAGE, RW, ANON, -1, 0), EINVAL, "a hint unaligned");
	expect_error(map_flags(fd, size, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL, "at the end");
	expect_error(map_flags(fd, size - PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL, "past the end");
	expect_error(map_flags(fd, size - PAGE, ~0UL - PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL, "overflow");
	expect_error(map_flags(fd, 0, ~0UL, RW, ANON | MAP_FIXED, -1, 0), EINVAL, "size of 2^64 - 1");
	expect_is(map_flags(fd, PAGE, 100, RW, ANON | MAP_FIXED, -1, 0), PAGE, "size is rounded up to a page");
	int unsized = mshare_create(0);
	expect_error(map_anon(unsized, 0, PAGE, RW), EINVAL, "no size set yet");
	close(unsized);
	mshare_unmap(fd, 0, size);
}

static void objects(int fd)
{
	char path[] = "/tmp/abi-map-XXXXXX";
	int file = mkstemp(path), object = memfd(4 * PAGE), ends[2], null = open("/dev/null", O_RDWR), directory = open("/tmp", O_RDONLY | O_DIRECTORY);
	int other = region(GRANULE);
	if (pipe(ends) || ftruncate(file, 2 * PAGE))
		printf("FAIL objects\n"), failures++;
	expect_error(map_file(fd, 0, PAGE, RW, -1, 0), EBADF, "obj_fd -1 without MAP_ANONYMOUS");
	expect_error(map_file(fd, 0, PAGE, RW, 9999, 0), EBADF, "obj_fd not open");
	expect_error(map_file(fd, 0, PAGE, RW, reopen(file, O_PATH), 0), EBADF, "obj_fd is O_PATH");
	expect_error(map_file(fd, 0, PAGE, RW, fd, 0), EINVAL, "the region's own descriptor");
	expect_error(map_file(fd, 0, PAGE, RW, other, 0), EINVAL, "another region's descriptor");
	expect_error(map_file(fd, 0, PAGE, PROT_READ, directory, 0), ENODEV, "a directory");
	expect_error(map_file(fd, 0, PAGE, PROT_READ, ends[0], 0), ENODEV, "a pipe");
	expect_error(map_file(fd, 0, PAGE, PROT_READ, null, 0), ENODEV, "/dev/null");
	expect_error(map_file(fd, 0, PAGE, RW, object, 100), EINVAL, "obj_offset unaligned");
	expect_error(map_file(fd, 0, 2 * PAGE, RW, object, 0x7ffffffffffff000UL), EOVERFLOW, "offset overflow");
	expect_error(map_file(fd, 0, PAGE, RW, object, 1UL << 63), EOVERFLOW, "obj_offset 2^63");
	expect_error(map_flags(fd, 0, GRANULE, RW, MAP_SHARED | MAP_FIXED | MAP_HUGETLB, object, 0), EINVAL, "MAP_HUGETLB with a memfd");
	int read_only = open(path, O_RDONLY), write_only = open(path, O_WRONLY);
	expect_error(map_file(fd, 0, PAGE, RW, read_only, 0), EACCES, "PROT_WRITE of a file opened read-only");
	expect_error(map_file(fd, 0, PAGE, PROT_READ, write_only, 0), EACCES, "a file opened write-only");
	expect_is(map_file(fd, 0, PAGE, PROT_READ, read_only, 0), 0, "PROT_READ of a file opened read-only");
	expect_error(mshare_protect(fd, 0, PAGE, RW), EACCES, "which cannot be made writable");
	int sealed = memfd(PAGE);
	fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE);
	expect_error(map_file(fd, 0, PAGE, RW, sealed, 0), EPERM, "PROT_WRITE of a write-sealed memfd");
	int future = memfd(PAGE);
	fcntl(future, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	expect_error(map_file(fd, 0, PAGE, RW, future, 0), EPERM, "PROT_WRITE of a memfd sealed against future writes");

	char *window = window_on(fd);
	char text[8];
	expect_is(map_file(fd, 0, 4 * PAGE, RW, object, 0), 0, "a memfd");
	strcpy(window + PAGE, "memfd");
	expect(pread(object, text, 6, PAGE) == 6 && !strcmp(text, "memfd"), "writing into the window is seen by pread");
	expect(pwrite(object, "again", 6, PAGE) == 6 && !strcmp(window + PAGE, "again"), "and pwrite in the window");
	expect_is(map_file(fd, GRANULE, 2 * PAGE, RW, object, PAGE), GRANULE, "the same memfd a second time, from its second page");
	expect(!strcmp(window + GRANULE, "again"), "shows the same memory");
	expect_is(map_file(fd, 2 * GRANULE, 2 * PAGE, RW, file, 0), 2 * GRANULE, "a file");
	strcpy(window + 2 * GRANULE, "file");
	expect(pread(file, text, 5, 0) == 5 && !strcmp(text, "file"), "writing into it is seen by pread");
	expect_is(map_file(fd, 3 * GRANULE, 3 * PAGE, RW, file, 0), 3 * GRANULE, "more than the file has");
	expect_text(try_read(window + 3 * GRANULE + 2 * PAGE), "BUS_ADRERR", "beyond the file's end");
	expect_text(try_write(window + 3 * GRANULE + 2 * PAGE + 5), "BUS_ADRERR", "writing there");
	expect_is(ftruncate(file, 3 * PAGE), 0, "the file grows");
	expect_text(try_read(window + 3 * GRANULE + 2 * PAGE), "ok", "now it is there");
	expect_is(ftruncate(file, PAGE), 0, "the file shrinks");
	expect_text(try_read(window + 3 * GRANULE + PAGE), "BUS_ADRERR", "now it is not");
	expect_text(try_read(window + 3 * GRANULE), "ok", "its first page is");
	char *ordinary = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, object, 0);
	expect(!strcmp(ordinary + PAGE, "again"), "an ordinary mapping shares with the region");
	ordinary[3 * PAGE] = 5;
	expect_is(window[3 * PAGE], 5, "both ways");
	close(object);
	expect(!strcmp(window + PAGE, "again"), "the object lives on when its descriptor is closed");
	mshare_detach(window);
	munmap(ordinary, 4 * PAGE);
	unlink(path);
	close(other);
	mshare_unmap(fd, 0, 4 * GRANULE);
}

static void places(void)
{
	int fd = region(4 * GRANULE);
	expect_is(map_flags(fd, 0, 2 * PAGE, RW, ANON, -1, 0), 0, "without FIXED: first fit");
	expect_is(map_flags(fd, 0, PAGE, RW, ANON, -1, 0), 2 * PAGE, "then what follows");
	expect_is(map_flags(fd, GRANULE, PAGE, RW, ANON, -1, 0), GRANULE, "a free hint is taken");
	expect_is(map_flags(fd, PAGE, PAGE, RW, ANON, -1, 0), 3 * PAGE, "a taken hint: first fit");
	expect_is(mshare_unmap(fd, PAGE, PAGE), 0, "a hole of one page");
	expect_is(map_flags(fd, 0, 2 * PAGE, RW, ANON, -1, 0), 4 * PAGE, "too small for two");
	expect_is(map_flags(fd, 0, PAGE, RW, ANON, -1, 0), PAGE, "but one goes there");
	expect_error(map_flags(fd, 0, 4 * GRANULE, RW, ANON, -1, 0), ENOMEM, "no room");
	expect_error(map_flags(fd, 0, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST, "FIXED_NOREPLACE over an object");
	expect_error(map_flags(fd, 0, PAGE, RW, ANON | MAP_FIXED_NOREPLACE | MAP_FIXED, -1, 0), EEXIST, "it wins over FIXED");
	expect_is(map_flags(fd, 2 * GRANULE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), 2 * GRANULE, "FIXED_NOREPLACE where nothing is");
	char *window = window_on(fd);
	window[0] = 1;
	window[PAGE] = 2;
	expect_is(map_anon(fd, 0, PAGE, RW), 0, "FIXED over an object");
	expect_is(window[0], 0, "replaces it");
	expect_is(window[PAGE], 2, "and nothing else");
	expect_is(stat_of(fd).mapped, 8 * PAGE, "stat: 8 pages mapped");
	mshare_detach(window);
	close(fd);
}

static void populate(void)
{
	int fd = region(4 * GRANULE);
	expect_is(map_flags(fd, 0, 16 * PAGE, RW, ANON | MAP_FIXED | MAP_POPULATE, -1, 0), 0, "MAP_POPULATE");
	expect_is(stat_of(fd).resident, 16 * PAGE, "all pages are present");
	expect_is(map_flags(fd, 16 * PAGE, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0), 16 * PAGE, "without it");
	expect_is(stat_of(fd).resident, 16 * PAGE, "no more are");
	expect_is(map_flags(fd, GRANULE, 4 * PAGE, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0), GRANULE, "MAP_NORESERVE");
	expect_is(map_flags(fd, 2 * GRANULE, 4 * PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0), 2 * GRANULE, "PROT_NONE");
	unsigned long before = stat_of(fd).resident;
	expect_is(map_flags(fd, 2 * GRANULE, 4 * PAGE, PROT_NONE, ANON | MAP_FIXED | MAP_POPULATE, -1, 0), 2 * GRANULE, "MAP_POPULATE of PROT_NONE");
	expect_is(map_flags(fd, 2 * GRANULE, 4 * PAGE, PROT_NONE, ANON | MAP_FIXED | MAP_LOCKED, -1, 0), 2 * GRANULE, "MAP_LOCKED of it");
	expect_error(mshare_lock(fd, 2 * GRANULE, 4 * PAGE, 0), ENOMEM, "lock of it");
	expect_is(stat_of(fd).resident, before, "bring nothing in");
	expect_is(map_flags(fd, 2 * GRANULE, 4 * PAGE, PROT_READ, ANON | MAP_FIXED | MAP_POPULATE, -1, 0), 2 * GRANULE, "of PROT_READ");
	expect_is(stat_of(fd).resident, before + 4 * PAGE, "does");
	expect_error(map_flags(fd, 3 * GRANULE, GRANULE, RW, ANON | MAP_FIXED | MAP_HUGETLB, -1, 0), ENOMEM, "MAP_HUGETLB without huge pages");
	close(fd);
	int big = region(1UL << 46);
	expect_error(map_flags(big, 0, 1UL << 46, RW, ANON | MAP_FIXED, -1, 0), ENOMEM, "64 TiB: over the commit limit");
	expect_is(map_flags(big, 0, 1UL << 45, RW, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0), 0, "NORESERVE: fine");
	close(big);
}

int main(void)
{
	catch_faults();
	int fd = region(4 * GRANULE);
	structure(fd);
	arguments(fd, 4 * GRANULE);
	objects(fd);
	places();
	populate();
	return failures != 0;
}
