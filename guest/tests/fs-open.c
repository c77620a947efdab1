/* open(2), names and directories on tmpfs: what Linux answers, to the errno. */
#include "check.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static int open_how(int dir, const char *path, unsigned long flags, unsigned long mode, unsigned long resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
	return syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int opened(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : -1;
}

static void make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		perror(path);
	close(fd);
}

static void flags(void)
{
	show("creat", opened(open("a", O_CREAT | O_WRONLY, 0666)));
	show("excl", opened(open("a", O_CREAT | O_EXCL | O_WRONLY, 0666)));
	show("missing", opened(open("none", O_RDONLY)));
	show("empty path", opened(open("", O_RDONLY)));
	show("null path", opened(syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY, 0)));
	show("creat in missing directory", opened(open("none/x", O_CREAT | O_WRONLY, 0666)));
	show("file as directory", opened(open("a/x", O_RDONLY)));
	show("file with slash", opened(open("a/", O_RDONLY)));
	show("creat with slash", opened(open("b/", O_CREAT | O_WRONLY, 0666)));
	show("O_DIRECTORY on a file", opened(open("a", O_RDONLY | O_DIRECTORY)));
	show("O_DIRECTORY O_CREAT", opened(open("newdir", O_RDONLY | O_DIRECTORY | O_CREAT, 0777)));
	show("directory for writing", opened(open(".", O_WRONLY)));
	show("directory O_CREAT", opened(open(".", O_RDONLY | O_CREAT, 0666)));
	show("directory O_TRUNC", opened(open(".", O_RDONLY | O_TRUNC)));
	int fd = open("a", O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_TRUNC | O_CREAT, 0666);
	printf("F_GETFL %o F_GETFD %d\n", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	close(fd);
	fd = open("a", O_PATH);
	printf("O_PATH F_GETFL %o\n", fcntl(fd, F_GETFL));
	char byte;
	show("read of O_PATH", read(fd, &byte, 1));
	show("fchmod of O_PATH", fchmod(fd, 0600));
	struct stat st;
	show("fstat of O_PATH", fstat(fd, &st));
	show("ioctl of O_PATH", syscall(SYS_ioctl, fd, 0x5401, &byte));
	show("lseek of O_PATH", lseek(fd, 0, SEEK_SET));
	close(fd);
	fd = open("a", O_WRONLY);
	show("read of O_WRONLY", read(fd, &byte, 1));
	close(fd);
	fd = open("a", O_RDONLY);
	show("write of O_RDONLY", write(fd, "x", 1));
	show("ftruncate of O_RDONLY", ftruncate(fd, 0));
	close(fd);
	show("access mode 3", opened(open("a", 3)));
	show("close of a closed one", close(fd));
	show("close of -1", close(-1));
}

static void links(void)
{
	make("file", "contents");
	show("symlink", symlink("file", "sl"));
	show("symlink again", symlink("file", "sl"));
	show("empty target", symlink("", "sl2"));
	show("dangling", symlink("nowhere", "dangle"));
	show("open of a link", opened(open("sl", O_RDONLY)));
	show("O_NOFOLLOW", opened(open("sl", O_RDONLY | O_NOFOLLOW)));
	show("O_NOFOLLOW O_DIRECTORY", opened(open("sl", O_RDONLY | O_NOFOLLOW | O_DIRECTORY)));
	show("O_NOFOLLOW O_PATH", opened(open("sl", O_PATH | O_NOFOLLOW)));
	show("O_EXCL over a dangling link", opened(open("dangle", O_CREAT | O_EXCL | O_WRONLY, 0666)));
	show("O_CREAT through a dangling link", opened(open("dangle", O_CREAT | O_WRONLY, 0666)));
	struct stat st;
	show("made there", stat("nowhere", &st));
	symlink("loop2", "loop1");
	symlink("loop1", "loop2");
	show("loop", opened(open("loop1", O_RDONLY)));
	show("lstat of a loop", lstat("loop1", &st));
	printf("link size %ld mode %o\n", (long)st.st_size, st.st_mode);
	char buf[64];
	show("readlink", readlink("sl", buf, sizeof(buf)));
	show("readlink short", readlink("sl", buf, 2));
	show("readlink of a file", readlink("file", buf, sizeof(buf)));
	show("readlink size 0", syscall(SYS_readlinkat, AT_FDCWD, "sl", buf, 0));
	show("link", link("file", "hard"));
	show("link exists", link("file", "hard"));
	show("link of a directory", link(".", "hard2"));
	stat("file", &st);
	printf("nlink %d\n", (int)st.st_nlink);
	show("link of a link", link("sl", "hard3"));
	lstat("hard3", &st);
	printf("it is a link: %d\n", S_ISLNK(st.st_mode));
	show("link following", linkat(AT_FDCWD, "sl", AT_FDCWD, "hard4", AT_SYMLINK_FOLLOW));
	lstat("hard4", &st);
	printf("it is a file: %d nlink %d\n", S_ISREG(st.st_mode), (int)st.st_nlink);
	show("trailing slash on a link to a file", opened(open("sl/", O_RDONLY)));
	char name[300];
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	show("name of 256", opened(open(name, O_CREAT | O_RDWR, 0600)));
	name[255] = 0;
	show("name of 255", opened(open(name, O_CREAT | O_RDWR, 0600)));
	show("unlink it", unlink(name));
	static char path[5000];
	memset(path, '/', sizeof(path) - 1);
	show("path of 4999", opened(open(path, O_RDONLY)));
	path[4095] = 0;
	show("path of 4095 slashes", opened(open(path, O_RDONLY)));
}

