/* abi-msharefs.c: the v3 file interface, as REFERENCE.md saw it on a real kernel with the series, with the differences that ABI.md lists at its end. */
#include "msharefs.h"
#include <sys/statfs.h>
#include <sys/xattr.h>

static void mounting(void)
{
	struct stat st;
	struct statfs fs;
	char text[64] = "";
	expect_error(mount("msharefs", DIR, "msharefs", 0, "size=1"), EINVAL, "mount with an option");
	expect_is(mount("msharefs", DIR, "msharefs", 0, NULL), 0, "mount");
	stat(DIR, &st);
	expect_is(st.st_mode, S_IFDIR | 0777, "the root is 0777");
	expect_is(st.st_size, 0, "names do not count for its size");
	statfs(DIR, &fs);
	expect_is(fs.f_type, 0x4d534852, "f_type");
	expect_is(fs.f_bsize, 4096, "f_bsize");
	int info = open(DIR "/mshare_info", O_RDONLY);
	expect_is(read(info, text, sizeof(text)), 13, "mshare_info has 13 bytes");
	expect_text(text, "549755813888\n", "the granule");
	expect_is(read(info, text, sizeof(text)), 0, "and then ends");
	expect_is(pread(info, text, 3, 1), 3, "pread of it");
	stat(DIR "/mshare_info", &st);
	expect_is(st.st_mode, S_IFREG | 0444, "mshare_info is 0444");
	expect_error(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, info, 0), ENODEV, "mmap of mshare_info");
	expect_error(ioctl(info, UNMAP, NULL), ENOTTY, "ioctl on mshare_info");
	expect_error(unlink(DIR "/mshare_info"), EPERM, "unlink of mshare_info");
	expect_error(rename(DIR "/mshare_info", DIR "/x"), EPERM, "rename of mshare_info");
	close(info);
	mkdir("/tmp/second", 0777);
	expect_is(mount("msharefs", "/tmp/second", "msharefs", 0, NULL), 0, "a second mount");
	close(open(DIR "/only-here", O_CREAT | O_RDWR, 0600));
	expect_error(open("/tmp/second/only-here", O_RDWR), ENOENT, "is a name space of its own");
	expect_is(umount("/tmp/second"), 0, "umount");
	unlink(DIR "/only-here");
}

static void names(void)
{
	struct stat st;
	int fd = open(DIR "/a", O_CREAT | O_RDWR | O_EXCL, 0640);
	fstat(fd, &st);
	expect_is(st.st_mode, S_IFREG | 0640, "a new file's mode");
	expect_is(st.st_size, 0, "its size");
	expect_error(open(DIR "/a", O_CREAT | O_RDWR | O_EXCL, 0640), EEXIST, "O_EXCL");
	expect_error(rename(DIR "/a", DIR "/mshare_info"), EPERM, "rename over mshare_info");
	expect_is(rename(DIR "/a", DIR "/b"), 0, "rename");
	expect_is(link(DIR "/b", DIR "/c"), 0, "link");
	expect_is(unlink(DIR "/c"), 0, "unlink");
	expect_is(mkdir(DIR "/d", 0755), 0, "mkdir");
	close(open(DIR "/d/x", O_CREAT | O_RDWR, 0600));
	expect_error(rmdir(DIR "/d"), ENOTEMPTY, "rmdir of a directory with a file");
	unlink(DIR "/d/x");
	expect_is(rmdir(DIR "/d"), 0, "rmdir");
	expect_error(symlink("b", DIR "/s"), EPERM, "symlink");
	expect_error(mkfifo(DIR "/f", 0600), EPERM, "mkfifo");
	expect_is(mknod(DIR "/r", S_IFREG | 0600, 0), 0, "mknod of a regular file");
	unlink(DIR "/r");
	expect_error(open(DIR, O_TMPFILE | O_RDWR, 0600), EOPNOTSUPP, "O_TMPFILE");
	chmod(DIR "/b", 0777);
	expect_error(execl(DIR "/b", "b", NULL), EACCES, "exec");
	expect_error(read(fd, &st, 1), EINVAL, "read");
	expect_error(write(fd, &st, 1), EINVAL, "write");
	expect_error(pread(fd, &st, 1, 0), EINVAL, "pread");
	expect_error(lseek(fd, 0, SEEK_SET), ESPIPE, "lseek");
	expect_error(fsync(fd), EINVAL, "fsync");
	expect_error(setxattr(DIR "/b", "user.x", "1", 1, 0), EOPNOTSUPP, "an extended attribute");
	expect_error(fgetxattr(fd, "trusted.x", &st, 1), EOPNOTSUPP, "a trusted one");
	expect_error(setxattr(DIR, "user.x", "1", 1, 0), EOPNOTSUPP, "one of a directory");
	expect_is(flistxattr(fd, NULL, 0), 0, "there are none");
	close(fd);
	unlink(DIR "/b");
}

