/* abi-msharefs-mapping.c: a window that mmap(2) of an msharefs file attached is a mapping of that file: calls on it and its line in maps are as REFERENCE.md saw them with
 * the v3 series, where ABI.md has no better. And what fails leaves everything as it was. */
#include "msharefs.h"
#include <sys/resource.h>
#include <sys/sysmacros.h>

#define AT ((char *)(4 * ALIGN))
#define NAME DIR "/mapping"

static int fd;

/* The line of maps for AT has this file's numbers; the path, to the line's end. */
static const char *path_in_maps(void)
{
	static char line[400];
	char start[20];
	struct stat st;
	unsigned major, minor;
	unsigned long inode;
	FILE *maps = fopen("/proc/self/maps", "r");
	snprintf(start, sizeof(start), "%lx-", (unsigned long)AT);
	while (fgets(line, sizeof(line), maps) && strncmp(line, start, strlen(start)))
		;
	fclose(maps);
	line[strcspn(line, "\n")] = 0;
	fstat(fd, &st);
	expect_is(sscanf(line, "%*s rw-s 00000000 %x:%x %lu", &major, &minor, &inode), 3, "a line in maps");
	expect(makedev(major, minor) == st.st_dev && inode == st.st_ino, "the file's device and inode");
	return strchr(line, '/');
}

static void in_maps(void)
{
	expect_text(path_in_maps(), NAME, "the file's path");
	rename(NAME, DIR "/renamed");
	expect_text(path_in_maps(), DIR "/renamed", "its new one");
	link(DIR "/renamed", NAME);
	unlink(DIR "/renamed");
	expect_text(path_in_maps(), DIR "/renamed (deleted)", "the one it was opened by is gone");
	struct mshare_stat st = stat_of(fd);
	expect_is(st.windows, 1, "windows");
}

static void advice(void)
{
	static const struct {
		int advice, part, whole;
		const char *name;
	} table[] = {
		{ MADV_NORMAL, 0, 0, "NORMAL" },
		{ MADV_RANDOM, EINVAL, 0, "RANDOM" },
		{ MADV_SEQUENTIAL, EINVAL, 0, "SEQUENTIAL" },
		{ MADV_WILLNEED, 0, 0, "WILLNEED" },
		{ MADV_DONTNEED, 0, 0, "DONTNEED" },
		{ 24 /* MADV_DONTNEED_LOCKED */, 0, 0, "DONTNEED_LOCKED" },
		{ MADV_FREE, EINVAL, EINVAL, "FREE" },
		{ MADV_REMOVE, EOPNOTSUPP, EOPNOTSUPP, "REMOVE" },
		{ MADV_DOFORK, 0, 0, "DOFORK" },
		{ MADV_DONTFORK, EINVAL, 0, "DONTFORK" },
		{ MADV_DOFORK, EINVAL, 0, "DOFORK after DONTFORK" },
		{ MADV_MERGEABLE, 0, 0, "MERGEABLE" },
		{ MADV_UNMERGEABLE, 0, 0, "UNMERGEABLE" },
		{ MADV_HUGEPAGE, EINVAL, 0, "HUGEPAGE" },
		{ MADV_NOHUGEPAGE, EINVAL, 0, "NOHUGEPAGE" },
		{ MADV_DONTDUMP, EINVAL, 0, "DONTDUMP" },
		{ MADV_DODUMP, EINVAL, 0, "DODUMP" },
		{ MADV_WIPEONFORK, EINVAL, EINVAL, "WIPEONFORK" },
		{ MADV_KEEPONFORK, 0, 0, "KEEPONFORK" },
		{ MADV_COLD, 0, 0, "COLD" },
		{ MADV_PAGEOUT, 0, 0, "PAGEOUT" },
		{ 25 /* MADV_COLLAPSE */, EINVAL, EINVAL, "COLLAPSE" },
		{ 99, EINVAL, EINVAL, "no such advice" },
	};
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
		char text[60];
		int part = madvise(AT, 64 * KIB, table[i].advice) ? errno : 0;
		int whole = madvise(AT, ALIGN, table[i].advice) ? errno : 0;
		snprintf(text, sizeof(text), "MADV_%s on a part", table[i].name);
		expect_text(error_name(part), error_name(table[i].part), text);
		snprintf(text, sizeof(text), "MADV_%s on all of it", table[i].name);
		expect_text(error_name(whole), error_name(table[i].whole), text);
	}
	expect_is(AT[0], 7, "the region's pages are as they were");
}

static void moving(void)
{
	expect(mremap(AT, ALIGN, ALIGN, 0) == AT, "mremap to the same size");
	expect(mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE) == AT, "of a page of it");
	expect_error(mremap(AT, ALIGN, ALIGN / 2, 0), EINVAL, "mremap that shrinks");
	expect_error(mremap(AT, ALIGN, 2 * ALIGN, 0), EFAULT, "that grows");
	expect_error(mremap(AT, ALIGN, 2 * ALIGN, MREMAP_MAYMOVE), EFAULT, "that grows somewhere else");
	expect_error(mremap(AT, 0, ALIGN, MREMAP_MAYMOVE), EFAULT, "that makes a second one");
	expect_error(mremap(AT, ALIGN, ALIGN, MREMAP_MAYMOVE | MREMAP_FIXED, AT + 2 * ALIGN), EINVAL, "that moves");
	expect_text(try_read(AT + 2 * ALIGN), "SEGV_MAPERR", "nothing is there then");
	expect_is(AT[0], 7, "and all is where it was");
}