static void directories(void)
{
	struct stat st;
	show("mkdir", mkdir("d", 0755));
	show("mkdir again", mkdir("d", 0755));
	show("mkdir over a file", mkdir("file", 0755));
	show("mkdir slash", mkdir("d2/", 0755));
	show("mkdir dot", mkdir("d/.", 0755));
	show("mkdir dotdot", mkdir("d/..", 0755));
	show("mkdir root", mkdir("/", 0755));
	stat("d", &st);
	printf("nlink %d mode %o\n", (int)st.st_nlink, st.st_mode);
	make("d/one", "1");
	mkdir("d/sub", 0700);
	stat("d", &st);
	printf("nlink %d size %ld\n", (int)st.st_nlink, (long)st.st_size);
	show("rmdir not empty", rmdir("d"));
	show("rmdir of a file", rmdir("file"));
	show("rmdir dot", rmdir("d/sub/."));
	show("rmdir dotdot", rmdir("d/sub/.."));
	show("rmdir root", rmdir("/"));
	show("unlink of a directory", unlink("d"));
	show("unlink with slash", unlink("file/"));
	show("unlink missing", unlink("none"));
	show("unlinkat flags", unlinkat(AT_FDCWD, "file", 0x100));
	show("rename onto a full directory", rename("d2", "d"));
	show("rename directory onto a file", rename("d2", "file"));
	show("rename file onto a directory", rename("file", "d2"));
	show("rename into itself", rename("d", "d/sub/x"));
	show("rename missing", rename("none", "x"));
	show("rename to itself", rename("file", "file"));
	show("rename to a hard link of it", rename("file", "hard"));
	show("both still there", stat("file", &st));
	show("rename over", rename("nowhere", "hard4"));
	show("rename dot", rename("d/.", "e"));
	show("rename noreplace", renameat2(AT_FDCWD, "file", AT_FDCWD, "hard", RENAME_NOREPLACE));
	show("rename exchange", renameat2(AT_FDCWD, "file", AT_FDCWD, "d", RENAME_EXCHANGE));
	stat("file", &st);
	printf("exchanged: %d\n", S_ISDIR(st.st_mode));
	show("exchange back", renameat2(AT_FDCWD, "file", AT_FDCWD, "d", RENAME_EXCHANGE));
	show("exchange with nothing", renameat2(AT_FDCWD, "file", AT_FDCWD, "nothing", RENAME_EXCHANGE));
	show("rename flags", renameat2(AT_FDCWD, "file", AT_FDCWD, "hard", 99));
	show("rename directory onto an empty one", rename("d2", "d/sub"));
	show("cross file system", rename("file", "/dev/shm-none-or-other"));
	show("chdir to a file", chdir("file"));
	int dir = open("d", O_RDONLY | O_DIRECTORY);
	show("mkdirat", mkdirat(dir, "rel", 0755));
	show("openat under a file", opened(openat(dir, "one/x", O_RDONLY)));
	int file = open("file", O_RDONLY);
	show("openat with a file", opened(openat(file, "x", O_RDONLY)));
	show("openat absolute with a bad fd", opened(openat(-5, "/", O_RDONLY)));
	show("openat with a bad fd", opened(openat(-5, "x", O_RDONLY)));
	show("fchdir", fchdir(dir));
	show("removal of the working directory's entries", unlink("one"));
	rmdir("sub");
	rmdir("rel");
	chdir("..");
	show("fchdir", fchdir(dir));
	show("rmdir of the working directory", rmdir("../d"));
	char buf[100];
	show("getcwd there", syscall(SYS_getcwd, buf, sizeof(buf)));
	show("creat there", opened(open("x", O_CREAT | O_WRONLY, 0600)));
	show("dot there", opened(open(".", O_RDONLY)));
	show("dotdot there", stat("..", &st));
	DIR *d = fdopendir(dir);
	show("readdir there", readdir(d) ? 1 : 0);
	chdir("/tmp/fs-open");
	show("getcwd", syscall(SYS_getcwd, buf, sizeof(buf)));
	puts(buf);
	show("getcwd short", syscall(SYS_getcwd, buf, 5));
	close(file);
}