static void size(void)
{
	int fd = open(DIR "/size", O_CREAT | O_RDWR, 0600);
	struct stat st;
	expect_error(create_at(fd, 0, PAGE, RW, ANON_FIXED, -1, 0), EINVAL, "mapping before the size is set");
	expect_error(ioctl(fd, 0x5401, 0), EINVAL, "any ioctl before the size is set");
	expect_error(window_of(fd, ALIGN, RW), EINVAL, "mmap before the size is set");
	uint64_t wrong[] = { 1, PAGE, ALIGN / 2, ALIGN - 1, ALIGN + 1, ALIGN + PAGE };
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		expect_error(ftruncate(fd, (off_t)wrong[i]), EINVAL, "ftruncate off the granule");
	expect_error(ftruncate(fd, -1), EINVAL, "ftruncate to -1");
	expect_error(ftruncate(fd, INT64_MAX), EINVAL, "ftruncate to 2^63 - 1, which is off the granule too");
	expect_error(ftruncate(fd, 0), EINVAL, "ftruncate to 0");
	expect_error(ftruncate(fd, 1L << 47), EFBIG, "ftruncate beyond 2^46");
	expect_error(fallocate(fd, 0, ALIGN, ALIGN), EINVAL, "fallocate with an offset");
	expect_error(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, ALIGN), EOPNOTSUPP, "fallocate with a mode");
	int view = open(DIR "/size", O_RDONLY);
	expect_error(ftruncate(view, ALIGN), EINVAL, "ftruncate of a read-only descriptor");
	expect_error(fallocate(view, 0, 0, ALIGN), EBADF, "fallocate of a read-only descriptor");
	close(view);
	expect_error(open(DIR "/size", O_RDWR | O_TRUNC), EINVAL, "O_TRUNC uses nothing up");
	expect_is(fallocate(fd, 0, 0, ALIGN), 0, "fallocate sets the size");
	fstat(fd, &st);
	expect_is(st.st_size, ALIGN, "which fstat shows");
	expect_error(ftruncate(fd, ALIGN), EINVAL, "a second time, the same size");
	expect_error(truncate(DIR "/size", 2 * ALIGN), EINVAL, "truncate to another");
	expect_error(open(DIR "/size", O_RDWR | O_TRUNC), EINVAL, "O_TRUNC");
	expect_error(ioctl(fd, 0x5401, 0), ENOTTY, "another ioctl now");
	close(fd);
	unlink(DIR "/size");
}