static void holes(void)
{
	expect_error(msync(AT, ALIGN, MS_SYNC), EINVAL, "msync of objects and holes");
	expect_is(msync(AT, ALIGN, MS_ASYNC), 0, "MS_ASYNC of them");
	expect_is(msync(AT, PAGE, MS_SYNC), 0, "msync where an object is");
	expect_is(munlock(AT, ALIGN), 0, "munlock of objects and holes");
	expect_error(mlock(AT, ALIGN), ENOMEM, "mlock of them");
	expect_is(mlock(AT + 128 * KIB, PAGE), 0, "mlock of a page that nobody has touched");
	expect_is(munlock(AT, ALIGN), 0, "munlock");
}

/* MAP_FIXED takes what is there away only if the window comes. */
static void failing(void)
{
	char *there = mmap(AT + 4 * ALIGN, PAGE, RW, ANON_FIXED, -1, 0);
	int view = open(NAME, O_RDONLY);
	*there = 5;
	expect_error(mmap(there, ALIGN, RW, MAP_SHARED | MAP_FIXED, view, 0), EACCES, "MAP_FIXED for writing by a read-only descriptor");
	expect_error(mmap(there, ALIGN, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0), EINVAL, "MAP_FIXED with PROT_NONE");
	expect_is(*there, 5, "what was there stays");
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit limit = { ALIGN + 64 * MIB, ALIGN + 64 * MIB };
		setrlimit(RLIMIT_AS, &limit);
		int bad = mmap(there, ALIGN, RW, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED || errno != ENOMEM || *there != 5;
		_exit(bad | (mmap(AT, ALIGN, RW, MAP_SHARED | MAP_FIXED, fd, 0) != AT) << 1);
	}
	expect_is(ended(pid), 0, "RLIMIT_AS forbids it there, but not where it replaces one of its size");
	close(view);
	munmap(there, PAGE);
}

static void locking(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_MEMLOCK, &none);
		if (setuid(1000))
			_exit(2);
		_exit(create_at(fd, 8 * MIB, PAGE, RW, ANON_FIXED | MAP_LOCKED, -1, 0) != -1 || errno != EPERM);
	}
	expect_is(ended(pid), 0, "MAP_LOCKED by who may lock nothing: EPERM");
}

/* What keeps a mount in use is what was opened through it, as with any file system. */
static void mounts(void)
{
	mkdir("/tmp/bound", 0755);
	mkdir("/tmp/files", 0755);
	expect_is(mount(DIR, "/tmp/bound", NULL, MS_BIND, NULL), 0, "mounted in a second place");
	expect_is(umount("/tmp/bound"), 0, "which the window does not use");
	mount(DIR, "/tmp/bound", NULL, MS_BIND, NULL);
	int other = open("/tmp/bound/mapping", O_RDWR);
	char *window = mmap(NULL, ALIGN, RW, MAP_SHARED, other, 0);
	close(other);
	expect_error(umount("/tmp/bound"), EBUSY, "this one does");
	munmap(window, ALIGN);
	expect_is(umount("/tmp/bound"), 0, "until it is unmapped");
	expect_error(umount(DIR), EBUSY, "the first place is in use");
	expect_error(mount(NULL, DIR, NULL, MS_REMOUNT, "size=1"), EINVAL, "remounting with an option");
	expect_is(mount(NULL, DIR, NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL), 0, "remounting noexec");
	expect_error(mmap(NULL, ALIGN, RW | PROT_EXEC, MAP_SHARED, fd, 0), EPERM, "PROT_EXEC then");
	expect_is(mount(NULL, DIR, NULL, MS_REMOUNT | MS_BIND, NULL), 0, "and back");

	mount("tmpfs", "/tmp/files", "tmpfs", 0, NULL);
	int file = open("/tmp/files/object", O_CREAT | O_RDWR, 0600);
	expect_is(ftruncate(file, PAGE), 0, "a file");
	create_at(fd, 16 * MIB, PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0);
	close(file);
	expect_error(umount("/tmp/files"), EBUSY, "a region keeps the mounts of its objects");
	unmap_at(fd, 16 * MIB, PAGE);
	expect_is(umount("/tmp/files"), 0, "until they are unmapped");
}

int main(void)
{
	catch_faults();
	mount("msharefs", DIR, "msharefs", 0, NULL);
	fd = sized(NAME, ALIGN);
	create_at(fd, 0, 256 * KIB, RW, ANON_FIXED, -1, 0);
	if (mmap(AT, ALIGN, RW, MAP_SHARED | MAP_FIXED, fd, 0) != AT)
		return 1;
	memset(AT, 7, 64 * KIB);
	in_maps();
	advice();
	moving();
	holes();
	failing();
	locking();
	mounts();
	return failures != 0;
}