static void listing(void)
{
	mkdir("list", 0755);
	chdir("list");
	for (int i = 0; i < 10; i++) {
		char name[40];
		sprintf(name, "entry-%d", i);
		make(name, "");
	}
	unlink("entry-3");
	mkdir("sub", 0755);
	symlink("x", "link");
	mkfifo("fifo", 0600);
	DIR *d = opendir(".");
	struct dirent *e;
	while ((e = readdir(d)))
		printf("%s type %d\n", e->d_name, e->d_type);
	rewinddir(d);
	/* removing while reading neither skips nor repeats */
	int seen = 0;
	while ((e = readdir(d)))
		if (e->d_name[0] == 'e') {
			unlink(e->d_name);
			seen++;
		}
	printf("removed %d\n", seen);
	closedir(d);
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	char buf[1000];
	show("getdents short", syscall(SYS_getdents64, fd, buf, 20));
	show("getdents", syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	show("getdents at the end", syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	show("read of a directory", read(fd, buf, 1));
	close(fd);
	fd = open("../file", O_RDONLY);
	show("getdents of a file", syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	close(fd);
	chdir("..");
}

static void tmpfile_and_openat2(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);
	struct stat st;
	fstat(fd, &st);
	printf("tmpfile mode %o nlink %d F_GETFL %o\n", st.st_mode, (int)st.st_nlink, fcntl(fd, F_GETFL));
	write(fd, "temporary", 9);
	char path[40];
	sprintf(path, "/proc/self/fd/%d", fd);
	show("link of a tmpfile", linkat(AT_FDCWD, path, AT_FDCWD, "kept", AT_SYMLINK_FOLLOW));
	show("stat", stat("kept", &st));
	printf("size %ld nlink %d\n", (long)st.st_size, (int)st.st_nlink);
	close(fd);
	show("O_TMPFILE read-only", opened(open(".", O_TMPFILE | O_RDONLY, 0600)));
	show("O_TMPFILE in a file", opened(open("file", O_TMPFILE | O_RDWR, 0600)));
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	sprintf(path, "/proc/self/fd/%d", fd);
	show("O_EXCL tmpfile cannot be linked", linkat(AT_FDCWD, path, AT_FDCWD, "kept2", AT_SYMLINK_FOLLOW));
	close(fd);

	show("openat2", opened(open_how(AT_FDCWD, "file", O_RDONLY, 0, 0)));
	show("mode without O_CREAT", opened(open_how(AT_FDCWD, "file", O_RDONLY, 0600, 0)));
	show("unknown flag", opened(open_how(AT_FDCWD, "file", 1UL << 40, 0, 0)));
	show("unknown resolve", opened(open_how(AT_FDCWD, "file", O_RDONLY, 0, 0x100)));
	show("beneath and in_root", opened(open_how(AT_FDCWD, "file", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT)));
	show("no symlinks", opened(open_how(AT_FDCWD, "sl", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)));
	show("beneath dotdot", opened(open_how(AT_FDCWD, "../fs-open/file", O_RDONLY, 0, RESOLVE_BENEATH)));
	show("beneath inside", opened(open_how(AT_FDCWD, "list/../file", O_RDONLY, 0, RESOLVE_BENEATH)));
	show("beneath absolute", opened(open_how(AT_FDCWD, "/tmp", O_RDONLY, 0, RESOLVE_BENEATH)));
	show("in root", opened(open_how(AT_FDCWD, "/../../file", O_RDONLY, 0, RESOLVE_IN_ROOT)));
	show("no xdev", opened(open_how(AT_FDCWD, "/proc/version", O_RDONLY, 0, RESOLVE_NO_XDEV)));
	struct { struct open_how how; long more; } longer = { .how = { .flags = O_RDONLY } };
	show("longer struct", opened(syscall(SYS_openat2, AT_FDCWD, "file", &longer, sizeof(longer))));
	longer.more = 1;
	show("longer struct not zero", opened(syscall(SYS_openat2, AT_FDCWD, "file", &longer, sizeof(longer))));
	show("shorter struct", opened(syscall(SYS_openat2, AT_FDCWD, "file", &longer, 16)));
}

static void attributes(void)
{
	struct stat st;
	make("attr", "123456789");
	umask(027);
	int fd = open("umasked", O_CREAT | O_RDWR, 06777);
	fstat(fd, &st);
	printf("mode %o\n", st.st_mode);
	mkdir("umaskedd", 01777);
	stat("umaskedd", &st);
	printf("mode %o\n", st.st_mode);
	umask(022);
	show("chmod", chmod("attr", 0741));
	stat("attr", &st);
	printf("mode %o size %ld blocks %ld blksize %ld\n", st.st_mode, (long)st.st_size, (long)st.st_blocks, (long)st.st_blksize);
	show("chown", chown("attr", 12, 34));
	stat("attr", &st);
	printf("uid %d gid %d\n", st.st_uid, st.st_gid);
	show("lchown", lchown("sl", 5, -1));
	lstat("sl", &st);
	printf("uid %d gid %d\n", st.st_uid, st.st_gid);
	chmod("attr", 06755);
	chown("attr", 1, 1);
	stat("attr", &st);
	printf("after chown mode %o\n", st.st_mode);
	struct timespec times[2] = { { 1000000, 5 }, { 2000000, 999999999 } };
	show("utimensat", utimensat(AT_FDCWD, "attr", times, 0));
	stat("attr", &st);
	printf("atime %ld.%09ld mtime %ld.%09ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_sec = 7;
	show("omit", utimensat(AT_FDCWD, "attr", times, 0));
	stat("attr", &st);
	printf("atime %ld mtime %ld\n", st.st_atim.tv_sec, st.st_mtim.tv_sec);
	times[0].tv_nsec = 1000000000;
	show("nsec too large", utimensat(AT_FDCWD, "attr", times, 0));
	show("utimensat bad flags", utimensat(AT_FDCWD, "attr", NULL, 0x400));
	show("truncate", truncate("attr", 5));
	show("truncate negative", truncate("attr", -1));
	show("truncate directory", truncate("list", 0));
	show("truncate longer", truncate("attr", 100000));
	stat("attr", &st);
	printf("size %ld blocks %ld\n", (long)st.st_size, (long)st.st_blocks);
	show("access", access("attr", R_OK | W_OK));
	show("access missing", access("none", F_OK));
	show("access bad mode", access("attr", 8));
	struct statx stx;
	show("statx", statx(AT_FDCWD, "attr", 0, STATX_ALL, &stx));
	printf("mask %x size %ld mode %o nlink %u\n", stx.stx_mask & 0xfff, (long)stx.stx_size, stx.stx_mode, stx.stx_nlink);
	show("statx bad mask", statx(AT_FDCWD, "attr", 0, 0x80000000, &stx));
	show("statx bad flags", statx(AT_FDCWD, "attr", 0x8000, STATX_ALL, &stx));
	show("statx by descriptor", statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &stx));
	show("fstatat by descriptor", fstatat(fd, "", &st, AT_EMPTY_PATH));
	show("fstatat empty", fstatat(fd, "", &st, 0));
	show("stat fault", syscall(SYS_newfstatat, AT_FDCWD, "attr", (void *)8, 0));
	show("stat path fault", syscall(SYS_newfstatat, AT_FDCWD, (void *)8, &st, 0));
	struct statfs sf;
	show("statfs", statfs(".", &sf));
	printf("type %lx bsize %ld namelen %ld\n", (long)sf.f_type, (long)sf.f_bsize, (long)sf.f_namelen);
	show("setxattr", setxattr("attr", "user.test", "value", 5, 0));
	char value[100];
	show("getxattr", getxattr("attr", "user.test", value, sizeof(value)));
	show("getxattr size", getxattr("attr", "user.test", NULL, 0));
	show("getxattr short", getxattr("attr", "user.test", value, 2));
	show("getxattr missing", getxattr("attr", "user.none", value, 2));
	show("setxattr create", setxattr("attr", "user.test", "value", 5, XATTR_CREATE));
	show("setxattr replace", setxattr("attr", "user.none", "value", 5, XATTR_REPLACE));
	show("setxattr bad space", setxattr("attr", "nope.test", "value", 5, 0));
	show("setxattr on a link", lsetxattr("sl", "user.test", "value", 5, 0));
	show("trusted", setxattr("attr", "trusted.t", "v", 1, 0));
	show("removexattr", removexattr("attr", "user.test"));
	show("removexattr again", removexattr("attr", "user.test"));
	show("mknod null", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	fd = open("null", O_RDWR);
	show("write to it", write(fd, "abc", 3));
	show("read from it", read(fd, value, 3));
	fstat(fd, &st);
	printf("rdev %d,%d\n", major(st.st_rdev), minor(st.st_rdev));
	show("mknod directory", mknod("nd", S_IFDIR | 0666, 0));
	show("mknod regular", mknod("nr", S_IFREG | 0666, 0));
	show("mknod socket", mknod("ns", S_IFSOCK | 0666, 0));
	show("open of a socket", opened(open("ns", O_RDWR)));
	show("mknod no such device", mknod("nx", S_IFCHR | 0666, makedev(200, 3)));
	show("open of it", opened(open("nx", O_RDWR)));
}

static void as_user(void)
{
	make("private", "secret");
	chmod("private", 0600);
	mkdir("closed", 0700);
	make("closed/x", "");
	mkdir("sticky", 0777);
	chmod("sticky", 01777);
	make("sticky/rootfile", "");
	mkdir("open", 0777);
	chmod("open", 0777);
	make("readonly", "text");
	if (setgid(1000) || setuid(1000))
		perror("setuid");
	show("open private", opened(open("private", O_RDONLY)));
	show("look into closed", opened(open("closed/x", O_RDONLY)));
	show("creat in foreign", opened(open("mine", O_CREAT | O_WRONLY, 0600)));
	show("write to readonly", opened(open("readonly", O_RDWR)));
	show("unlink in sticky", unlink("sticky/rootfile"));
	show("rename in sticky", rename("sticky/rootfile", "open/x"));
	show("creat in sticky", opened(open("sticky/own", O_CREAT | O_WRONLY, 0400)));
	show("open of it for writing", opened(open("sticky/own", O_WRONLY)));
	show("chmod of it", chmod("sticky/own", 0600));
	show("chmod of foreign", chmod("readonly", 0666));
	show("chown of it", chown("sticky/own", 0, -1));
	show("chgrp to own group", chown("sticky/own", -1, 1000));
	show("chgrp to another", chown("sticky/own", -1, 0));
	show("utime foreign", utimensat(AT_FDCWD, "readonly", NULL, 0));
	show("access private", access("private", R_OK));
	show("mknod device", mknod("open/dev", S_IFCHR | 0666, makedev(1, 3)));
	show("mkfifo", mkfifo("open/fifo", 0600));
	show("O_NOATIME foreign", opened(open("readonly", O_RDONLY | O_NOATIME)));
	show("chroot", chroot("."));
	show("trusted xattr", setxattr("sticky/own", "trusted.x", "", 0, 0));
	show("user xattr on foreign", setxattr("readonly", "user.x", "", 0, 0));
	chmod("sticky/own", 04755);
	int fd = open("sticky/own", O_WRONLY);
	write(fd, "x", 1);
	struct stat st;
	fstat(fd, &st);
	printf("set-user-ID after a write: %o\n", st.st_mode);
}

int main(void)
{
	mkdir("/tmp/fs-open", 0755);
	if (chdir("/tmp/fs-open"))
		return 1;
	flags();
	links();
	directories();
	listing();
	tmpfile_and_openat2();
	attributes();
	in_child(as_user());
	return 0;
}