static void objects(void)
{
	int fd = sized(DIR "/objects", ALIGN), object = memfd(64 * KIB), ends[2], view = open(DIR "/objects", O_RDONLY);
	if (pipe(ends))
		return;
	expect_is(sizeof(struct mshare_create_args), 40, "the structure has 40 bytes");
	expect_is(CREATE_MAPPING, 0x40287800, "the ioctl's number");
	expect_is(UNMAP, 0x40107801, "and the other one's");
	expect_error(ioctl(fd, CREATE_MAPPING, NULL), EFAULT, "a bad pointer");
	expect_is(create_at(fd, 0, PAGE, RW, ANON_FIXED, -1, 0), 0, "anonymous memory");
	expect_is(create_at(fd, 0, PAGE, RW, ANON_FIXED, -1, 0), 0, "again: replaced");
	expect_error(create_at(fd, 0, PAGE, RW, ANON_FIXED | MAP_FIXED_NOREPLACE, -1, 0), EEXIST, "MAP_FIXED_NOREPLACE over it");
	expect_is(create_at(fd, MIB, PAGE, RW, ANON_FIXED | MAP_FIXED_NOREPLACE, -1, 0), 0, "and where nothing is");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), EINVAL, "without MAP_FIXED");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "without MAP_SHARED");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "MAP_PRIVATE");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "MAP_SHARED_VALIDATE");
	expect_error(create_at(fd, 0, PAGE, RW, ANON_FIXED | MAP_GROWSDOWN, -1, 0), EINVAL, "MAP_GROWSDOWN");
	expect_error(create_at(fd, 0, PAGE, RW, ANON_FIXED | 0x40000000, -1, 0), EINVAL, "flags that do not exist");
	expect_error(create_at(fd, 0, PAGE, 0x100, ANON_FIXED, -1, 0), EINVAL, "protection that does not exist");
	expect_error(create_at(fd, 0, 0, RW, ANON_FIXED, -1, 0), EINVAL, "size 0");
	expect_is(create_at(fd, 0, 100, RW, ANON_FIXED, -1, 0), 0, "an odd size is rounded up");
	expect_error(create_at(fd, 100, PAGE, RW, ANON_FIXED, -1, 0), EINVAL, "an odd offset");
	expect_error(create_at(fd, ALIGN, PAGE, RW, ANON_FIXED, -1, 0), EINVAL, "at the end");
	expect_is(create_at(fd, ALIGN - PAGE, PAGE, RW, ANON_FIXED, -1, 0), 0, "up to the end");
	expect_error(create_at(fd, ALIGN - PAGE, 2 * PAGE, RW, ANON_FIXED, -1, 0), EINVAL, "past the end");
	expect_error(create_at(fd, 0, ALIGN, RW, ANON_FIXED, -1, 0), ENOMEM, "512 GiB");
	expect_is(create_at(fd, 0, ALIGN, RW, ANON_FIXED | MAP_NORESERVE, -1, 0), 0, "512 GiB with MAP_NORESERVE");
	expect_error(create_at(fd, 0, -PAGE, RW, ANON_FIXED, -1, 0), ENOMEM, "a size that wraps");
	expect_is(create_at(fd, 0, PAGE, RW, ANON_FIXED | MAP_POPULATE | MAP_LOCKED, 7, 4096), 0, "hints, and what anonymous memory does not need");
	expect_is(create_at(fd, 0, 64 * KIB, RW, MAP_SHARED | MAP_FIXED, object, 0), 0, "a memfd");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_FIXED, object, 100), EINVAL, "at an odd file offset");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_FIXED, object, 1UL << 63), EOVERFLOW, "at file offset 2^63");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_FIXED, -1, 0), EBADF, "no descriptor");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0), EINVAL, "the region itself");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_FIXED, ends[0], 0), ENODEV, "a pipe");
	expect_error(create_at(fd, 0, PAGE, RW, MAP_SHARED | MAP_FIXED | MAP_HUGETLB, object, 0), EINVAL, "MAP_HUGETLB with a memfd");
	expect_error(create_at(view, 0, PAGE, RW, ANON_FIXED, -1, 0), EBADF, "through a read-only descriptor");
	expect_error(unmap_at(view, 0, PAGE), EBADF, "unmapping through one");
	expect_error(unmap_at(fd, 0, 0), EINVAL, "unmapping size 0");
	expect_error(unmap_at(fd, 100, PAGE), EINVAL, "at an odd offset");
	expect_error(unmap_at(fd, ALIGN - PAGE, 2 * PAGE), EINVAL, "past the end");
	expect_is(unmap_at(fd, 0, 1), 0, "an odd size is rounded up");
	expect_is(unmap_at(fd, 0, PAGE), 0, "a hole");
	expect_is(unmap_at(fd, 0, ALIGN), 0, "the whole region");
	close(view);
	close(fd);
	unlink(DIR "/objects");
}

