/* abi-create.c: mshare_create, what the descriptor is like, and how a region gets its size. */
#include "region.h"

static void descriptor(void)
{
	struct stat st;
	char path[64], text[128] = "";
	int fd = mshare_create(0), cloexec = mshare_create(O_CLOEXEC);
	expect(fd >= 0, "create(0) returns a descriptor");
	expect(cloexec >= 0, "create(O_CLOEXEC) returns a descriptor");
	expect_is(fcntl(fd, F_GETFD), 0, "F_GETFD without O_CLOEXEC");
	expect_is(fcntl(cloexec, F_GETFD), FD_CLOEXEC, "F_GETFD with O_CLOEXEC");
	expect_is(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR, "the descriptor is O_RDWR");
	expect_error(mshare_create(1), EINVAL, "create(1)");
	expect_error(mshare_create(O_CLOEXEC | O_NONBLOCK), EINVAL, "create with O_NONBLOCK");
	expect_error(mshare_create(0x80000000u), EINVAL, "create(1 << 31)");
	expect(syscall(__NR_mshare_create, 0x100000000UL | O_CLOEXEC) >= 0, "flags are read as 32 bits");
	expect_is(fstat(fd, &st), 0, "fstat");
	expect_is(st.st_mode, S_IFREG | 0600, "its file is S_IFREG 0600");
	expect_is(st.st_size, 0, "size 0 at first");
	struct stat other;
	fstat(cloexec, &other);
	expect(other.st_ino != st.st_ino, "each region has an inode of its own");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	expect(readlink(path, text, sizeof(text) - 1) > 0, "readlink of /proc/self/fd/N");
	int id = 0, end = 0;
	expect(sscanf(text, "/mshare:%d (deleted)%n", &id, &end) == 1 && end == (int)strlen(text), "link text /mshare:ID (deleted)");
	close(fd);
	close(cloexec);
}

static void rights(void)
{
	int fd = region(GRANULE), view = reopen(fd, O_RDONLY);
	expect(view >= 0, "reopening read-only");
	expect_is(fcntl(view, F_GETFL) & O_ACCMODE, O_RDONLY, "gives a read-only descriptor");
	expect_error(reopen(view, O_RDWR), EACCES, "reopening that for reading and writing");
	expect_error(reopen(view, O_WRONLY), EACCES, "reopening that for writing");
	int again = reopen(view, O_RDONLY);
	expect(again >= 0, "reopening that read-only");
	close(again);
	again = reopen(fd, O_WRONLY);
	expect(again >= 0, "reopening the writable one for writing");
	expect_is(map_anon(again, 0, PAGE, RW), 0, "it can change the region");
	for (unsigned flags = 0; flags <= MSHARE_PRIVATE; flags += MSHARE_RDONLY)
		expect_error((long)mshare_attach(again, 0, 0, NULL, flags), EACCES, "and not look into it, as with mmap");
	close(again);
	again = reopen(fd, O_RDWR);
	expect(again >= 0, "reopening the writable one for both");
	close(again);
	expect_error(mshare_attach(view, 0, 0, NULL, 0) == MAP_FAILED ? -1 : 0, EACCES, "attaching for writing by the read-only one");
	expect_error(map_anon(view, 0, PAGE, RW), EBADF, "map by the read-only one");
	expect_error(mshare_unmap(view, 0, PAGE), EBADF, "unmap by the read-only one");
	expect_error(mshare_protect(view, 0, PAGE, PROT_READ), EBADF, "protect by the read-only one");
	expect_error(mshare_advise(view, 0, PAGE, MADV_DONTNEED), EBADF, "advise by the read-only one");
	struct mshare_stat st;
	expect_is(mshare_stat(view, &st, sizeof(st)), 0, "stat by the read-only one");
	expect_error(ftruncate(view, 2 * GRANULE), EINVAL, "ftruncate of the read-only one");
	expect_error(fallocate(view, 0, 0, 2 * GRANULE), EBADF, "fallocate of the read-only one");
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	expect_in_child({
		if (setuid(1000) == 0) {
			expect_error(open(path, O_RDONLY), EACCES, "reopening by another user: the file is 0600");
			struct stat other;
			expect_is(fstat(fd, &other), 0, "who has the descriptor may use it");
			expect(mshare_attach(fd, 0, 0, NULL, 0) != MAP_FAILED, "and attach");
		}
	});
	close(view);
	close(fd);
}

static void bad_descriptors(void)
{
	int fd = region(GRANULE), path = reopen(fd, O_PATH), null = open("/dev/null", O_RDWR), file = memfd(PAGE), ends[2];
	struct mshare_stat st;
	if (pipe(ends))
		return;
	expect(path >= 0, "an O_PATH descriptor");
	int bad[] = { -1, 9999, path }, no_region[] = { null, file, ends[0] };
	for (unsigned i = 0; i < 3; i++) {
		expect_error(map_anon(bad[i], 0, PAGE, RW), EBADF, "map by a bad descriptor");
		expect_error(mshare_unmap(bad[i], 0, PAGE), EBADF, "unmap");
		expect_error(mshare_protect(bad[i], 0, PAGE, PROT_READ), EBADF, "protect");
		expect_error(mshare_advise(bad[i], 0, PAGE, MADV_DONTNEED), EBADF, "advise");
		expect_error(mshare_stat(bad[i], &st, sizeof(st)), EBADF, "stat");
		expect_error(mshare_attach(bad[i], 0, 0, NULL, 0) == MAP_FAILED ? -1 : 0, EBADF, "attach");
		expect_error(map_anon(no_region[i], 0, PAGE, RW), EINVAL, "map by what is no region");
		expect_error(mshare_unmap(no_region[i], 0, PAGE), EINVAL, "unmap");
		expect_error(mshare_protect(no_region[i], 0, PAGE, PROT_READ), EINVAL, "protect");
		expect_error(mshare_advise(no_region[i], 0, PAGE, MADV_DONTNEED), EINVAL, "advise");
		expect_error(mshare_stat(no_region[i], &st, sizeof(st)), EINVAL, "stat");
		expect_error(mshare_attach(no_region[i], 0, 0, NULL, 0) == MAP_FAILED ? -1 : 0, EINVAL, "attach");
	}
}