static void windows(void)
{
	int fd = sized(DIR "/windows", ALIGN), view = open(DIR "/windows", O_RDONLY);
	create_at(fd, 0, MIB, RW, ANON_FIXED, -1, 0);
	char *window = window_of(fd, ALIGN, RW);
	expect((uintptr_t)window % ALIGN == 0, "a window lies on the granule");
	expect_text(try_write(window), "ok", "writing");
	expect_text(try_read(window + MIB), "SEGV_MAPERR", "beyond the object");
	expect_error(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EINVAL, "mmap of another size");
	expect_error(mmap(NULL, ALIGN - PAGE, RW, MAP_SHARED, fd, 0), EINVAL, "of a page less");
	expect_error(mmap(NULL, ALIGN, RW, MAP_PRIVATE, fd, 0), EINVAL, "MAP_PRIVATE");
	expect_error(mmap(NULL, ALIGN, RW, MAP_SHARED, fd, ALIGN), EINVAL, "with a file offset");
	expect_error(mmap((void *)(4 * ALIGN + GIB), ALIGN, RW, MAP_SHARED | MAP_FIXED, fd, 0), EINVAL, "MAP_FIXED off the granule");
	expect_error(mmap(NULL, ALIGN, RW, MAP_SHARED | MAP_HUGETLB, fd, 0), EINVAL, "MAP_HUGETLB");
	expect_error(mmap(NULL, ALIGN, PROT_NONE, MAP_SHARED, fd, 0), EINVAL, "PROT_NONE");
	expect_error(mmap(NULL, ALIGN, RW, MAP_SHARED, view, 0), EACCES, "for writing by a read-only descriptor");
	char *hinted = mmap((void *)(4 * ALIGN + PAGE), ALIGN, RW, MAP_SHARED, fd, 0);
	expect(hinted == (char *)(5 * ALIGN), "a hint is rounded up");
	hinted[1] = 42;
	expect_is(window[1], 42, "two windows show the same");
	char *read_only = mmap((void *)(8 * ALIGN), ALIGN, PROT_READ, MAP_SHARED | MAP_FIXED, view, 0);
	expect(read_only == (char *)(8 * ALIGN), "a read-only window by a read-only descriptor");
	expect_is(read_only[1], 42, "it shows the same");
	expect_text(try_write(read_only), "SEGV_ACCERR", "and cannot be written");
	expect_error(mmap(hinted, ALIGN, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0), EEXIST, "MAP_FIXED_NOREPLACE over a window");
	expect(mmap(hinted, ALIGN, RW, MAP_SHARED | MAP_FIXED, fd, 0) == hinted, "MAP_FIXED over a window");
	expect_error(mmap(hinted + MIB, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL, "MAP_FIXED inside one");
	expect_error(mprotect(hinted, PAGE, PROT_READ), EINVAL, "mprotect in one");
	expect_error(munmap(hinted, ALIGN / 2), EINVAL, "munmap of a half");
	expect_error(mremap(hinted, ALIGN, ALIGN, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(20 * ALIGN)), EINVAL, "mremap that moves");
	expect_is(munmap(hinted, ALIGN), 0, "munmap of the whole");
	expect_error(umount(DIR), EBUSY, "umount while it is used");
	close(fd);
	close(view);
	expect_error(umount(DIR), EBUSY, "umount while a window is there");
	expect_is(unlink(DIR "/windows"), 0, "unlink while a window is there");
	expect_is(window[1], 42, "which still works");
	munmap(window, ALIGN);
	munmap(read_only, ALIGN);
}

static void owner(void)
{
	int ready[2], go[2];
	char byte = 0;
	if (pipe(ready) || pipe(go))
		return;
	pid_t pid = fork();
	if (pid == 0) {
		int fd = sized(DIR "/owned", ALIGN);
		create_at(fd, 0, MIB, RW, ANON_FIXED, -1, 0);
		char *window = window_of(fd, ALIGN, RW);
		strcpy(window, "shared");
		munmap(window, ALIGN);
		close(fd);
		_exit(write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1);
	}
	if (read(ready[0], &byte, 1) != 1)
		return;
	int fd = open(DIR "/owned", O_RDWR);
	char *window = window_of(fd, ALIGN, RW);
	expect_text(window, "shared", "a named region lives though its owner has neither descriptor nor window");
	expect_is(create_at(fd, 2 * MIB, PAGE, RW, ANON_FIXED, -1, 0), 0, "who is not the owner may map");
	if (write(go[1], &byte, 1) != 1)
		return;
	ended(pid);
	expect_text(try_read(window), "SEGV_MAPERR", "the owner has exited: the region is empty");
	expect_error(create_at(fd, 0, PAGE, RW, ANON_FIXED, -1, 0), ENXIO, "nothing can be mapped");
	expect_error(unmap_at(fd, 0, PAGE), ENXIO, "nor unmapped");
	expect_error(window_of(fd, ALIGN, RW), EINVAL, "nor attached");
	close(fd);
	fd = open(DIR "/owned", O_RDWR);
	expect(fd >= 0, "it can still be opened");
	close(fd);
	munmap(window, ALIGN);
	expect_is(unlink(DIR "/owned"), 0, "and unlinked");
	expect_is(umount(DIR), 0, "umount when nothing uses it");
}

int main(void)
{
	catch_faults();
	mounting();
	names();
	size();
	objects();
	windows();
	owner();
	return failures != 0;
}