static void size(void)
{
	struct stat st;
	int fd = mshare_create(0);
	expect_error(ftruncate(fd, 0), EINVAL, "ftruncate to 0");
	expect_error(ftruncate(fd, -1), EINVAL, "ftruncate to -1");
	expect_error(ftruncate(fd, (1L << 46) + 1), EFBIG, "ftruncate beyond 2^46");
	expect_error(ftruncate(fd, 1L << 62), EFBIG, "ftruncate to 2^62");
	expect_is(ftruncate(fd, 1), 0, "ftruncate to 1");
	fstat(fd, &st);
	expect_is(st.st_size, PAGE, "rounds up to a page");
	expect_is(ftruncate(fd, 3 * PAGE - 1), 0, "it may grow");
	fstat(fd, &st);
	expect_is(st.st_size, 3 * PAGE, "again rounded up");
	expect_is(stat_of(fd).size, 3 * PAGE, "stat says so too");
	expect_is(ftruncate(fd, 3 * PAGE), 0, "the same size again");
	expect_is(ftruncate(fd, PAGE), 0, "and shrink where nothing is");
	expect_is(ftruncate(fd, 1L << 46), 0, "and grow to 2^46");
	expect_error(ftruncate(fd, 0), EINVAL, "to 0 is EINVAL later too");
	close(fd);

	fd = mshare_create(0);
	expect_error(fallocate(fd, 0, PAGE, PAGE), EINVAL, "fallocate with an offset");
	expect_error(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PAGE), EOPNOTSUPP, "fallocate with a mode");
	expect_error(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), EOPNOTSUPP, "punching a hole");
	expect_error(fallocate(fd, 0, 0, 0), EINVAL, "fallocate of 0");
	expect_error(fallocate(fd, 0, 0, (1L << 46) + 1), EFBIG, "fallocate beyond 2^46");
	expect_is(fallocate(fd, 0, 0, 5 * GRANULE), 0, "fallocate sets the size");
	expect_is(fallocate(fd, 0, 0, GRANULE), 0, "below the present size: 0");
	expect_is(stat_of(fd).size, 5 * GRANULE, "and unchanged");

	expect_is(map_anon(fd, GRANULE, PAGE, RW), GRANULE, "an object at 2 MiB");
	expect_error(ftruncate(fd, GRANULE), EBUSY, "shrinking below an object");
	expect_is(ftruncate(fd, GRANULE + PAGE), 0, "shrinking to its end");
	expect_is(ftruncate(fd, 5 * GRANULE), 0, "growing again");
	char *window = mshare_attach(fd, 0, 4 * GRANULE, NULL, 0);
	expect(window != MAP_FAILED, "a window of 8 MiB");
	expect_error(ftruncate(fd, 3 * GRANULE), EBUSY, "shrinking below a window");
	expect_is(ftruncate(fd, 4 * GRANULE), 0, "shrinking to its end");
	expect_is(mshare_detach(window), 0, "detached");
	expect_is(ftruncate(fd, 3 * GRANULE), 0, "now it may shrink");
	expect_is(mshare_unmap(fd, GRANULE, PAGE), 0, "the object unmapped");
	expect_is(ftruncate(fd, PAGE), 0, "now further");
	close(fd);
}

static void as_a_file(void)
{
	char byte[8] = "";
	struct iovec { void *base; size_t size; } iov = { byte, 1 };
	int fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	expect_error(read(fd, byte, 1), EINVAL, "read");
	expect_error(write(fd, byte, 1), EINVAL, "write");
	expect_error(pread(fd, byte, 1, 0), EINVAL, "pread");
	expect_error(pwrite(fd, byte, 1, 0), EINVAL, "pwrite");
	expect_error(syscall(SYS_readv, fd, &iov, 1), EINVAL, "readv");
	expect_error(fsync(fd), EINVAL, "fsync");
	expect_error(fdatasync(fd), EINVAL, "fdatasync");
	expect_error(lseek(fd, 0, SEEK_SET), ESPIPE, "lseek");
	expect_error(lseek(fd, 0, SEEK_END), ESPIPE, "lseek to the end");
	expect_error(mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, fd, 0), ENODEV, "mmap shared");
	expect_error(mmap(NULL, GRANULE, PROT_READ, MAP_PRIVATE, fd, 0), ENODEV, "mmap private");
	close(fd);
}

int main(void)
{
	descriptor();
	rights();
	bad_descriptors();
	size();
	as_a_file();
	return failures != 0;
}
